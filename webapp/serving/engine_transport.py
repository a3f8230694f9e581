"""HTTP to engines on this machine for httpx: a connection per request, parsed by httptools.

An engine sends each token as a chunk of its own; httpx's own transport spends four times the work on one, which at many
chats at once is most of what a token costs between the engine and the browser.
"""

import asyncio
from collections.abc import AsyncIterator

import httptools
import httpx

READ_BYTES = 2**16
LONGEST_HEAD = 2**16


class _Parsed:
    """What the parser has told so far."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.head_is_complete = False
        self.body: list[bytes] = []
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.head_is_complete = True

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        self.is_complete = True


class _Answer(httpx.AsyncByteStream):
    """The connection of one request: first the head of its answer, then the body as it comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parsed = _Parsed()
        self._parser = httptools.HttpResponseParser(self._parsed)

    async def ask(self, head: bytes, body: bytes) -> httpx.Response:
        try:
            self._writer.write(head + body)
            await self._writer.drain()
        except OSError as error:
            raise httpx.WriteError(str(error)) from error
        received = 0
        while not self._parsed.head_is_complete:
            received += await self._read()
            if received > LONGEST_HEAD and not self._parsed.head_is_complete:
                raise httpx.RemoteProtocolError("the head of the answer is too long")
        return httpx.Response(self._parser.get_status_code(), headers=self._parsed.headers, stream=self)

    async def _read(self) -> int:
        try:
            data = await self._reader.read(READ_BYTES)
        except OSError as error:
            raise httpx.ReadError(str(error)) from error
        if not data:
            raise httpx.RemoteProtocolError("the engine hung up in the middle of its answer")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        return len(data)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parsed = self._parsed
        while True:
            if parsed.body:
                data = parsed.body[0] if len(parsed.body) == 1 else b"".join(parsed.body)
                parsed.body.clear()
                yield data
            if parsed.is_complete:
                return
            await self._read()

    async def aclose(self) -> None:
        self._writer.close()


class EngineTransport(httpx.AsyncBaseTransport):
    """For httpx.AsyncClient. Honours the connect timeout only: a long prompt on a slow machine is silent for minutes."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        timeout = request.extensions.get("timeout", {}).get("connect")
        try:
            opening = asyncio.open_connection(request.url.host, request.url.port)
            reader, writer = await asyncio.wait_for(opening, timeout)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("the engine does not take the connection") from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        answer = _Answer(reader, writer)
        try:
            return await answer.ask(_head(request, len(body)), body)
        except BaseException:
            await answer.aclose()
            raise


def _head(request: httpx.Request, length: int) -> bytes:
    left_out = {b"connection", b"content-length", b"transfer-encoding"}
    headers = [(name, value) for name, value in request.headers.raw if name.lower() not in left_out]
    headers += [(b"Connection", b"close"), (b"Content-Length", str(length).encode())]
    lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path), *[b"%s: %s" % pair for pair in headers]]
    return b"\r\n".join(lines) + b"\r\n\r\n"
