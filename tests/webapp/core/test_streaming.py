"""Downloads under an ASGI server: piece by piece, never gathered in memory."""

from collections.abc import Iterator

from webapp.core.streaming import stream


async def test_pieces_are_made_while_they_are_sent() -> None:
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            made.append(number)
            yield b"x" * 10

    received = []
    async for piece in stream(pieces(), name="数据.csv", content_type="text/csv"):
        received.append(piece)
        assert len(made) == len(received)
    assert b"".join(received) == b"x" * 30
