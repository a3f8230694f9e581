"""What the pages of runs show: rendered examples, answers over the steps, left-out rows, resolved settings, comparison."""

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.utils.translation import gettext

from webapp.accounts.models import Workspace
from webapp.core.errors import NotFound
from webapp.jobs.models import Job, JobEvent, MetricPoint
from webapp.registry.training.spec_fields import flattened, label_of
from webapp.registry.training.wording import CHOICES

RUN_KINDS = ("sft", "preference", "reward", "grpo", "pretrain", "tokenizer")
WRITTEN_FOR_OTHERS = {"pretrain": "pt", "sft": "sft", "preference": "dpo", "reward": "rm"}
"""Kinds that LLaMA-Factory has, with its name for their stage."""
COMPARED = 8
WITHOUT_MEANING = {"final_loss", "held_out_loss", "first_held_out_loss", "best_step"}
"""Of reinforcement, whose loss is about zero by construction."""
SAMPLE_LIMIT = 400
HIDDEN_SETTINGS = {"versions", "datasets", "models", "sample_prompts"}
TOLD_ABOVE = {"name", "total_steps"}
"""Not among the settings that are compared: the table has them in its head and among the outcomes."""
INPUT_SETTINGS = {"name", "base_model", "tokenizer", "datasets"}


def workspace_runs(workspace: Workspace, kind: str = "", tag: str = "") -> QuerySet[Job]:
    """Training jobs with the newest value of their loss and held-out loss; `tag`: only those that carry it."""
    runs = Job.objects.filter(workspace=workspace, kind__in=[kind] if kind in RUN_KINDS else RUN_KINDS)

    def last(name: str) -> Subquery:
        points = MetricPoint.objects.filter(job=OuterRef("pk"), name=name).order_by("-step").values("value")
        return Subquery(points[:1])

    if tag:
        runs = runs.filter(note__tags__contains=f",{tag},")
    return runs.select_related("created_by", "note").annotate(
        loss=last("loss"), held_out_loss=last("held_out_loss"), held_out_reward=last("held_out_reward")
    )


def access_runs(workspace: Workspace, numbers: list[int]) -> list[Job]:
    """Runs of this workspace by their ids, in the order given; at most COMPARED of them."""
    found = workspace_runs(workspace).in_bulk(numbers[:COMPARED])
    if not found or any(number not in found for number in numbers[:COMPARED]):
        raise NotFound
    return [found[number] for number in dict.fromkeys(numbers[:COMPARED])]


@dataclass(frozen=True)
class Answers:
    """What the model answered to one prompt: [(steps, text)], the newest first; equal answers in a row stand once («28 – 48»)."""

    prompt: str
    texts: list[tuple[str, str]]
    expected: str
    """The data's answer; empty for a question that is not in the data."""


def run_context(job: Job) -> dict[str, Any]:
    """For `training/_run.html`."""
    from webapp.registry.models import Model, RunNote

    samples: dict[str, list[dict[str, Any]]] = defaultdict(list)
    events = JobEvent.objects.filter(job=job, type="sample").order_by("-seq")[:SAMPLE_LIMIT]
    for event in reversed(events):
        samples[str(event.data.get("name", ""))].append(event.data.get("data") or {})
    from webapp.registry.training.lighter import advice
    from webapp.registry.training.measured import memory_table
    from webapp.registry.training.xtuner_writing import can_be_written

    result = job.result or {}
    measured = samples["memory"][-1].get("parts") or {} if samples["memory"] else result.get("memory") or {}
    roles = [role for role in ("base_model", "tokenizer") if job.spec.get(role)]
    models = Model.objects.filter(workspace=job.workspace_id, pk__in=[job.spec[role] for role in roles])
    return {
        "rendered": samples["rendered"][-3:],
        "answers": _answers(samples["answer"]),
        "left_out": _latest(samples["dropped"], "reason"),
        "run_warnings": _latest(samples["warning"], "code"),
        "dataset_facts": samples["dataset"][-1] if samples["dataset"] else {},
        "figures": {
            key: value
            for key, value in result.items()
            if isinstance(value, int | float) and not (job.kind == "grpo" and key in WITHOUT_MEANING)
        },
        "settings": settings_table(job),
        "memory": memory_table(job, measured),
        **charts_shown(job),
        "advice": advice(job),
        "note": RunNote.objects.filter(job=job).first(),
        "others": comparable(job),
        "run_models": list(models),
        "run_datasets": _dataset_versions(job),
        "identity": result.get("token_identity") or (samples["identity"][-1] if samples["identity"] else {}),
        "record": record_of(job),
        "recipe_file": job.kind in WRITTEN_FOR_OTHERS,
        "xtuner_file": can_be_written(job),
    }


def charts_of(kind: str) -> dict[str, Any]:
    """{"main": (name, title), "small": [(name, title)]} of a run's page."""
    titles = {
        "loss": gettext("Loss"),
        "reward": gettext("Reward"),
        "accuracy": gettext("Share right"),
        "margin": gettext("Lead"),
        "learning_rate": gettext("Learning rate"),
        "tokens_per_second": gettext("Tokens per second"),
        "mfu": gettext("MFU"),
        "teraflops": gettext("TFLOP/s"),
        "grad_norm": gettext("Gradient norm"),
        "answer_tokens": gettext("Tokens of an answer"),
        "even_groups": gettext("Questions without a difference"),
    }
    common = ["learning_rate", "tokens_per_second", "teraflops", "mfu", "grad_norm"]
    first = {
        "grpo": ["reward", "loss", "answer_tokens", "even_groups", "learning_rate", "grad_norm"],
        "preference": ["loss", "accuracy", "margin", *common],
        "reward": ["loss", "accuracy", "margin", *common],
    }.get(kind, ["loss", *common])
    names = [(name, titles[name]) for name in first]
    return {"main": names[0], "small": names[1:]}


def charts_shown(job: Job) -> dict[str, Any]:
    """For `training/_run.html`: a run that goes on has all charts of its kind; one that ended, those that it has points for."""
    charts = charts_of(job.kind)
    if job.finished_at is None:
        return {"draws": job.kind != "tokenizer", "run_charts": charts}
    there = set(MetricPoint.objects.filter(job=job).values_list("name", flat=True).distinct())
    charts["small"] = [(name, title) for name, title in charts["small"] if name in there]
    return {"draws": job.kind != "tokenizer" and bool(there), "run_charts": charts}


def comparable(job: Job) -> list[Job]:
    """The newest other runs of its kind, to lay over it."""
    others = Job.objects.filter(workspace=job.workspace_id, kind=job.kind, started_at__isnull=False).exclude(pk=job.pk)
    return list(others.order_by("-pk")[:20])


def _dataset_versions(job: Job) -> list[Any]:
    from webapp.datasets.models import DatasetVersion

    found = DatasetVersion.objects.filter(pk__in=job.spec.get("datasets", []), dataset__workspace=job.workspace_id)
    return list(found.select_related("dataset"))


def record_of(job: Job) -> list[tuple[str, str]]:
    """(name, value) of what repeats the run: digests of data, base, template and settings, seed, versions, machine."""
    result = job.result or {}
    resolved = result.get("resolved") or {}
    rows = [(item["name"], item["sha256"]) for item in resolved.get("datasets") or []]
    rows += [(item["name"], item["sha256"]) for item in (resolved.get("models") or {}).values()]
    rows.append((gettext("Tokenizer and template"), str(result.get("template_hash") or "")))
    rows.append((gettext("Settings"), job.spec_hash))
    rows.append((gettext("Seed"), str(job.spec.get("seed", ""))))
    versions = (resolved.get("versions") or {}).items()
    rows += [(label_of(name), str(value)) for name, value in versions if value is not None]
    return [(name, value) for name, value in rows if value]


def _latest(entries: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """The newest entry of each kind: a resumed attempt says everything again."""
    return list({str(entry.get(key)): entry for entry in entries}.values())


def _answers(entries: list[dict[str, Any]]) -> list[Answers]:
    prompts: dict[str, dict[int, str]] = defaultdict(dict)
    expected: dict[str, str] = {}
    for entry in entries:
        prompt = str(entry.get("prompt", ""))
        prompts[prompt][int(entry.get("step", 0))] = str(entry.get("text", ""))
        expected[prompt] = str(entry.get("expected", ""))
    return [Answers(prompt, _changes(sorted(texts.items(), reverse=True)), expected[prompt]) for prompt, texts in prompts.items()]


def _changes(looks: list[tuple[int, str]]) -> list[tuple[str, str]]:
    found = []
    for text, group in itertools.groupby(looks, key=lambda look: look[1]):
        steps = [step for step, _ in group]
        found.append((f"{steps[-1]} – {steps[0]}" if len(steps) > 1 else str(steps[0]), text))
    return found


def settings_of(job: Job) -> dict[str, Any]:
    """path → value: what was asked for, and, once the run has ended, what the program chose."""
    values = flattened(job.spec)
    resolved = {key: item for key, item in ((job.result or {}).get("resolved") or {}).items() if key not in HIDDEN_SETTINGS}
    for path, value in flattened(resolved).items():
        place = next((known for known in values if known.rsplit(".", 1)[-1] == path), path)
        if value is not None:
            values[place] = value
    return values


def shown(value: Any) -> Any:
    """A value as people read it: yes, no, the name of a choice, a list in one line."""
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, str):
        return gettext(CHOICES[value]) if value in CHOICES else value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1e9 else f"{value:.6g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def settings_table(job: Job) -> list[tuple[str, Any, bool]]:
    """(label, value, chosen by the program) of every setting but the inputs, which the page shows as links."""
    asked = flattened(job.spec)
    return [
        (label_of(path), shown(value), asked.get(path) != value)
        for path, value in settings_of(job).items()
        if path not in INPUT_SETTINGS
    ]


def settings_difference(jobs: list[Job]) -> list[tuple[str, list[Any], bool]]:
    """(label, value of each run, whether they differ); differences first."""
    names = _input_names(jobs)
    columns = [settings_of(job) for job in jobs]
    rows = []
    for path in dict.fromkeys(path for column in columns for path in column if path not in TOLD_ABOVE):
        values = [shown(names.get((path, str(column.get(path))), column.get(path))) for column in columns]
        rows.append((label_of(path), values, any(value != values[0] for value in values)))
    return sorted(rows, key=lambda row: not row[2])


def _input_names(jobs: list[Job]) -> dict[tuple[str, str], str]:
    """(setting, its value as text) → the names of the models or datasets that it means."""
    from webapp.datasets.models import DatasetVersion
    from webapp.registry.models import Model

    wanted = {number for job in jobs for number in job.spec.get("datasets", [])}
    versions = DatasetVersion.objects.select_related("dataset").in_bulk(wanted)
    roles = {(role, job.spec[role]) for job in jobs for role in ("base_model", "tokenizer") if job.spec.get(role)}
    models = Model.objects.in_bulk({number for _role, number in roles})
    names = {(role, str(number)): models[number].name for role, number in roles if number in models}
    for job in jobs:
        numbers = job.spec.get("datasets", [])
        names["datasets", str(numbers)] = ", ".join(str(versions.get(number, f"#{number}")) for number in numbers)
    return names


def card_context(model: Any) -> dict[str, Any]:
    """Training figures and settings for a model's card."""
    figures = dict(model.card.get("figures") or {})
    dropped = figures.pop("dropped", None) or {}
    figures.pop("instruction", None)
    resolved = {key: value for key, value in (model.card.get("resolved") or {}).items() if key not in {"datasets"}}
    asked = model.card.get("spec") or {}
    return {
        "figures": {key: value for key, value in figures.items() if value is not None},
        "dropped_rows": dropped,
        "recipe": [
            (label_of(path), shown(value))
            for path, value in flattened({**asked, **resolved}).items()
            if value not in (None, [], "") and path not in INPUT_SETTINGS
        ],
        "has_curve": model.job_id is not None and MetricPoint.objects.filter(job=model.job_id, name="loss").exists(),
    }


def outcomes(jobs: list[Job]) -> list[tuple[str, list[Any]]]:
    """(figure, value of each run) for the figures that any of them has."""
    names = [
        "steps",
        "tokens",
        "final_loss",
        "held_out_loss",
        "first_held_out_loss",
        "seconds",
        "tokens_per_second",
        "parameters",
    ]
    results = [job.result or {} for job in jobs]
    return [(name, [result.get(name) for result in results]) for name in names if any(name in result for result in results)]
