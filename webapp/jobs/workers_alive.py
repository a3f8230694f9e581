"""Which workers live: each says so in Redis every few seconds, so that pages can warn when none does."""

from redis.exceptions import RedisError

from webapp.core import processes
from webapp.core.broker import broker

PREFIX = "shuyuan:worker:"
ALIVE_SECONDS = 15


def say_alive() -> None:
    broker().set(PREFIX + processes.identity(), "1", ex=ALIVE_SECONDS)


def any_alive() -> bool:
    """False also when Redis cannot be asked: then no worker gets work either."""
    try:
        return next(broker().scan_iter(match=f"{PREFIX}*", count=100), None) is not None
    except (RedisError, OSError):
        return False
