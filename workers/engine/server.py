"""The HTTP application of one served model, and the uvicorn server that tells when it listens and drains on SIGTERM."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from workers.engine.chat import chat_completions, plain_message
from workers.engine.completions import completions
from workers.engine.generation import Served
from workers.engine.http import HANDLED, BearerToken, handle_error, read_body
from workers.engine.protocol import ApiError, DetokenizeRequest, TokenizeRequest

DRAIN_SECONDS = 30
"""How long running answers may go on after SIGTERM."""


def make_app(served: Served, token: str) -> Starlette:
    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", one_model),
            Route("/v1/chat/completions", chat_completions, methods=["POST"]),
            Route("/v1/completions", completions, methods=["POST"]),
            Route("/tokenize", tokenize, methods=["POST"]),
            Route("/detokenize", detokenize, methods=["POST"]),
            Route("/metrics", metrics),
        ],
        middleware=[Middleware(BearerToken, token=token)],
        exception_handlers=dict.fromkeys(HANDLED, handle_error),
    )
    app.state.served = served
    return app


async def health(request: Request) -> Response:
    served: Served = request.app.state.served
    if served.engine.failure:
        return JSONResponse({"status": "failed", "message": served.engine.failure}, 503)
    return JSONResponse({"status": "ok"})


def _model_body(served: Served) -> dict[str, Any]:
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "shuyuan",
        "max_model_len": served.engine.context_length,
    }


async def models(request: Request) -> Response:
    return JSONResponse({"object": "list", "data": [_model_body(request.app.state.served)]})


async def one_model(request: Request) -> Response:
    served: Served = request.app.state.served
    served.check_model(request.path_params["name"])
    return JSONResponse(_model_body(served))


async def tokenize(request: Request) -> Response:
    served: Served = request.app.state.served
    body = await read_body(request, TokenizeRequest)
    served.check_model(body.model)
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "Give either prompt or messages.", param="prompt")
    if body.messages is not None:
        tokens = served.template.encode_prompt(
            [plain_message(message, index) for index, message in enumerate(body.messages)],
            tools=[tool.model_dump(exclude_none=True) for tool in body.tools or []] or None,
            continue_final=body.continue_final_message,
        )
    else:
        tokens = served.template.encode_text(body.prompt or "")
    return JSONResponse({"tokens": tokens, "count": len(tokens), "max_model_len": served.engine.context_length})


async def detokenize(request: Request) -> Response:
    served: Served = request.app.state.served
    body = await read_body(request, DetokenizeRequest)
    size = served.template.vocabulary_size
    if any(not 0 <= token < size for token in body.tokens):
        raise ApiError(400, f"Token ids go from 0 to {size - 1}.", param="tokens")
    return JSONResponse({"prompt": served.template.decode(body.tokens, skip_special_tokens=False)})


async def metrics(request: Request) -> Response:
    served: Served = request.app.state.served
    now = served.engine.metrics()
    return JSONResponse(
        {
            "running": now.running,
            "waiting": now.waiting,
            "kv_cache_usage": now.kv_cache_usage,
            "kv_cache_bytes": now.kv_cache_bytes,
            "tokens_generated": served.meter.total,
            "tokens_per_second": served.meter.per_second(),
            "memory_bytes": resident_bytes(served.engine.pids),
            **served.facts,
        }
    )


def resident_bytes(others: Sequence[int] = ()) -> int:
    """Memory of this process and of `others` that lies in RAM."""
    total = 0
    for pid in ("self", *others):
        statm = Path(f"/proc/{pid}/statm")
        total += int(statm.read_text(encoding="ascii").split()[1]) if statm.exists() else 0
    return total * os.sysconf("SC_PAGE_SIZE")


class Server(uvicorn.Server):
    """uvicorn that calls `on_listening` once and ends normally, not by the signal, after a drain."""

    def __init__(self, app: Starlette, on_listening: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=DRAIN_SECONDS,
            server_header=False,
        )
        super().__init__(config)
        self._on_listening = on_listening

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    def _stop(self) -> None:
        # The second signal ends running answers too.
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_listening()

    async def on_tick(self, counter: int) -> bool:
        served: Served = self.config.app.state.served  # type: ignore[union-attr]
        if served.engine.failure:
            self.should_exit = True
        return await super().on_tick(counter)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener
