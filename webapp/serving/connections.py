"""Connections that a whole event loop shares: one HTTP client to the engines, one for each endpoint, one Redis client.

A loop keeps its own, because their sockets belong to it; they are forgotten with the loop.
"""

import asyncio
from weakref import WeakKeyDictionary

import httpx
from django.conf import settings
from redis.asyncio import Redis

from webapp.serving.engine_transport import EngineTransport
from workers.pinning import AsyncPinned

ENGINE_TIMEOUT = httpx.Timeout(None, connect=2.0)
"""No read limit: a long prompt on a slow machine is silent for minutes; the watcher ends engines that hang."""
_clients: "WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient]" = WeakKeyDictionary()
ENDPOINT_TIMEOUT = httpx.Timeout(120.0, connect=10.0)
MAXIMUM_ENDPOINTS = 16
Place = tuple[str, tuple[str, ...]]
_endpoints: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Place, httpx.AsyncClient]]" = WeakKeyDictionary()
_redis: "WeakKeyDictionary[asyncio.AbstractEventLoop, Redis]" = WeakKeyDictionary()


def engine_client() -> httpx.AsyncClient:
    """The HTTP client of the running loop. Proxies of the environment are for the outside world, not for engines."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = httpx.AsyncClient(timeout=ENGINE_TIMEOUT, transport=EngineTransport(), trust_env=False)
    return _clients[loop]


def endpoint_client(url: str, addresses: tuple[str, ...]) -> httpx.AsyncClient:
    """The running loop's HTTP client to somebody else's endpoint, which goes to the checked addresses only."""
    known = _endpoints.setdefault(asyncio.get_running_loop(), {})
    place = (url, addresses)
    if place not in known:
        while len(known) >= MAXIMUM_ENDPOINTS:  # connections in use stay open until their answers end
            known.pop(next(iter(known)))
        known[place] = httpx.AsyncClient(timeout=ENDPOINT_TIMEOUT, trust_env=False, transport=AsyncPinned(url, addresses))
    return known[place]


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
    for endpoint in _endpoints.pop(loop, {}).values():
        await endpoint.aclose()
    if (redis := _redis.pop(loop, None)) is not None:
        await redis.aclose()
