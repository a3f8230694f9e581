"""A small engine with the real one's HTTP contract whose answers are known: it counts.

The last user message is JSON: {"count": 20, "delay": 0.01, "break_at": 5, "hold_at": 7, "error": {...}, "status": 400}. The
answer is "0 1 2 … 19 "; a partial answer is continued where it ends, one that holds goes on when the test says `go_on`.
As a program (`python -m tests.webapp.serving.double engine.json`) it obeys the engine's start contract; the deployment's
name says how it behaves: `bad-input`, `dies`, else it serves.
"""

import asyncio
import json
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


class Double:
    """The application, and what happened to it."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.requests: list[dict[str, Any]] = []
        self.abandoned = 0
        self.broken: set[str] = set()
        self.go_on = threading.Event()
        self.sent_at: dict[str, float] = {}
        self.app = Starlette(
            routes=[
                Route("/health", lambda request: JSONResponse({"status": "ok"})),
                Route("/metrics", lambda request: JSONResponse({"running": 1, "waiting": 0, "kv_cache_usage": 0.5})),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
            ]
        )

    async def chat(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return JSONResponse({"error": {"message": "no token", "code": "invalid_api_key"}}, 401)
        body = await request.json()
        self.requests.append(body)
        plan = self._plan(body)
        if "error" in plan:
            return JSONResponse({"error": plan["error"]}, plan.get("status", 400))
        begin = len(plan["before"].split())
        words = [f"{number} " for number in range(begin, plan["count"])]
        usage = {"prompt_tokens": 7, "completion_tokens": len(words), "total_tokens": 7 + len(words)}
        if not body.get("stream"):
            await self._wait(request, plan)
            choices = [{"index": 0, "message": {"role": "assistant", "content": "".join(words)}}]
            return JSONResponse({"object": "chat.completion", "choices": choices, "usage": plan.get("usage", usage)})
        wants_usage = (body.get("stream_options") or {}).get("include_usage")
        return StreamingResponse(self._frames(words, plan, usage if wants_usage else None), media_type="text/event-stream")

    def _plan(self, body: dict[str, Any]) -> dict[str, Any]:
        messages = body["messages"]
        going_on = bool(body.get("continue_final_message"))
        asked = next(message["content"] for message in reversed(messages) if message["role"] == "user")
        try:
            plan = json.loads(asked)
        except ValueError:
            plan = {"count": 3}
        before = messages[-1]["content"] if going_on else ""
        longest = plan.get("longest")
        if longest and len(messages) > longest:
            return {"error": {"message": "too long", "code": "context_length_exceeded"}}
        return {"count": 3, "delay": 0.0, "key": asked, **plan, "before": before}

    async def _wait(self, request: Request, plan: dict[str, Any]) -> None:
        for _ in range(round(plan["delay"] * plan["count"] / 0.02)):
            if await request.is_disconnected():
                self.abandoned += 1
                return
            await asyncio.sleep(0.02)

    async def _frames(self, words: list[str], plan: dict[str, Any], usage: dict[str, int] | None) -> AsyncIterator[str]:
        done = False
        try:
            for number, word in enumerate(words):
                if plan.get("break_at") == number and plan["key"] not in self.broken:
                    self.broken.add(plan["key"])
                    raise RuntimeError("broken as planned")
                while plan.get("hold_at") == number and not self.go_on.is_set():
                    await asyncio.sleep(0.01)
                self.sent_at[word.strip()] = time.time()
                yield _frame({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
                await asyncio.sleep(plan["delay"])
            yield _frame({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            if usage:
                yield _frame({"choices": plan.get("last_choices", []), "usage": plan.get("usage", usage)})
            yield "data: [DONE]\n\n"
            done = True
        finally:
            self.abandoned += not done


def _frame(body: dict[str, Any]) -> str:
    return f"data: {json.dumps({'object': 'chat.completion.chunk', **body})}\n\n"


class Running:
    """The double served by uvicorn in a thread, on a free port of the loopback."""

    def __init__(self, app: Any) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        config = uvicorn.Config(
            app, loop="asyncio", log_level="critical", lifespan="off", access_log=False, timeout_graceful_shutdown=1
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True)

    def __enter__(self) -> "Running":
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.listener.close()


def main(path: str) -> int:
    run = json.loads(Path(path).read_text())
    name = run["served_name"]
    print(f"the double of {name} starts", flush=True)
    if name == "bad-input":
        error = {"code": "model.broken", "template": "The model “{name}” is broken.", "params": {"name": "x"}}
        Path(run["error_file"]).write_text(json.dumps(error))
        return 2
    if name == "dies":
        return 3
    double = Double(os.environ[run["token_env"]])
    with Running(double.app) as running:
        ready = Path(run["ready_file"])
        facts = {"port": running.port, "pid": os.getpid(), "engine": "double", "weights": "none", "context_length": 99}
        ready.with_suffix(".part").write_text(json.dumps(facts))
        ready.with_suffix(".part").replace(ready)
        running.thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
