"""How many requests a key may send: a token bucket in Redis, so that all web processes share it. Off by default."""

import logging
import math
import time

from django.conf import settings
from redis.exceptions import RedisError

from webapp.serving.connections import redis_client

logger = logging.getLogger(__name__)
BUCKET = """
local rate, capacity, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = math.min(capacity, (tonumber(kept[1]) or capacity) + (now - (tonumber(kept[2]) or now)) * rate)
local wait = 0
if tokens >= 1 then tokens = tokens - 1 else wait = (1 - tokens) / rate end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(now))
redis.call('EXPIRE', KEYS[1], 120)
return tostring(wait)
"""


async def seconds_to_wait(who: str) -> int:
    """0 when the request may go on, else after how many seconds the next one may. A missing Redis limits nobody."""
    per_minute = settings.REQUESTS_PER_MINUTE
    if per_minute <= 0:
        return 0
    burst = max(1, per_minute // 6)
    try:
        wait = await redis_client().eval(BUCKET, 1, f"limit:{who}", per_minute / 60, burst, time.time())
    except (RedisError, OSError) as error:
        logger.warning("requests are not limited: %s", error)
        return 0
    return math.ceil(float(wait))
