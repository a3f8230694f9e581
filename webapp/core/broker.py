"""The Redis client of code that waits: web threads and workers. Event loops have their own in `webapp.serving.connections`."""

import functools

import redis
from django.conf import settings


def broker() -> "redis.Redis":
    """A shared client, safe for threads and forks; it waits a second at most and raises redis.RedisError or OSError."""
    return _client(settings.REDIS_URL)


@functools.lru_cache(maxsize=8)
def _client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)
