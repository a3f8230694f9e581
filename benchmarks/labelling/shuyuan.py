"""Our side: `manage.py up` on a data folder of its own; people with sessions, as a browser has them."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.labelling.people import Person, peak_mb
from tests.product import Product

LABELS = ["card", "transfer", "cash", "refund", "limit", "fee"]
PEOPLE = """
from django.test import Client
from webapp.accounts.models import Membership, Role, User, Workspace
workspace = Workspace.objects.get(slug={slug!r})
for number in range({count}):
    user, made = User.objects.get_or_create(username=f"person{{number}}")
    if made:
        Membership.objects.create(user=user, workspace=workspace, role=Role.ANNOTATOR)
    client = Client()
    client.force_login(user)
    print("session", client.cookies["shuyuan_session"].value)
"""


class Shuyuan:
    name = "shuyuan"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.product = Product(folder / "shuyuan")

    def start(self) -> None:
        self.product.start()
        self.slug = self.product.api.workspace()
        self.owner = Person(self.product.port, {"Authorization": f"Bearer {self.product.key}"})

    def stop(self) -> None:
        self.product.stop()

    def bring(self, lines: Sequence[str]) -> float:
        """Upload and import; then a label project over all records. Seconds of both together, until every task is there."""
        start = time.perf_counter()
        version = self.import_file("texts", lines)
        self.imported_seconds = time.perf_counter() - start
        self.version = version["id"]
        self.project = self.make_project("One each", len(lines))
        return time.perf_counter() - start

    def import_file(self, name: str, lines: Sequence[str]) -> Any:
        path = self.folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
        api = self.product.api
        made = api.post(f"/workspaces/{self.slug}/datasets", {"upload": api.upload(self.slug, path), "name": name})
        version = api.get(f"/datasets/{made['id']}/versions")["items"][0]
        if version["job"]:
            api.wait_job(version["job"], seconds=1800)
        return version

    def make_project(self, name: str, tasks: int, **options: Any) -> int:
        """Seconds of the request are kept in `made_seconds`; tasks beyond the first ones are made by a worker's duty."""
        schema = {"fields": [{"name": "label", "type": "choice", "choices": LABELS}]}
        body = {"version": self.version, "name": name, "schema": schema, **options}
        start = time.perf_counter()
        project = self.owner.json("POST", f"/api/v1/workspaces/{self.slug}/label-projects", body)["id"]
        self.made_seconds = time.perf_counter() - start
        while self.owner.json("GET", f"/api/v1/label-projects/{project}")["created"] < tasks:
            time.sleep(0.1)
        return int(project)

    def people(self, count: int) -> list[Person]:
        said = self.product.manage("shell", "-c", PEOPLE.format(slug=self.slug, count=count))
        sessions = [line.split()[1] for line in said.splitlines() if line.startswith("session ")]
        token = "x" * 32
        headers = [{"Cookie": f"shuyuan_session={session}; shuyuan_csrf={token}", "X-CSRFToken": token} for session in sessions]
        return [Person(self.product.port, each) for each in headers]

    def pages(self) -> dict[str, Callable[[], Any]]:
        [viewer] = self.people(1)
        page = {"Accept": "text/html"}
        viewer.headers |= page
        records = f"/api/v1/versions/{self.version}/records"
        last = self.owner.json("GET", f"{records}?limit=30")["last_cursor"]
        tasks = f"/w/{self.slug}/labelling/"

        def get(person: Person, path: str) -> Callable[[], Any]:
            def read() -> None:
                status, _ = person.call("GET", path)
                if status != 200:
                    raise RuntimeError(f"{path}: {status}")

            return read

        return {
            "project list": get(viewer, tasks),
            "project page": get(viewer, f"{tasks}{self.project}/"),
            "table, first page": get(self.owner, f"{records}?limit=30"),
            "table, last page": get(self.owner, f"{records}?limit=30&cursor={last}" if last else f"{records}?limit=30"),
            "full-text filter": get(self.owner, f"{records}?limit=30&q=number%20777"),
        }

    def next_task(self, person: Person) -> int | None:
        task = person.json("GET", f"/api/v1/label-projects/{self.project}/next").get("task")
        return int(task["id"]) if task else None

    def submit(self, person: Person, task: int, key: str) -> tuple[int, int | None]:
        value = [{"q": "label", "type": "choice", "value": "card"}]
        body = {"value": value, "key": key, "lead_time_ms": 900}
        status, content = person.call("POST", f"/api/v1/tasks/{task}/annotations", body)
        following = json.loads(content)["next"].get("task") if status < 400 else None
        return status, following["id"] if following else None

    def export(self) -> tuple[float, float, int]:
        return self.owner.download(f"/api/v1/label-projects/{self.project}/export")

    def stored(self) -> int:
        return int(self.owner.json("GET", f"/api/v1/label-projects/{self.project}")["annotations"])

    def peak_mb(self) -> float:
        return peak_mb(self.product.processes()["web"])
