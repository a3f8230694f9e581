"""What the product adds between the engine and the browser: token by token, on the real product.

    python -m benchmarks.bench_chat_stream [--chats 1 16] [--rate 25] [--tokens 150] [--engine paced|real]

A recorder stands where the engine listens and notes when each piece of an answer leaves it; WebSocket clients note when it
arrives: engine → worker → Redis stream → web → socket. `paced` writes `--rate` tokens per second and chat; `real` passes the
product's own engine on (a random Llama of 15 million parameters). Prints JSON lines, times in milliseconds:
`piece` counts every token, with the time that frames deliberately gather (at most 30 a second); `frame` only each frame's
newest token, which is what the way itself costs (goal: p95 15 ms at 16 chats); `first` is send → first frame;
`cpu` is what each part of the product computes for one token, which other work on the machine disturbs least.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import websockets

from tests.product import Api, Product

GOAL_P95 = 15.0
QUESTION = "Tell me a long story"


def percentile(values: list[float], share: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))], 2)


def recorder(port_file: str, upstream: str, token: str, rate: float, tokens: int) -> None:
    """The process that stands for the engine. `/times/<mark>` tells when which offset of an answer left it."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route

    from tests.webapp.serving.double import Running

    times: dict[str, list[tuple[int, float]]] = {}

    async def paced() -> AsyncIterator[bytes]:
        begin = time.monotonic()
        for number in range(tokens):
            await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
            body = {"choices": [{"index": 0, "delta": {"content": f"word{number} "}, "finish_reason": None}]}
            yield b"data: " + json.dumps(body).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    async def passed_on(raw: bytes) -> AsyncIterator[bytes]:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        async with (
            httpx.AsyncClient(timeout=600, trust_env=False) as client,
            client.stream("POST", f"{upstream}/v1/chat/completions", content=raw, headers=headers) as response,
        ):
            async for chunk in response.aiter_raw():
                yield chunk

    async def noted(mark: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        noted_times = times.setdefault(mark, [])
        length, rest = 0, b""
        async for chunk in chunks:
            *events, rest = (rest + chunk).split(b"\n\n")
            for event in events:
                if b'"content"' in event:
                    length += len(json.loads(event[5:])["choices"][0]["delta"].get("content") or "")
            now = time.time()
            if length and (not noted_times or noted_times[-1][0] < length):
                noted_times.append((length, now))
            yield chunk

    async def chat(request: Request) -> Response:
        raw = await request.body()
        mark = json.loads(raw)["messages"][-1]["content"].rpartition("#")[2]
        return StreamingResponse(noted(mark, passed_on(raw) if upstream else paced()), media_type="text/event-stream")

    app = Starlette(
        routes=[
            Route("/health", lambda request: JSONResponse({"status": "ok"})),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/times/{mark}", lambda request: JSONResponse(times.get(request.path_params["mark"], []))),
        ]
    )
    with Running(app) as running:
        Path(port_file).write_text(str(running.port))
        running.thread.join()


def start_recorder(
    folder: Path, arguments: argparse.Namespace, upstream: str, token: str
) -> tuple["subprocess.Popen[bytes]", int]:
    port_file = folder / "recorder.port"
    options = ["--recorder", str(port_file), "--upstream", upstream, "--token", token]
    figures = ["--rate", str(arguments.rate), "--tokens", str(arguments.tokens)]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.bench_chat_stream", *options, *figures])
    while not port_file.exists():
        time.sleep(0.05)
    time.sleep(0.1)
    return process, int(port_file.read_text())


def deploy(product: Product, folder: Path, real: bool) -> tuple[int, str, str]:
    """A workspace of the first admin with a deployment; (its id, the workspace's slug, its engine's address or "")."""
    os.environ |= {"DJANGO_SETTINGS_MODULE": "webapp.settings", "SHUYUAN_DATA": str(product.data)}
    import django

    django.setup()
    from datetime import timedelta

    from django.utils import timezone

    from webapp.accounts.models import User, Workspace
    from webapp.accounts.services import create_workspace
    from webapp.registry.models import Model
    from webapp.registry.registering import register_model
    from webapp.serving.models import Deployment, Health
    from webapp.serving.services import create_deployment
    from workers.spec.serve import ServeSpec

    user = User.objects.filter(is_superuser=True).get()
    workspace = Workspace.objects.first() or create_workspace(user=user, name="Benchmark")
    if real:
        from benchmarks.bench_engine import make_model

        model = register_model(
            workspace=workspace, name="random", kind="base", folder=make_model(folder / "model"), created_by=user
        )
    else:
        model = Model.objects.create(workspace=workspace, name="paced", family="paced", kind="base", state="ready", path="-")
    if not real:
        lease = timezone.now() + timedelta(days=1)
        row = Deployment.objects.create(
            workspace=workspace, name="paced", model=model, spec={"model": model.pk}, token="t", health=Health.READY,
            address="127.0.0.1", watcher="benchmark:1:1.0", lease_expires_at=lease,
        )  # fmt: skip
        return row.pk, workspace.slug, ""
    row = create_deployment(user=user, workspace=workspace.slug, spec=ServeSpec(model=model.pk))
    while row.health != Health.READY:
        time.sleep(0.2)
        row.refresh_from_db()
    return row.pk, workspace.slug, row.url


def move_port(deployment: int, port: int) -> str:
    """Let the product find the recorder where the engine was; gives the engine's token."""
    from webapp.serving.models import Deployment

    Deployment.objects.filter(pk=deployment).update(port=port)
    return Deployment.objects.get(pk=deployment).token


def cpu_seconds(product: Product) -> dict[str, float]:
    """What each part of the product has computed since it started; engines are children of the worker."""
    spent: dict[str, float] = {}
    children: dict[int, list[int]] = {}
    times: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else []
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
            times[int(entry.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def below(pid: int) -> float:
        return sum(times.get(child, 0.0) + below(child) for child in children.get(pid, []))

    for name, pid in product.processes().items():
        spent[name] = times.get(pid, 0.0)
        if name == "worker":
            spent["engine"] = below(pid)
    return spent


class Browser:
    """One chat: sends a message, notes when which offset arrived."""

    def __init__(self, product: Product, api: Api, slug: str, deployment: int, cookie: str, mark: str) -> None:
        self.product, self.api, self.mark, self.cookie = product, api, mark, cookie
        self.conversation = api.post(f"/workspaces/{slug}/conversations", {"deployment": deployment})["id"]
        self.arrived: list[tuple[int, float]] = []
        self.first = 0.0

    async def talk(self, tokens: int) -> None:
        address = self.product.url.replace("http", "ws") + f"/ws/chat/{self.conversation}/"
        headers = {"Cookie": self.cookie, "Origin": self.product.url}
        async with websockets.connect(address, additional_headers=headers) as socket:
            body = {"content": f"{QUESTION} #{self.mark}", "parameters": {"max_tokens": tokens}}
            begin = time.time()
            sent = await asyncio.to_thread(self.api.post, f"/conversations/{self.conversation}/turns", body)
            await socket.send(json.dumps({"type": "subscribe", "turn": sent["turns"][1]["id"], "after": 0}))
            async for message in socket:
                now = time.time()
                data = json.loads(message)
                if data["type"] == "delta":
                    self.first = self.first or 1000 * (now - begin)
                    self.arrived.append((data["start"] + len(data["text"]), now))
                elif data["type"] == "end":
                    assert data["turn"]["state"] == "done", data["turn"]["error"]
                    return

    def delays(self, left: list[tuple[int, float]]) -> tuple[list[float], list[float]]:
        """Milliseconds of every piece, and of the newest piece of every frame."""
        pieces, frames, position = [], [], 0
        for length, at in self.arrived:
            newest = None
            while position < len(left) and left[position][0] <= length:
                newest = 1000 * (at - left[position][1])
                pieces.append(newest)
                position += 1
            if newest is not None:
                frames.append(newest)
        return pieces, frames


async def measure(browsers: list[Browser], recorder_url: str, tokens: int) -> dict[str, Any]:
    await asyncio.gather(*[browser.talk(tokens) for browser in browsers])
    pieces: list[float] = []
    frames: list[float] = []
    async with httpx.AsyncClient(trust_env=False) as client:
        for browser in browsers:
            left = (await client.get(f"{recorder_url}/times/{browser.mark}")).json()
            more_pieces, more_frames = browser.delays([(int(length), at) for length, at in left])
            pieces, frames = pieces + more_pieces, frames + more_frames
    first = [browser.first for browser in browsers]
    return {
        "chats": len(browsers),
        "tokens": len(pieces),
        "frames": len(frames),
        "frame_p50": percentile(frames, 0.5),
        "frame_p95": percentile(frames, 0.95),
        "piece_p50": percentile(pieces, 0.5),
        "piece_p95": percentile(pieces, 0.95),
        "first_p50": percentile(first, 0.5),
        "goal_p95": GOAL_P95,
    }


def run(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="chat-") as name:
        folder = Path(name)
        product = Product(folder / "data").start()
        process = None
        try:
            with httpx.Client(trust_env=False, follow_redirects=True) as browser:
                browser.get(product.login_link)
                cookie = "; ".join(f"{key}={value}" for key, value in browser.cookies.items())
            deployment, slug, engine = deploy(product, folder, arguments.engine == "real")
            token = move_port(deployment, 0)
            process, port = start_recorder(folder, arguments, engine, token)
            move_port(deployment, port)
            for chats in arguments.chats:
                browsers = [Browser(product, product.api, slug, deployment, cookie, f"{chats}-{n}") for n in range(chats)]
                before = cpu_seconds(product)
                row = asyncio.run(measure(browsers, f"http://127.0.0.1:{port}", arguments.tokens))
                spent = {name: seconds - before.get(name, 0.0) for name, seconds in cpu_seconds(product).items()}
                row["cpu"] = {name: round(1000 * seconds / max(row["tokens"], 1), 3) for name, seconds in spent.items()}
                print(
                    json.dumps({"benchmark": "chat_stream", "engine": arguments.engine, "rate": arguments.rate, **row}),
                    flush=True,
                )
        finally:
            if process is not None:
                process.kill()
            product.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--rate", type=float, default=25.0)
    parser.add_argument("--tokens", type=int, default=150)
    parser.add_argument("--engine", choices=["paced", "real"], default="paced")
    parser.add_argument("--recorder", default="", help=argparse.SUPPRESS)
    parser.add_argument("--upstream", default="", help=argparse.SUPPRESS)
    parser.add_argument("--token", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.recorder:
        recorder(arguments.recorder, arguments.upstream, arguments.token, arguments.rate, arguments.tokens)
    else:
        run(arguments)


if __name__ == "__main__":
    main()
