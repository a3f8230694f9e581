"""Labelling at size, on the embedded database: next task, submit, project page, export, agreement, many people at once.

`python -m benchmarks.bench_labeling [tasks …]` (default 100000) prints a JSON line for each figure with its goal, and beside
it what Label Studio 1.23 took on a machine with two cores. Requests go through the whole application (middleware, session,
access, JSON) in this process; only the socket is missing. `--served` measures the running product (`manage.py up`) over HTTP
instead, with an import while people submit; `--label-studio PATH/bin/label-studio` does the same with an installed Label
Studio beside it and prints the ratios.
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROUNDS = 200
PEOPLE, EACH = 16, 50
LABELS = ["card", "transfer", "cash", "refund", "limit", "fee"]


def say(
    tasks: int, figure: str, value: float, goal: float, unit: str, *, least: bool = False, rival: float | None = None
) -> None:
    met = value >= goal if least else value <= goal
    row = {"tasks": tasks, "figure": figure, "value": round(value, 2), "unit": unit, "goal": goal, "met": met}
    print(json.dumps({**row, **({} if rival is None else {"label_studio": rival})}), flush=True)


def timed(run: Callable[[], Any], times: int) -> list[float]:
    """Milliseconds, sorted."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        found.append(1000 * (time.perf_counter() - start))
    return sorted(found)


def percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


class Bench:
    def __init__(self, tasks: int) -> None:
        from webapp.accounts.models import User
        from webapp.accounts.services import create_workspace

        self.tasks = tasks
        self.rounds = max(5, min(ROUNDS, tasks // 500))
        self.owner = User.objects.create_user(f"owner{tasks}")
        self.workspace = create_workspace(user=self.owner, name=f"Bench {tasks}")
        self.version = self.make_version()
        self.keys = (f"{tasks}-{number}" for number in itertools.count())

    def make_version(self) -> Any:
        from webapp.datasets import services
        from workers.spec.record import Record

        dataset = services.create_dataset(user=self.owner, slug=self.workspace.slug, name="Texts")
        records = (
            Record(id=f"r{n}", text=f"Where is my card number {n}? I ordered it {n % 30} days ago.", label=LABELS[n % 6])
            for n in range(self.tasks)
        )
        return services.create_version_from_records(user=self.owner, dataset_id=dataset.pk, records=records, origin="bench")

    def project(self, name: str, **options: Any) -> Any:
        from webapp.labeling import services

        schema = {"fields": [{"name": "label", "type": "choice", "choices": LABELS}]}
        made = services.create_project(
            user=self.owner, slug=self.workspace.slug, version_id=self.version.pk, name=name, schema=schema, **options
        )
        services.fill_tasks(made, seconds=3600)
        return made

    def client(self, user: Any) -> Any:
        from django.test import Client

        client = Client()
        client.force_login(user)
        return client

    def member(self, name: str) -> Any:
        from webapp.accounts.models import Membership, Role, User

        user = User.objects.create_user(f"{name}-{self.tasks}")
        Membership.objects.create(user=user, workspace=self.workspace, role=Role.ANNOTATOR)
        return user

    def value(self) -> list[dict[str, Any]]:
        return [{"q": "label", "type": "choice", "value": "card"}]

    def submit(self, client: Any, task: int) -> Any:
        body = {"value": self.value(), "key": next(self.keys), "lead_time_ms": 900}
        answer = client.post(f"/api/v1/tasks/{task}/annotations", json.dumps(body), "application/json")
        assert answer.status_code == 200, answer.content
        return answer.json()

    def one_person(self, project: Any, when: str) -> None:
        """Asking and submitting apart; a submit brings the next task, too, as the page uses it."""
        from webapp.labeling.work.submitting import submit

        user = self.member(f"single-{when.replace(' ', '')}")
        client = self.client(user)
        address = f"/api/v1/label-projects/{project.pk}/next"
        asked, sent = [], []
        for _ in range(self.rounds):
            asked += timed(lambda: client.get(address), 1)
            task = client.get(address).json()["task"]["id"]
            sent += timed(lambda task=task: submit(user=user, task_id=task, value=self.value(), key=next(self.keys)), 1)
        both = []
        task = client.get(address).json()["task"]["id"]
        for _ in range(self.rounds):
            start = time.perf_counter()
            task = self.submit(client, task)["next"]["task"]["id"]
            both.append(1000 * (time.perf_counter() - start))
        for name, values, rival in (("next task", asked, 120), ("submit", sent, 76), ("submit and next, over HTTP", both, 196)):
            values.sort()
            goals = (30, 60) if "and" in name else (15, 30)
            say(self.tasks, f"{name}{when}, p50", statistics.median(values), goals[0], "ms", rival=rival)
            say(self.tasks, f"{name}{when}, p95", percentile(values, 0.95), goals[1], "ms")

    def nearly_done(self, project: Any) -> None:
        """The same when 99 % of the tasks are done."""
        from webapp.labeling.models import LabelProject, Task

        limit = int(self.tasks * 0.99)
        Task.objects.filter(project=project, position__lt=limit).update(open_slots=0)
        LabelProject.objects.filter(pk=project.pk).update(done_count=limit)
        self.one_person(project, " at 99 % done")

    def pages(self, project: Any) -> None:
        client = self.client(self.owner)
        page = f"/w/{self.workspace.slug}/labelling/{project.pk}/"
        for name, address, rival in (("project page", page, 180), ("dashboard", f"{page}dashboard/", None)):
            values = timed(lambda address=address: client.get(address), 60)
            say(self.tasks, f"{name}, p95", percentile(values, 0.95), 40, "ms", rival=rival)

    def export(self, project: Any) -> None:
        client = self.client(self.owner)
        start = time.perf_counter()
        pieces = client.get(f"/api/v1/label-projects/{project.pk}/export").streaming_content
        first = next(iter(pieces))
        first_byte = 1000 * (time.perf_counter() - start)
        size = len(first) + sum(len(piece) for piece in pieces)
        seconds = time.perf_counter() - start
        goal = 8 * self.tasks / 100_000
        say(self.tasks, "export of all annotations", seconds, goal, "s", rival=97)
        say(self.tasks, "export, first byte", first_byte, 300, "ms")
        print(json.dumps({"tasks": self.tasks, "export_mb": round(size / 1e6, 1)}), flush=True)

    def at_once(self, project: Any) -> None:
        """P8: 16 people × 50 tasks."""
        from django.db import connection

        from webapp.labeling.models import Annotation

        clients = [self.client(self.member(f"person{number}")) for number in range(PEOPLE)]
        start = threading.Barrier(PEOPLE + 1)
        given: list[int] = []
        errors: list[int] = []

        def work(client: Any) -> None:
            start.wait()
            shown = client.get(f"/api/v1/label-projects/{project.pk}/next").json()
            for number in range(EACH):
                task = shown["task"]["id"]
                given.append(task)
                body = {"value": self.value(), "key": f"{id(client)}-{number}"}
                answer = client.post(f"/api/v1/tasks/{task}/annotations", json.dumps(body), "application/json")
                if answer.status_code != 200:
                    errors.append(answer.status_code)
                shown = answer.json()["next"]
            connection.close()

        with ThreadPoolExecutor(PEOPLE) as pool:
            running = [pool.submit(work, client) for client in clients]
            start.wait()
            begun = time.perf_counter()
            for one in running:
                one.result()
            seconds = time.perf_counter() - begun
        stored = Annotation.objects.filter(project=project).count()
        say(self.tasks, "16 people, annotations a second", stored / seconds, 100, "1/s", least=True, rival=3.5)
        say(self.tasks, "16 people, tasks given twice", sum(n - 1 for n in Counter(given).values()), 0, "", rival=20)
        say(self.tasks, "16 people, lost", PEOPLE * EACH - stored, 0, "")
        say(self.tasks, "16 people, errors", len(errors), 0, "")

    def agreement(self, project: Any) -> None:
        """P11: three people on every task, counted anew; then the report, and what a submit adds."""
        from webapp.labeling.models import Annotation, Task
        from webapp.labeling.quality import reporting

        people = [self.member(f"rater{number}") for number in range(3)]
        rows = Task.objects.filter(project=project).order_by("pk").values_list("pk", "position")
        made = (self.rated(project, people, task, position) for task, position in rows.iterator(chunk_size=5000))
        for chunk in batches(itertools.chain.from_iterable(made), 15_000):
            Annotation.objects.bulk_create(chunk)
        start = time.perf_counter()
        reporting.recount(user=self.owner, project_id=project.pk)
        reporting.agreement_report(user=self.owner, project_id=project.pk)
        say(self.tasks, "agreement of all, three people each", time.perf_counter() - start, 10 * self.tasks / 100_000, "s")
        values = timed(lambda: reporting.agreement_report(user=self.owner, project_id=project.pk), 10)
        say(self.tasks, "agreement report, p50", statistics.median(values), 300, "ms")

    def rated(self, project: Any, people: list[Any], task: int, position: int) -> list[Any]:
        from webapp.labeling.models import Annotation

        given = [LABELS[(position + (1 if (position * 7 + rater) % 9 == 0 else 0)) % 6] for rater in range(3)]
        return [
            Annotation(
                project=project, task_id=task, user=person, idempotency_key=f"rate-{task}-{person.pk}",
                value=[{"q": "label", "type": "choice", "value": label}],
            )
            for person, label in zip(people, given, strict=True)
        ]  # fmt: skip


def batches(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while chunk := list(itertools.islice(rows, size)):
        yield chunk


def measure(tasks: int) -> None:
    bench = Bench(tasks)
    start = time.perf_counter()
    project = bench.project("One each")
    say(tasks, "making the tasks", time.perf_counter() - start, 6 * tasks / 100_000, "s", rival=15.3 * tasks / 100_000)
    bench.one_person(project, "")
    bench.at_once(bench.project("Many people"))
    bench.pages(project)
    bench.nearly_done(project)
    three = bench.project("Three each", overlap=3)
    bench.agreement(three)
    bench.export(three)


def served(sizes: list[int], label_studio: Path | None) -> None:
    from benchmarks.labelling.label_studio import LabelStudio
    from benchmarks.labelling.people import Side
    from benchmarks.labelling.served import compare
    from benchmarks.labelling.served import measure as measure_side
    from benchmarks.labelling.shuyuan import Shuyuan

    for tasks in sizes:
        found = []
        with tempfile.TemporaryDirectory(prefix="shuyuan-bench-") as folder:
            sides: list[Side] = [Shuyuan(Path(folder))]
            sides += [LabelStudio(label_studio, Path(folder))] if label_studio else []
            for side in sides:
                side.start()
                try:
                    found.append(measure_side(side, tasks))
                finally:
                    side.stop()
        if len(found) == 2:
            compare(*found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", type=int, default=[100_000])
    parser.add_argument("--served", action="store_true", help="the running product over HTTP")
    parser.add_argument("--label-studio", type=Path, help="an installed label-studio, to measure the same on it")
    arguments = parser.parse_args()
    if arguments.served or arguments.label_studio:
        served(arguments.tasks, arguments.label_studio)
    else:
        inside(arguments.tasks)


def inside(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory(prefix="shuyuan-bench-") as folder:
        os.environ["SHUYUAN_DATA"] = folder
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command

        settings.ALLOWED_HOSTS = ["testserver", "127.0.0.1"]
        call_command("migrate", verbosity=0)
        for tasks in sizes:
            measure(tasks)


if __name__ == "__main__":
    main()
