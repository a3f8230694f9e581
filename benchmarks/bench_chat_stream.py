"""What the product adds between the engine and the browser: token by token, on the real product.

    python -m benchmarks.bench_chat_stream [--chats 1 16] [--rate 25] [--tokens 150] [--engine paced|real]

A recorder stands where the engine listens and notes when its bytes pass; WebSocket clients note when frames arrive:
engine → worker → Redis stream → web → socket. Both only note, and read what they noted after the measurement; where they
may, they run before everything else, for they stand for other machines. `paced` writes `--rate` tokens per second and chat;
`real` lets the product's own engine answer (a random Llama of 15 million parameters). Prints JSON lines, times in ms:
`piece` counts every token, with the time that frames deliberately gather (at most 30 a second); `frame` only each frame's
newest token, which is what the way itself costs (goal: p95 15 ms at 16 chats); `first` is send → first frame;
`cpu` is what each part computes for one token, which other work on the machine disturbs least.
"""

import argparse
import asyncio
import bisect
import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import httpx
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Origin
from websockets.uri import parse_uri

from tests.product import Api, Product
from workers.event_loop import new_event_loop

GOAL_P95 = 15.0
QUESTION = "Tell me a long story"
MARK = re.compile(rb"#(\d+-\d+)#")
CONTENT = re.compile(rb'"content": ?("(?:[^"\\]|\\.)*")')
ENDED = b'"type": "end"'


def percentile(values: list[float], share: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))], 2)


class Relay(asyncio.Protocol):
    """One connection of the product to the engine: its bytes pass at once, and are read only after the measurement."""

    def __init__(self, book: "Book", upstream: tuple[str, int]) -> None:
        self.book, self.upstream = book, upstream
        self.waiting: list[bytes] = []
        self.engine: asyncio.Transport | None = None
        self.mark = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.product = cast(asyncio.Transport, transport)
        self.opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        engine, _ = await loop.create_connection(lambda: Answering(self), *self.upstream)
        for data in self.waiting:
            engine.write(data)
        self.engine = engine

    def data_received(self, data: bytes) -> None:
        if found := MARK.findall(data):
            self.mark = found[-1].decode()
        if self.engine is None:
            self.waiting.append(data)
        else:
            self.engine.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.engine is not None:
            self.engine.close()


class Answering(asyncio.Protocol):
    """The other half: what the engine writes, noted and passed on."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay

    def data_received(self, data: bytes) -> None:
        self.relay.book.note(self.relay.mark, data)
        self.relay.product.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.relay.product.close()


class Paced(asyncio.Protocol):
    """Stands for the engine itself: a word every so often, whatever is asked."""

    def __init__(self, book: "Book", rate: float, tokens: int) -> None:
        self.book, self.rate, self.tokens = book, rate, tokens
        self.asked = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.product = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.asked += data
        if self.asked.startswith(b"GET"):
            self.asked = b""
            self.product.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        elif found := MARK.findall(self.asked):
            self.asked = b""
            self.task = asyncio.get_running_loop().create_task(self._answer(found[-1].decode()))

    async def _answer(self, mark: str) -> None:
        self.product.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        begin = time.monotonic()
        for number in range(self.tokens):
            await asyncio.sleep(max(0.0, begin + number / self.rate - time.monotonic()))
            body = json.dumps({"choices": [{"index": 0, "delta": {"content": f"word{number} "}, "finish_reason": None}]})
            event = f"data: {body}\n\n".encode()
            data = b"%x\r\n%s\r\n" % (len(event), event)
            self.book.note(mark, data)
            self.product.write(data)
        self.product.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


class Book:
    """Which bytes of which answer left the engine when."""

    def __init__(self) -> None:
        self.pieces: dict[str, list[tuple[float, bytes]]] = {}

    def note(self, mark: str, data: bytes) -> None:
        self.pieces.setdefault(mark, []).append((time.time(), data))

    def times(self) -> dict[str, list[tuple[int, float]]]:
        """When the answer had which length, for every mark."""
        told: dict[str, list[tuple[int, float]]] = {}
        for mark, pieces in self.pieces.items():
            ends = list(itertools.accumulate(len(data) for _, data in pieces))
            length = 0
            for found in CONTENT.finditer(b"".join(data for _, data in pieces)):
                if text := json.loads(found[1]):
                    length += len(text)
                    told.setdefault(mark, []).append((length, pieces[bisect.bisect_left(ends, found.end())][0]))
        return told


async def recorder(folder: Path, upstream: str, rate: float, tokens: int) -> None:
    """The process that stands where the engine listens, until SIGTERM; then it writes what it noted."""
    be_prompt()
    book = Book()
    loop = asyncio.get_running_loop()
    host, _, port = upstream.rpartition("//")[2].partition(":")
    server = await loop.create_server(
        lambda: Relay(book, (host, int(port))) if upstream else Paced(book, rate, tokens), "127.0.0.1", 0
    )
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    (folder / "recorder.port").write_text(str(server.sockets[0].getsockname()[1]))
    await ended.wait()
    (folder / "recorder.json").write_text(json.dumps(book.times()))


def be_prompt() -> None:
    """What watches stands for other machines: it must not wait for a core that the product computes on."""
    with contextlib.suppress(PermissionError):
        os.nice(-10)


def start_recorder(folder: Path, arguments: argparse.Namespace, upstream: str) -> tuple["subprocess.Popen[bytes]", int]:
    options = ["--recorder", str(folder), "--upstream", upstream]
    figures = ["--rate", str(arguments.rate), "--tokens", str(arguments.tokens)]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.bench_chat_stream", *options, *figures])
    port_file = folder / "recorder.port"
    while not port_file.exists() or not port_file.read_text():
        time.sleep(0.05)
    return process, int(port_file.read_text())


def end_recorder(process: "subprocess.Popen[bytes]", folder: Path) -> dict[str, list[tuple[int, float]]]:
    process.terminate()
    process.wait(60)
    return dict(json.loads((folder / "recorder.json").read_text()))


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


def lead_to(deployment: int, port: int) -> None:
    """Let the product find the recorder where the engine was."""
    from webapp.serving.models import Deployment

    Deployment.objects.filter(pk=deployment).update(port=port)


def cpu_seconds(product: Product, recorder: int) -> dict[str, float]:
    """What each part has computed since it started: `server` and `engine` (its model) are below the worker, and the observers."""
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

    for name, pid in product.processes().items():
        spent[name] = times.get(pid, 0.0)
        if name == "worker":
            servers = children.get(pid, [])
            spent["server"] = sum(times.get(server, 0.0) for server in servers)
            spent["engine"] = sum(times.get(child, 0.0) for server in servers for child in children.get(server, []))
    return {**spent, "observers": times.get(recorder, 0.0) + times.get(os.getpid(), 0.0)}


class Socket(asyncio.Protocol):
    """A WebSocket of the browser: frames and when they came, read only as far as the protocol needs."""

    def __init__(self, address: str, cookie: str, origin: str) -> None:
        self.protocol = ClientProtocol(parse_uri(address), origin=Origin(origin), max_size=None)
        self.request = self.protocol.connect()
        self.request.headers["Cookie"] = cookie
        self.messages: list[tuple[float, bytes]] = []
        self.opened, self.ended = asyncio.Event(), asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.protocol.send_request(self.request)
        self._write()

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self.messages.append((now, bytes(event.data)))
                if ENDED in event.data:
                    self.ended.set()
            elif isinstance(event, Response):
                assert event.status_code == 101, event
                self.opened.set()
        self._write()

    def send(self, message: object) -> None:
        self.protocol.send_text(json.dumps(message).encode())
        self._write()

    def _write(self) -> None:
        for data in self.protocol.data_to_send():
            self.transport.write(data)


class Browser:
    """One chat: sends a message, notes when which offset arrived."""

    def __init__(self, product: Product, api: Api, slug: str, deployment: int, cookie: str, mark: str) -> None:
        self.product, self.api, self.mark, self.cookie = product, api, mark, cookie
        self.conversation = api.post(f"/workspaces/{slug}/conversations", {"deployment": deployment})["id"]

    async def talk(self, tokens: int) -> None:
        address = f"ws://127.0.0.1:{self.product.port}/ws/chat/{self.conversation}/"
        made = lambda: Socket(address, self.cookie, self.product.url)  # noqa: E731
        _, self.socket = await asyncio.get_running_loop().create_connection(made, "127.0.0.1", self.product.port)
        await self.socket.opened.wait()
        body = {"content": f"{QUESTION} #{self.mark}#", "parameters": {"max_tokens": tokens}}
        self.begin = time.time()
        sent = await asyncio.to_thread(self.api.post, f"/conversations/{self.conversation}/turns", body)
        self.socket.send({"type": "subscribe", "turn": sent["turns"][1]["id"], "after": 0})
        await self.socket.ended.wait()
        self.socket.transport.close()

    def delays(self, left: list[tuple[int, float]]) -> tuple[list[float], list[float], float]:
        """Milliseconds of every piece, of the newest piece of every frame, and to the first frame."""
        pieces, frames, position, first = [], [], 0, 0.0
        for at, data in self.socket.messages:
            message = json.loads(data)
            assert message["type"] != "end" or message["turn"]["state"] == "done", message["turn"]["error"]
            if message["type"] != "delta":
                continue
            first = first or 1000 * (at - self.begin)
            length, newest = message["start"] + len(message["text"]), None
            while position < len(left) and left[position][0] <= length:
                newest = 1000 * (at - left[position][1])
                pieces.append(newest)
                position += 1
            if newest is not None:
                frames.append(newest)
        assert position == len(left), f"{len(left) - position} pieces never arrived"
        return pieces, frames, first


def row_of(browsers: list[Browser], left: dict[str, list[tuple[int, float]]], cpu: dict[str, float]) -> dict[str, Any]:
    pieces: list[float] = []
    frames: list[float] = []
    first: list[float] = []
    for browser in browsers:
        more_pieces, more_frames, to_first = browser.delays(left[browser.mark])
        pieces, frames, first = pieces + more_pieces, frames + more_frames, [*first, to_first]
    times = [at for browser in browsers for _, at in left[browser.mark]]
    return {
        "chats": len(browsers),
        "tokens": len(pieces),
        "tokens_per_second": round(len(pieces) / (max(times) - min(times))),
        "frames": len(frames),
        "frame_p50": percentile(frames, 0.5),
        "frame_p95": percentile(frames, 0.95),
        "piece_p50": percentile(pieces, 0.5),
        "piece_p95": percentile(pieces, 0.95),
        "first_p50": percentile(first, 0.5),
        "goal_p95": GOAL_P95,
        "cpu": {name: round(1000 * seconds / max(len(pieces), 1), 3) for name, seconds in cpu.items()},
    }


async def talk_all(browsers: list[Browser], tokens: int) -> None:
    await asyncio.gather(*[browser.talk(tokens) for browser in browsers])


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
            process, port = start_recorder(folder, arguments, engine)
            lead_to(deployment, port)
            be_prompt()
            measured = []
            for number, chats in enumerate(arguments.chats):
                marks = [f"{number}-{chat}" for chat in range(chats)]
                browsers = [Browser(product, product.api, slug, deployment, cookie, mark) for mark in marks]
                before = cpu_seconds(product, process.pid)
                with asyncio.Runner(loop_factory=new_event_loop) as runner:
                    runner.run(talk_all(browsers, arguments.tokens))
                after = cpu_seconds(product, process.pid)
                measured.append((browsers, {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}))
            left = end_recorder(process, folder)
            for browsers, cpu in measured:
                row = row_of(browsers, left, cpu)
                print(json.dumps({"benchmark": "chat_stream", "engine": arguments.engine, "rate": arguments.rate, **row}))
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
    arguments = parser.parse_args()
    if arguments.recorder:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(recorder(Path(arguments.recorder), arguments.upstream, arguments.rate, arguments.tokens))
    else:
        run(arguments)


if __name__ == "__main__":
    main()
