"""The real product as an operator starts it: `manage.py up` on a data folder of its own, and what may be done to it."""

import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(http://\S+/login/\S+/)")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], *, seconds: float = 180.0, what: str = "the condition", every: float = 0.1) -> Any:
    """Poll until `condition()` is true; its value. Connection errors count as «not yet»: parts may be restarting."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if value := condition():
                return value
        except (httpx.TransportError, httpx.HTTPStatusError):
            pass
        time.sleep(every)
    raise AssertionError(f"{what} did not happen within {seconds:.0f} s")


class Product:
    """One running installation. `api` is a client with an owner's key; it retries while the web restarts."""

    def __init__(self, data: Path, *, demo: bool = False, **environment: str) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SHUYUAN_", "DJANGO_"))},
            "SHUYUAN_DATA": str(data),
            "SHUYUAN_PORT": str(self.port),
            "SHUYUAN_DEMO": "1" if demo else "0",
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        self.process: subprocess.Popen[str] | None = None
        self.login_link = ""
        self._key = ""

    def start(self, seconds: float = 300.0) -> "Product":
        """Start and wait for the banner with its one-time link."""
        self.data.mkdir(parents=True, exist_ok=True)
        log = self.data / "up.log"
        with log.open("a") as output:
            mark = output.tell()
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )

        def banner() -> str:
            assert self.process
            text = log.read_text()[mark:]
            assert self.process.poll() is None, f"it ended: {text}"
            found = LINK.search(text)
            return found[1] if found else ""

        self.login_link = wait_for(banner, seconds=seconds, what="the banner", every=0.02)
        return self

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def manage(self, *arguments: str) -> str:
        answer = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=180,
        )
        return answer.stdout.strip()

    @property
    def key(self) -> str:
        if not self._key:
            self._key = self.manage("createkey", "admin", "--scopes", "all")
        return self._key

    @functools.cached_property
    def api(self) -> "Api":
        return Api(self.url, self.key)

    def processes(self) -> dict[str, int]:
        """Names and pids of what the supervisor runs now."""
        try:
            return dict(json.loads((self.data / "run" / "processes.json").read_text()))
        except (FileNotFoundError, ValueError):
            return {}

    def kill(self, name: str) -> bool:
        """kill -9 of web, worker or redis; False when it does not run at this moment."""
        return kill(self.processes().get(name))


def kill(pid: int | None) -> bool:
    if not pid:
        return False
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


class Api:
    """The product's API with an owner's key. A refused or broken connection is tried again for half a minute."""

    def __init__(self, url: str, key: str) -> None:
        self.client = httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=120, trust_env=False)
        weakref.finalize(self, self.client.close)

    def call(self, method: str, path: str, **options: Any) -> Any:
        last = time.monotonic() + 30
        while True:
            try:
                answer = self.client.request(method, f"/api/v1{path}", **options)
                break
            except httpx.TransportError:
                if time.monotonic() > last:
                    raise
                time.sleep(0.1)
        assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text[:600]}"
        return answer.json() if answer.content else None

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, params=query)

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, json=body if body is not None else {})

    def workspace(self) -> str:
        """The first workspace, made when there is none."""
        found = self.get("/workspaces")["items"]
        return str((found[0] if found else self.post("/workspaces", {"name": "Academy"}))["slug"])

    def upload(self, slug: str, path: Path) -> int:
        """Send a file in parts; the id of the upload."""
        content = path.read_bytes()
        upload = self.post(f"/workspaces/{slug}/uploads", {"name": path.name, "size": len(content)})
        for start in range(0, len(content), 8 << 20):
            part = content[start : start + (8 << 20)]
            self.call(
                "PUT",
                f"/uploads/{upload['id']}?offset={start}",
                content=part,
                headers={"content-type": "application/octet-stream"},
            )
        return int(upload["id"])

    def wait_job(self, job_id: int, *, seconds: float = 900.0, state: str = "done") -> Any:
        """The job once it ended; it must have ended in `state`."""

        def ended() -> Any:
            job = self.get(f"/jobs/{job_id}")
            return job if job["state"] in {"done", "failed", "cancelled"} else None

        job = wait_for(ended, seconds=seconds, what=f"the end of job {job_id}")
        assert job["state"] == state, job
        return job
