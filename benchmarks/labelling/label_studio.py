"""The other side: Label Studio as `label-studio start` runs it, with its default database, on the same texts."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks.labelling.people import Person, peak_mb
from benchmarks.labelling.shuyuan import LABELS
from tests.product import free_port, wait_for

CHUNK = 10_000
TOKEN = "f" * 40
CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="label" toName="text">'
    + "".join(f'<Choice value="{label}"/>' for label in LABELS)
    + "</Choices></View>"
)
FILTER = {"filter": "filter:tasks:data.text", "operator": "contains", "type": "String", "value": "number 777"}


class LabelStudio:
    name = "label studio"

    def __init__(self, program: Path, folder: Path) -> None:
        self.program = program
        self.folder = folder / "label-studio"
        self.folder.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            str(self.program), "start", "--init", "--no-browser", "--port", str(self.port), "--data-dir", str(self.folder),
            "--username", "owner@example.com", "--password", "owner-password", "--user-token", TOKEN, "--enable-legacy-api-token",
        ]  # fmt: skip
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SHUYUAN_", "DJANGO_"))},
            "LATEST_VERSION_CHECK": "0", "COLLECT_ANALYTICS": "False", "SENTRY_RATE": "0", "SENTRY_DSN": "",
        }  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        wait_for(self.answers, seconds=600, what="Label Studio")
        self.owner = Person(self.port, {"Authorization": f"Token {TOKEN}"})

    def answers(self) -> bool:
        return bool(httpx.get(f"{self.url}/health", timeout=5, trust_env=False).status_code == 200)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(60)

    def bring(self, lines: Sequence[str]) -> float:
        """Import through its API in portions of ten thousand, as its own limit asks for."""
        self.project = self.owner.json("POST", "/api/projects", {"title": "One each", "label_config": CONFIG})["id"]
        self.tasks = len(lines)
        start = time.perf_counter()
        for begin in range(0, len(lines), CHUNK):
            self.owner.json(
                "POST", f"/api/projects/{self.project}/import", [{"text": line} for line in lines[begin : begin + CHUNK]]
            )
        return time.perf_counter() - start

    def people(self, count: int) -> list[Person]:
        """Everybody signs up, as its pages let them."""
        return [self._signed_up(f"person{number}-{time.time_ns()}@example.com") for number in range(count)]

    def _signed_up(self, address: str) -> Person:
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False, follow_redirects=True) as client:
            page = client.get("/user/signup/").text
            token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
            form = {"email": address, "password": "long-password-1", "csrfmiddlewaretoken": token[1] if token else ""}
            client.post("/user/signup/", data=form, headers={"Referer": self.url})
            cookies = dict(client.cookies)
        header = "; ".join(f"{name}={value}" for name, value in cookies.items())
        return Person(self.port, {"Cookie": header, "X-CSRFToken": cookies.get("csrftoken", "")})

    def pages(self) -> dict[str, Callable[[], Any]]:
        view = self.owner.json(
            "POST", "/api/dm/views/", {"project": self.project, "data": {"filters": {"conjunction": "and", "items": [FILTER]}}}
        )
        table = f"/api/tasks?fields=all&page_size=30&project={self.project}"
        paths = {
            "project list": "/api/projects?page_size=30",
            "project page": f"/api/projects/{self.project}",
            "table, first page": f"{table}&page=1",
            "table, last page": f"{table}&page={(self.tasks + 29) // 30}",
            "full-text filter": f"{table}&page=1&view={view['id']}",
        }
        return {name: lambda path=path: self.owner.json("GET", path) for name, path in paths.items()}  # type: ignore[misc]

    def next_task(self, person: Person) -> int | None:
        status, content = person.call("GET", f"/api/projects/{self.project}/next")
        if status != 200:
            return None
        return int(json.loads(content)["id"])

    def submit(self, person: Person, task: int, key: str) -> tuple[int, int | None]:
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["card"]}}]
        status, _ = person.call(
            "POST", f"/api/tasks/{task}/annotations?project={self.project}", {"result": result, "lead_time": 0.9}
        )
        return status, None

    def export(self) -> tuple[float, float, int]:
        return self.owner.download(f"/api/projects/{self.project}/export?exportType=JSON&download_all_tasks=true")

    def stored(self) -> int:
        return int(self.owner.json("GET", f"/api/projects/{self.project}")["total_annotations_number"])

    def peak_mb(self) -> float:
        return peak_mb(self.process.pid) if self.process else 0.0
