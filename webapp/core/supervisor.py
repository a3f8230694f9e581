"""Keeps the processes of an embedded Shuyuan alive: one line per event, back-off between restarts, no orphan left behind.

Standard library only, run as `python -m webapp.core.supervisor plan.json`, so that it costs almost no memory.
A plan: {"processes": [{"name", "command", "log", "environment", "socket" | "url": what shows that it is ready,
"once": true for a process that ends by itself}], "status": file, "banner": text printed when all are ready}.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
TICK_SECONDS = 0.05
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.2, 20.0
STEADY_SECONDS = 30.0
GRACE_SECONDS = 25.0


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


def die_with_supervisor() -> None:
    """In the child, before its program starts: be ended when the supervisor is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One supervised program."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.name: str = plan["name"]
        self.plan = plan
        self.running: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.delay = FIRST_DELAY_SECONDS
        self.start_again_at: float | None = 0.0
        self.finished = False

    def start(self) -> None:
        Path(self.plan["log"]).parent.mkdir(parents=True, exist_ok=True)
        with Path(self.plan["log"]).open("ab") as log:
            self.running = subprocess.Popen(
                self.plan["command"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.plan.get("environment", {})},
                start_new_session=True,
                preexec_fn=die_with_supervisor,  # noqa: PLW1509  (this program has one thread)
            )
        self.started_at = time.monotonic()
        self.start_again_at = None

    def look(self) -> None:
        """Start what is due; notice what ended and decide when to start it again."""
        now = time.monotonic()
        if self.running is None:
            if self.start_again_at is not None and now >= self.start_again_at:
                self.start()
            return
        code = self.running.poll()
        if code is None:
            return
        self.running = None
        if self.plan.get("once"):
            self.finished = True
            if code:
                say(f"{self.name} failed with code {code}; see {self.plan['log']}")
            return
        self.delay = FIRST_DELAY_SECONDS if now - self.started_at > STEADY_SECONDS else min(self.delay * 2, LONGEST_DELAY_SECONDS)
        self.start_again_at = now + self.delay
        say(f"{self.name} ended (code {code}), starts again in {self.delay:.1f} s; its log: {self.plan['log']}")

    def is_ready(self) -> bool:
        if self.plan.get("once"):
            return self.finished
        if self.running is None:
            return False
        if path := self.plan.get("socket"):
            return answers_on_socket(path)
        return answers_on_url(self.plan["url"]) if self.plan.get("url") else True

    def signal(self, number: int) -> None:
        if self.running is not None and self.running.poll() is None:
            os.killpg(self.running.pid, number)


def answers_on_socket(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def answers_on_url(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


class Supervisor:
    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.processes = [Process(item) for item in plan["processes"]]
        self.ending = False
        self._status = ""

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        for stage in sorted({process.plan.get("stage", 0) for process in self.processes}):
            self._start_stage(stage)
        if not self.ending:
            print(self.plan["banner"], flush=True)
        while not self.ending:
            self._look(self.processes)
            time.sleep(TICK_SECONDS)
        self._stop()

    def _start_stage(self, stage: int) -> None:
        """Start the processes of one stage and wait until each is ready."""
        waiting = [process for process in self.processes if process.plan.get("stage", 0) == stage]
        before = [process for process in self.processes if process.plan.get("stage", 0) <= stage]
        while waiting and not self.ending:
            self._look(before)
            for process in [item for item in waiting if item.is_ready()]:
                say(f"{process.name} is {'done' if process.plan.get('once') else 'ready'}")
                waiting.remove(process)
            time.sleep(TICK_SECONDS)

    def _look(self, processes: list[Process]) -> None:
        for process in processes:
            process.look()
        status = json.dumps({item.name: item.running.pid for item in self.processes if item.running})
        if status != self._status:
            self._status = status
            target = Path(self.plan["status"])
            temporary = target.with_suffix(".tmp")
            temporary.write_text(status)
            temporary.replace(target)

    def _end(self, *_: object) -> None:
        self.ending = True

    def _stop(self) -> None:
        """TERM in reverse order of starting, KILL what does not end in time."""
        say("stopping")
        last = time.monotonic() + GRACE_SECONDS
        for process in reversed(self.processes):
            process.signal(signal.SIGTERM)
            while process.running is not None and process.running.poll() is None and time.monotonic() < last:
                time.sleep(TICK_SECONDS)
            process.signal(signal.SIGKILL)
        Path(self.plan["status"]).unlink(missing_ok=True)
        say("stopped; everything is saved")


if __name__ == "__main__":
    Supervisor(json.loads(Path(sys.argv[1]).read_text())).run()
