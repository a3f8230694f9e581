"""Downloads that stream under WSGI and ASGI alike, with ranges for files, so that a broken download goes on."""

import base64
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header

PIECE_BYTES = 1 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


class StreamedResponse(StreamingHttpResponse):
    """Takes a plain iterator. An ASGI server pulls each piece in the request's own thread; nothing is gathered in memory."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        pieces: Iterator[bytes] = iter(self)

        def pull() -> bytes | None:
            return next(pieces, None)

        while (piece := await sync_to_async(pull, thread_sensitive=True)()) is not None:
            yield piece


def stream(pieces: Iterable[bytes], *, name: str, content_type: str) -> StreamedResponse:
    """A download that is made while it is sent."""
    response = StreamedResponse(iter(pieces), content_type=content_type)
    response["Content-Disposition"] = content_disposition_header(True, name)
    return response


def send_file(request: HttpRequest, path: Path, *, name: str, content_type: str, sha256: str = "") -> HttpResponseBase:
    """A file as a download: resumable by Range and, when its digest is known, checked by it."""
    size = path.stat().st_size
    wanted = _wanted(request, size, sha256)
    headers = {
        "Content-Disposition": content_disposition_header(True, name) or "",
        "Accept-Ranges": "bytes",
        **(_digest_headers(sha256) if sha256 else {}),
    }
    if wanted is None:
        return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    first, last = wanted
    partial = (first, last) != (0, size - 1)
    response = StreamedResponse(
        _read(path, first, last), content_type=content_type, status=206 if partial else 200, headers=headers
    )
    response["Content-Length"] = str(last - first + 1)
    if partial:
        response["Content-Range"] = f"bytes {first}-{last}/{size}"
    return response


def _digest_headers(sha256: str) -> dict[str, str]:
    """The digest of the whole file as a name, in plain hex, and as RFC 9530 says it."""
    encoded = base64.b64encode(bytes.fromhex(sha256)).decode()
    return {"ETag": f'"{sha256}"', "X-Content-SHA256": sha256, "Repr-Digest": f"sha-256=:{encoded}:"}


def _wanted(request: HttpRequest, size: int, sha256: str) -> tuple[int, int] | None:
    """First and last byte; the whole file when no single range is asked for or it is of another content; None: no such bytes."""
    match = _RANGE.match(request.headers.get("Range", ""))
    if match is None or request.headers.get("If-Range", f'"{sha256}"') != f'"{sha256}"' or match.group(0) == "bytes=-":
        return 0, size - 1
    start, end = match.groups()
    first, last = (int(start), int(end or size - 1)) if start else (max(0, size - int(end)), size - 1)
    return (first, min(last, size - 1)) if first < size and first <= last else None


def _read(path: Path, first: int, last: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        left = last - first + 1
        while left and (piece := file.read(min(PIECE_BYTES, left))):
            left -= len(piece)
            yield piece
