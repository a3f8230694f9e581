"""Reading server-sent events of an engine: whole events from any cut of the bytes, and the usage that they tell."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

END = b"[DONE]"
LONGEST_EVENT = 4 * 2**20


def _checked(rest: bytes) -> bytes:
    """What is kept of an event that has not ended; one without an end is no stream of events."""
    if len(rest) > LONGEST_EVENT:
        raise httpx.RemoteProtocolError("an event of the stream is too long")
    return rest


class EventReader:
    """Bytes in, the data of whole events out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        *events, rest = (self._rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
        self._rest = _checked(rest)
        for event in events:
            lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
            if lines:
                yield b"\n".join(lines)


class StreamMeter:
    """Watches a stream that passes through: finds the usage, counts chunks; takes out the usage chunk if only we asked for it."""

    def __init__(self, *, hide_usage: bool) -> None:
        self.usage: dict[str, Any] = {}
        self.chunks = 0
        self.complete = False
        self._hide = hide_usage
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """What is to be passed on: the same bytes, whole events only when the usage chunk has to be found among them."""
        *events, rest = (self._rest + chunk).split(b"\n\n")
        self._rest = _checked(rest)
        passed = [event for event in events if self._wanted(event)]
        if not self._hide:
            return chunk
        return b"".join(event + b"\n\n" for event in passed)

    def rest(self) -> bytes:
        """An unfinished last event, when it was held back."""
        return self._rest if self._hide else b""

    def _wanted(self, event: bytes) -> bool:
        data = event.strip().removeprefix(b"data:").strip()
        if data == END:
            self.complete = True
            return True
        self.chunks += 1
        if b'"usage"' not in data:
            return True
        try:
            body = json.loads(data)
        except ValueError:
            return True
        usage = body.get("usage") if isinstance(body, dict) else None
        if not isinstance(usage, dict):
            return True
        self.usage = usage
        self.chunks -= 1
        return not (self._hide and not body.get("choices"))
