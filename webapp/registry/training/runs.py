"""What the pages of runs show: rendered examples, answers over the steps, left-out rows, resolved settings, comparison."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from webapp.accounts.models import Workspace
from webapp.core.errors import NotFound
from webapp.jobs.models import Job, JobEvent, MetricPoint
from webapp.registry.training.spec_fields import resolved_rows

RUN_KINDS = ("sft", "pretrain", "tokenizer")
COMPARED = 8
SAMPLE_LIMIT = 400
HIDDEN_SETTINGS = {"versions", "datasets", "sample_prompts"}


def workspace_runs(workspace: Workspace, kind: str = "") -> QuerySet[Job]:
    """Training jobs with the newest value of their loss and held-out loss."""
    runs = Job.objects.filter(workspace=workspace, kind__in=[kind] if kind in RUN_KINDS else RUN_KINDS)

    def last(name: str) -> Subquery:
        points = MetricPoint.objects.filter(job=OuterRef("pk"), name=name).order_by("-step").values("value")
        return Subquery(points[:1])

    return runs.select_related("created_by").annotate(loss=last("loss"), held_out_loss=last("held_out_loss"))


def access_runs(workspace: Workspace, numbers: list[int]) -> list[Job]:
    """Runs of this workspace by their ids, in the order given; at most COMPARED of them."""
    found = workspace_runs(workspace).in_bulk(numbers[:COMPARED])
    if not found or any(number not in found for number in numbers[:COMPARED]):
        raise NotFound
    return [found[number] for number in dict.fromkeys(numbers[:COMPARED])]


@dataclass(frozen=True)
class Answers:
    """What the model answered to one prompt at each look: [(step, text)], the newest first."""

    prompt: str
    texts: list[tuple[int, str]]


def run_context(job: Job) -> dict[str, Any]:
    """For `training/_run.html`."""
    from webapp.registry.models import Model

    samples: dict[str, list[dict[str, Any]]] = defaultdict(list)
    events = JobEvent.objects.filter(job=job, type="sample").order_by("-seq")[:SAMPLE_LIMIT]
    for event in reversed(events):
        samples[str(event.data.get("name", ""))].append(event.data.get("data") or {})
    result = job.result or {}
    roles = [role for role in ("base_model", "tokenizer") if job.spec.get(role)]
    models = Model.objects.filter(workspace=job.workspace_id, pk__in=[job.spec[role] for role in roles])
    return {
        "rendered": samples["rendered"][-3:],
        "answers": _answers(samples["answer"]),
        "left_out": _latest(samples["dropped"], "reason"),
        "run_warnings": _latest(samples["warning"], "code"),
        "dataset_facts": samples["dataset"][-1] if samples["dataset"] else {},
        "figures": {key: value for key, value in result.items() if isinstance(value, int | float)},
        "settings": settings_table(job),
        "run_models": list(models),
        "run_datasets": _dataset_versions(job),
    }


def _dataset_versions(job: Job) -> list[Any]:
    from webapp.datasets.models import DatasetVersion

    found = DatasetVersion.objects.filter(pk__in=job.spec.get("datasets", []), dataset__workspace=job.workspace_id)
    return list(found.select_related("dataset"))


def _latest(entries: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """The newest entry of each kind: a resumed attempt says everything again."""
    return list({str(entry.get(key)): entry for entry in entries}.values())


def _answers(entries: list[dict[str, Any]]) -> list[Answers]:
    prompts: dict[str, dict[int, str]] = defaultdict(dict)
    for entry in entries:
        prompts[str(entry.get("prompt", ""))][int(entry.get("step", 0))] = str(entry.get("text", ""))
    return [Answers(prompt, sorted(texts.items(), reverse=True)) for prompt, texts in prompts.items()]


def settings_of(job: Job) -> dict[str, Any]:
    """path → value: what was asked for, and, once the run has ended, what the program chose."""
    values = {path: value for path, _label, value in resolved_rows(job.spec)}
    resolved = (job.result or {}).get("resolved") or {}
    for path, _label, value in resolved_rows({key: item for key, item in resolved.items() if key not in HIDDEN_SETTINGS}):
        place = next((known for known in values if known.rsplit(".", 1)[-1] == path), path)
        if value is not None:
            values[place] = value
    return values


def settings_table(job: Job) -> list[tuple[str, Any, bool]]:
    """(label, value, chosen by the program) of every setting."""
    asked = {path: value for path, _label, value in resolved_rows(job.spec)}
    labels = {path: label for path, label, _value in resolved_rows(settings_of(job))}
    table = []
    for path, value in settings_of(job).items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        table.append((labels.get(path, path), shown, value != asked.get(path, value) or path not in asked))
    return table


def settings_difference(jobs: list[Job]) -> list[tuple[str, list[Any], bool]]:
    """(label, value of each run, whether they differ); differences first."""
    columns = [settings_of(job) for job in jobs]
    labels = {path: label for column in columns for path, label, _value in resolved_rows(column)}
    rows = []
    for path in dict.fromkeys(path for column in columns for path in column):
        values = [column.get(path) for column in columns]
        rows.append((labels.get(path, path), values, any(value != values[0] for value in values)))
    return sorted(rows, key=lambda row: not row[2])


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
        "recipe": [(label, value) for _path, label, value in resolved_rows({**asked, **resolved}) if value not in (None, [], "")],
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
