"""Which workers live: each says so in Redis every few seconds, so that pages can warn when none does."""

import redis
from django.conf import settings

from webapp.core import processes

PREFIX = "shuyuan:worker:"
ALIVE_SECONDS = 15


def _client() -> "redis.Redis":
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


def say_alive() -> None:
    client = _client()
    try:
        client.set(PREFIX + processes.identity(), "1", ex=ALIVE_SECONDS)
    finally:
        client.close()


def any_alive() -> bool:
    """False also when Redis cannot be asked: then no worker gets work either."""
    client = _client()
    try:
        return next(client.scan_iter(match=f"{PREFIX}*", count=100), None) is not None
    except (redis.RedisError, OSError):
        return False
    finally:
        client.close()
