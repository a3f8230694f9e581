"""When a topic last had news: a page whose socket opens late learns whether it missed some.

Between the moment a page is made and the moment its socket listens, news reaches nobody. Redis keeps for each topic a key
that expires; what is left of its life tells the age of the news by one clock, whatever those of the machines say.
"""

import logging

from redis.exceptions import RedisError

from webapp.core.broker import broker

logger = logging.getLogger(__name__)
PREFIX = "shuyuan:news:"
REMEMBERED = 600_000
"""Milliseconds. A page that is older asks again in any case."""
MARGIN = 1_000
"""Milliseconds that the question itself may have been on its way."""


def note_news(topic: str) -> None:
    """To be called before the news is sent, so that a listener who comes between the two hears it at least once."""
    try:
        broker().set(PREFIX + topic, b"", px=REMEMBERED)
    except (RedisError, OSError) as error:
        logger.debug("news of %s are not remembered: %s", topic, error)


def had_news_within(topic: str, milliseconds: int) -> bool:
    """True also when nobody can tell: a page that asks once too often is better than one that shows what was."""
    if milliseconds >= REMEMBERED - MARGIN:
        return True
    try:
        left = int(broker().pttl(PREFIX + topic))
    except (RedisError, OSError):
        return True
    return left > 0 and REMEMBERED - left <= milliseconds + MARGIN
