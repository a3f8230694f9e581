"""Answers of engines as their bytes may come: in any cuts, too long, broken off, or not at all (S10.2)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from webapp.serving.engine_transport import EngineTransport

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n"


class Engine:
    """Writes the parts it is told to, each by itself, then hangs up; notes what it was asked and that the client left."""

    def __init__(self, parts: list[bytes], *, stays: bool = False) -> None:
        self.parts = parts
        self.stays = stays
        self.asked = b""
        self.left = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in self.asked.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        self.asked += await reader.readexactly(length)
        for part in self.parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if self.stays:
            assert await reader.read() == b""
            self.left.set()
        writer.close()


@asynccontextmanager
async def talking_to(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    server = await asyncio.start_server(engine.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, httpx.AsyncClient(transport=EngineTransport(), base_url=f"http://127.0.0.1:{port}") as client:
        yield client


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def test_request_arrives_whole_and_the_answer_comes_back() -> None:
    engine = Engine([b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nX-Kind: a\r\n\r\n{}"])
    async with talking_to(engine) as client:
        answer = await client.post("/v1/x?y=1", json={"name": "书"}, headers={"Authorization": "Bearer t"})
    assert (answer.status_code, answer.headers["x-kind"], answer.json()) == (400, "a", {})
    head, _, body = engine.asked.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/x?y=1 HTTP/1.1\r\n")
    assert b"Bearer t" in head
    assert body == '{"name":"书"}'.encode()


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_stream_is_the_same_in_whatever_cuts_it_comes(size: int) -> None:
    said = [f"data: {number}\n\n".encode() for number in range(40)]
    raw = CHUNKED + b"".join(map(chunk, said)) + b"0\r\n\r\n"
    engine = Engine([raw[start : start + size] for start in range(0, len(raw), size)])
    async with talking_to(engine) as client, client.stream("POST", "/", content=b"{}") as answer:
        assert b"".join([part async for part in answer.aiter_raw()]) == b"".join(said)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"HTTP/1.1 200"],
        [CHUNKED + chunk(b"data: 1\n\n")],
        [b"SSH-2.0-OpenSSH_9\r\n"],
        [b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 20_000],
    ],
    ids=["nothing", "half a head", "half a stream", "no HTTP", "an endless head"],
)
async def test_broken_answer_is_a_transport_error_which_the_callers_mend(parts: list[bytes]) -> None:
    async with talking_to(Engine(parts)) as client:
        with pytest.raises(httpx.TransportError):
            await client.post("/", content=b"{}")


async def test_nobody_listens() -> None:
    async with talking_to(Engine([])) as client:
        port = client.base_url.port
    async with httpx.AsyncClient(transport=EngineTransport()) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{port}/")


async def test_engine_notices_that_a_reader_left() -> None:
    """Otherwise it would go on computing for nobody."""
    engine = Engine([CHUNKED + chunk(b"data: 1\n\n")], stays=True)
    async with talking_to(engine) as client:
        async with client.stream("POST", "/", content=b"{}") as answer:
            assert await anext(answer.aiter_raw()) == b"data: 1\n\n"
        await asyncio.wait_for(engine.left.wait(), 30)
