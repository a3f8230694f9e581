"""The limit of requests per key: shared by all web processes, off by default, and never in the way when Redis is away."""

from typing import Any

from tests.webapp.serving.redis_server import RedisServer
from webapp.serving.connections import close_connections
from webapp.serving.limits import seconds_to_wait


async def test_key_waits_after_its_burst_and_others_do_not(redis_server: RedisServer, settings: Any) -> None:
    settings.REDIS_URL = f"unix://{redis_server.socket}"
    settings.REQUESTS_PER_MINUTE = 12
    assert [await seconds_to_wait("key:1") for _ in range(3)] == [0, 0, 5]
    assert await seconds_to_wait("key:2") == 0
    await close_connections()


async def test_nobody_waits_without_a_limit_or_without_redis(settings: Any) -> None:
    settings.REDIS_URL = "unix:///nowhere.sock"
    assert await seconds_to_wait("key:1") == 0
    settings.REQUESTS_PER_MINUTE = 1
    assert [await seconds_to_wait("key:1") for _ in range(5)] == [0] * 5
    await close_connections()
