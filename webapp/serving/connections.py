"""Connections that a whole event loop shares: one HTTP client to the engines, one Redis client.

A loop keeps its own, because their sockets belong to it; they are forgotten with the loop.
"""

import asyncio
from weakref import WeakKeyDictionary

import httpx
from django.conf import settings
from redis.asyncio import Redis

ENGINE_TIMEOUT = httpx.Timeout(None, connect=2.0)
"""No read limit: a long prompt on a slow machine is silent for minutes; the watcher ends engines that hang."""
_clients: "WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient]" = WeakKeyDictionary()
_redis: "WeakKeyDictionary[asyncio.AbstractEventLoop, Redis]" = WeakKeyDictionary()


def engine_client() -> httpx.AsyncClient:
    """The HTTP client of the running loop. Proxies of the environment are for the outside world, not for engines."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=30)
        _clients[loop] = httpx.AsyncClient(timeout=ENGINE_TIMEOUT, limits=limits, trust_env=False)
    return _clients[loop]


def redis_client() -> Redis:
    """The Redis client of the running loop, answering bytes."""
    loop = asyncio.get_running_loop()
    if loop not in _redis:
        _redis[loop] = Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=5)
    return _redis[loop]


async def close_connections() -> None:
    """Close what the running loop opened."""
    loop = asyncio.get_running_loop()
    if (client := _clients.pop(loop, None)) is not None:
        await client.aclose()
    if (redis := _redis.pop(loop, None)) is not None:
        await redis.aclose()
