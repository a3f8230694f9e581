"""HTTP around the endpoints: the bearer token, error objects, server-sent events, and noticing that a client has gone."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from workers.engine.engines.base import (
    EngineError,
    EngineOverloaded,
    EngineStopping,
    RequestRefused,
    UnsupportedOption,
)
from workers.engine.protocol import ApiError
from workers.spec.errors import UserError

MAX_BODY = 16 * 2**20
Model = TypeVar("Model", bound=BaseModel)
Handler = Callable[[Request], Awaitable[Response]]

dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class BearerToken:
    """Refuses whatever comes without the token, except /health."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/health":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                error = ApiError(401, "The API key is missing or wrong.", code="invalid_api_key")
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def read_body(request: Request, model: type[Model]) -> Model:
    """The request body as `model`, or a 400 that names the field."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY:
            raise ApiError(413, f"The request is larger than {MAX_BODY >> 20} MiB.", code="request_too_large")
    try:
        return model.model_validate_json(bytes(content))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        where = f"{place}: " if place else ""
        raise ApiError(400, f"{where}{first['msg']}", param=str(first["loc"][0]) if first["loc"] else None) from None


STATUS_OF = {
    EngineOverloaded: (429, "engine_overloaded"),
    EngineStopping: (503, "engine_stopping"),
    RequestRefused: (400, "refused_by_engine"),
    EngineError: (500, "engine_error"),
}


def as_api_error(error: Exception) -> ApiError:
    """What a caller is told about an error that ended its request."""
    if isinstance(error, UserError):
        return ApiError(error.status, error.message, param="messages", code=error.code)
    if isinstance(error, UnsupportedOption):
        return ApiError(400, str(error), param=error.option, code="unsupported_parameter")
    if isinstance(error, HTTPException):
        return ApiError(error.status_code, error.detail, code="not_found" if error.status_code == 404 else None)
    if isinstance(error, EngineError):
        status, code = next(known for kind, known in STATUS_OF.items() if isinstance(error, kind))
        return ApiError(status, str(error), code=code)
    assert isinstance(error, ApiError)
    return error


def error_response(error: ApiError) -> Response:
    headers = {"Retry-After": "1"} if error.status in (429, 503) else None
    return JSONResponse(error.body, error.status, headers)


async def handle_error(request: Request, error: Exception) -> Response:
    # Several answers to one prompt run in a task group; the first failure speaks for all.
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error_response(as_api_error(error))


HANDLED = (ApiError, UserError, EngineError, HTTPException, ExceptionGroup)


async def until_disconnect(request: Request, work: Coroutine[Any, Any, Response]) -> Response:
    """Runs `work` unless the client leaves first; then the work is cancelled, and with it what it asked of the engine."""
    task = asyncio.create_task(work)
    watch = asyncio.create_task(_disconnected(request.receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        return Response(status_code=499)
    finally:
        await _cancel(task, watch)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Server-sent events from an iterator of ready frames; the iterator is closed as soon as the client has gone.

    The first frame is computed before the headers go out, so that an early error has its proper status.
    """

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncIterator[str], first: str) -> None:
        self._frames = frames
        self._first = first
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]

    @classmethod
    async def open(cls, request: Request, frames: AsyncIterator[str]) -> Response:
        async def first() -> Response:
            return cls(frames, await anext(frames))

        return await until_disconnect(request, first())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.create_task(self._pump(send))
        watch = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({pump, watch}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
        finally:
            await _cancel(pump, watch)

    async def _pump(self, send: Send) -> None:
        async with aclosing(self._frames) as frames:  # type: ignore[type-var]
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self._first.encode(), "more_body": True})
            try:
                async for frame in frames:
                    await send({"type": "http.response.body", "body": frame.encode(), "more_body": True})
            except HANDLED as error:
                body = f"data: {dumps(as_api_error(error).body)}\n\n"
                await send({"type": "http.response.body", "body": body.encode(), "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
