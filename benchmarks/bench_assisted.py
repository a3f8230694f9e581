"""What models save people who label (S6.10): a simulated annotator works once from scratch and once with proposals.

`python -m benchmarks.bench_assisted [tasks]` (default 1000 a family) labels through the API of the whole application: intents
(banking77 where it is present in ../shared/data, else made-up ones), marked names, places, amounts and dates in messages, and
texts with slips of the pen that have to be corrected. With help a round of learning (its real program) runs after the first
60 labels and then every 120 new ones; the least sure records come first. Keys are counted by the label page's own key map
(`webapp.labeling.learning.effort`): a digit or a letter for a choice, letters that filter a long list, arrows and digits for
marks, letters and arrows in texts, Enter to accept, Ctrl + Enter to submit. Prints a JSON line for each family with both sides
and the share saved, with a 95 % bootstrap interval over tasks. The answers of the simulated person are always right.
"""

import argparse
import csv
import json
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

GOAL = 40.0
FIRST, EVERY = 60, 120
BANKING = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "banking77" / "train.csv"
PEOPLE = ["Anna", "Li Wei", "Omar", "Grace Hopper", "Wang Fang", "Tom", "Maria Silva", "Ivan", "Chloe", "Ken Adams", "Zhao Min"]
PLACES = ["Paris", "Shanghai", "New York", "Oslo", "Lagos", "Berlin", "Chengdu", "Lima", "San Diego", "Turin"]
SENTENCES = [
    "Hello, this is {p}. I paid {a} in {l} on {d} and the order is not here.",
    "Please send {a} to {p}; the parcel went to {l}.",
    "My name is {p} and I moved to {l} on {d}.",
    "Can {p} collect the order in {l}? The bill was {a}.",
    "On {d} somebody took {a} from my card in {l}.",
    "The shop in {l} says that {p} has to sign first.",
    "I want {a} back, the delivery of {d} was broken.",
    "Nothing arrived yet, please look into it.",
    "{p} wrote to you on {d} but nobody answered.",
]
Case = tuple[str, list[dict[str, Any]]]


def intents(count: int, chance: random.Random) -> tuple[str, dict[str, Any], list[Case]]:
    if BANKING.exists():
        with BANKING.open(encoding="utf-8", newline="") as file:
            rows = [(row["text"].strip(), row["category"]) for row in csv.DictReader(file)]
        name = "intents (banking77, 77 choices)"
    else:
        things, verbs = ("card", "order", "parcel", "account", "bill"), ("where is", "stop", "change", "pay", "find")
        rows = [(f"{verb} my {thing} number {n}", f"{verb} {thing}") for n in range(200) for verb in verbs for thing in things]
        name = "intents (made up)"
    chance.shuffle(rows)
    rows = rows[:count]
    field = {"name": "label", "type": "choice", "choices": [{"value": label} for label in sorted({label for _, label in rows})]}
    return name, {"fields": [field]}, [(text, [{"q": "label", "type": "choice", "value": label}]) for text, label in rows]


def marks(count: int, chance: random.Random) -> tuple[str, dict[str, Any], list[Case]]:
    """Messages of a shop; half of the amounts, dates, surnames and streets are new in every message."""
    cases = []
    for _ in range(count):
        person = chance.choice(PEOPLE) if chance.random() < 0.5 else f"{chance.choice(PEOPLE).split()[0]} {_made_up(chance)}"
        place = chance.choice(PLACES) if chance.random() < 0.6 else _made_up(chance)
        amount = f"{chance.randint(2, 900)}.{chance.randint(10, 99)} {chance.choice(['euros', 'dollars', 'yuan'])}"
        date = f"{chance.randint(1, 28)} {chance.choice(['May', 'June', 'July', 'March'])}"
        text, spans = "", []
        for piece in chance.choice(SENTENCES).replace("}", "{").split("{"):
            known = {"p": ("person", person), "l": ("place", place), "a": ("amount", amount), "d": ("date", date)}
            label, said = known.get(piece, ("", piece))
            if label:
                place_ = {"start": len(text), "end": len(text) + len(said)}
                spans.append({"id": f"s{len(spans)}", **place_, "label": label, "text": said})
            text += said
        cases.append((text, [{"q": "names", "type": "spans", "value": spans}]))
    labels = [{"value": label} for label in ("person", "place", "amount", "date")]
    return (
        "marks (messages made up, 4 labels)",
        {"fields": [{"name": "names", "type": "spans", "labels": labels, "required": False}]},
        cases,
    )


def _made_up(chance: random.Random) -> str:
    return "".join(
        chance.choice(["ka", "lo", "mi", "ren", "sto", "ber", "tu", "va"]) for _ in range(chance.randint(2, 3))
    ).capitalize()


def corrections(count: int, chance: random.Random) -> tuple[str, dict[str, Any], list[Case]]:
    """Each text has about one slip in seven words: letters lost, doubled, swapped or wrong, and a few habits of writing."""
    habits = {"please": "plz", "because": "becuz", "you": "u", "received": "recieved", "transfer": "tranfer"}
    cases = []
    for text, _ in intents(count, chance)[2]:
        words = [_slip(word, chance) if chance.random() < 1 / 7 else habits.get(word, word) for word in text.split(" ")]
        cases.append((" ".join(words), [{"q": "text", "type": "text", "value": text}]))
    return "corrections (slips put into texts)", {"fields": [{"name": "text", "type": "text", "source": "text"}]}, cases


def _slip(word: str, chance: random.Random) -> str:
    if len(word) < 4 or not word.isalpha():
        return word
    at = chance.randrange(1, len(word) - 1)
    return chance.choice([
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        word[:at] + chance.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :],
    ])  # fmt: skip


class Person:
    """Knows every answer, and presses the fewest keys that lead there."""

    def __init__(self, client: Any, project: Any, cases: list[Case]) -> None:
        self.client = client
        self.project = project
        self.answers = {f"t{number}": value for number, (_text, value) in enumerate(cases)}
        self.keys: dict[str, int] = {}
        self.helped = {"accepted": 0, "edited": 0, "none": 0}

    def work(self, count: int) -> int:
        from webapp.labeling.learning.effort import keys_for
        from webapp.labeling.models import Task

        task = self._get(f"/api/v1/label-projects/{self.project.pk}/next").get("task")
        done = 0
        while task and done < count:
            key = Task.objects.values_list("key", flat=True).get(pk=task["id"])
            value = self.answers[key]
            shown = sorted(task.get("predictions") or [], key=lambda one: -(one["score"] or 0))
            proposed = shown[0] if shown else None
            offered = (proposed["value"], proposed.get("ranked")) if proposed else (None, None)
            self.keys[key] = keys_for(self.project.schema, task["data"], value, *offered)
            body = {"value": value, "key": f"{self.project.pk}-{key}", "lead_time_ms": 1000}
            if proposed:
                body["prediction"] = proposed["id"]
            said = self.client.post(f"/api/v1/tasks/{task['id']}/annotations", body, "application/json")
            assert said.status_code in {200, 201}, said.content
            self.helped["none" if not proposed else "accepted" if _equal(proposed, value) else "edited"] += 1
            done += 1
            task = said.json()["next"].get("task")
        return done

    def _get(self, url: str) -> Any:
        answer = self.client.get(url)
        assert answer.status_code == 200, answer.content
        return answer.json()


def _equal(proposed: dict[str, Any], value: list[dict[str, Any]]) -> bool:
    def plain(answers: Any) -> Any:
        return [
            [(mark["start"], mark["end"], mark["label"]) for mark in one["value"]] if one["type"] == "spans" else one["value"]
            for one in answers
        ]

    return bool(plain(proposed["value"]) == plain(value))


class Bench:
    def __init__(self, count: int) -> None:
        from django.test import Client

        from webapp.accounts.models import User
        from webapp.accounts.services import create_workspace
        from webapp.jobs import leases

        self.count = count
        self.owner = User.objects.create_user("owner")
        self.workspace = create_workspace(user=self.owner, name="Bench")
        self.client = Client()
        self.client.force_login(self.owner)
        leases.ensure_slots()

    def project(self, name: str, schema: dict[str, Any], cases: list[Case]) -> Any:
        from webapp.datasets import services as datasets
        from webapp.labeling import services
        from workers.spec.record import Record

        dataset = datasets.create_dataset(user=self.owner, slug=self.workspace.slug, name=name)
        records = [Record(id=f"t{number}", text=text) for number, (text, _value) in enumerate(cases)]
        version = datasets.create_version_from_records(user=self.owner, dataset_id=dataset.pk, records=records, origin="bench")
        return services.create_project(user=self.owner, slug=self.workspace.slug, version_id=version.pk, name=name, schema=schema)

    def learn(self, project: Any) -> Any:
        """One click, and what workers do then."""
        from webapp.jobs import running
        from webapp.labeling.learning.advancing import advance_rounds
        from webapp.labeling.models import LearningRound

        said = self.client.post(f"/api/v1/label-projects/{project.pk}/rounds", {}, "application/json")
        assert said.status_code == 201, said.content
        advance_rounds()
        assert running.run_next("light")
        advance_rounds()
        made = LearningRound.objects.get(pk=said.json()["id"])
        assert made.state == "done", made.error
        return made

    def measure(self, make: Callable[..., tuple[str, dict[str, Any], list[Case]]]) -> None:
        from webapp.labeling import dashboard

        name, schema, cases = make(self.count, random.Random(7))
        scratch = Person(self.client, self.project(f"{name} from scratch", schema, cases), cases)
        scratch.work(len(cases))
        project = self.project(f"{name} with help", schema, cases)
        helped = Person(self.client, project, cases)
        helped.work(FIRST)
        curve, seconds = [], 0.0
        while len(helped.keys) < len(cases):
            started = time.monotonic()
            made = self.learn(project)
            seconds = max(seconds, time.monotonic() - started)
            curve.append([made.learnt, round(made.accuracy or 0, 3)])
            helped.work(EVERY)
        pairs = [(scratch.keys[key], helped.keys[key]) for key in scratch.keys]
        low, high = interval(pairs)
        share = saved(pairs)
        row = {
            "family": name, "tasks": len(cases), "keys_from_scratch": sum(one for one, _ in pairs),
            "keys_with_help": sum(two for _, two in pairs), "saved_percent": round(share, 1),
            "interval_95": [round(low, 1), round(high, 1)], "goal": GOAL, "met": share >= GOAL, "rounds": len(curve),
            "accuracy_by_labels": curve, **helped.helped, "slowest_round_seconds": round(seconds, 1),
            "dashboard": dashboard.saving(project),
        }  # fmt: skip
        print(json.dumps(row), flush=True)


def saved(pairs: list[tuple[int, int]]) -> float:
    """Percent of the keys from scratch."""
    return 100 * (1 - sum(two for _, two in pairs) / max(1, sum(one for one, _ in pairs)))


def interval(pairs: list[tuple[int, int]], times: int = 1000) -> tuple[float, float]:
    chance = random.Random(0)
    found = sorted(saved(chance.choices(pairs, k=len(pairs))) for _ in range(times))
    return found[int(0.025 * times)], found[int(0.975 * times) - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="?", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shuyuan-bench-") as folder:
        os.environ["SHUYUAN_DATA"] = folder
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command

        settings.ALLOWED_HOSTS = ["testserver"]
        logging.disable(logging.WARNING)  # no live events without a broker
        call_command("migrate", verbosity=0)
        bench = Bench(arguments.tasks)
        for make in (intents, marks, corrections):
            bench.measure(make)
    print(f"load {os.getloadavg()[0]:.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
