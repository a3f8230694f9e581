"""What the home page reads: the six stations of the chain, each with its figures, its last job and its health."""

from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Q, Sum
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from webapp.accounts.models import User, Workspace
from webapp.chat.models import Conversation, Feedback
from webapp.datasets.models import DatasetVersion, VersionState
from webapp.evals.models import Evaluation, EvaluationState
from webapp.jobs.models import ALIVE, Job, State
from webapp.labeling.models import LabelProject
from webapp.registry.models import Model, ModelKind, ModelState
from webapp.serving.models import Deployment, Health, Wanted

PRETRAINING = ["tokenizer", "pretrain"]
FINE_TUNING = ["sft", "preference", "reward", "grpo"]
TAGS = {
    "accounts": _("Accounts"),
    "datasets": _("Data"),
    "processing": _("Processing"),
    "labelling": _("Labelling"),
    "jobs": _("Jobs"),
    "models": _("Models"),
    "evaluation": _("Evaluation"),
    "serving": _("Deployment"),
    "chat": _("Chat"),
}


@dataclass
class Station:
    """One station of the chain. `health`: idle (nothing yet), good, busy (a job runs), bad (the last one failed)."""

    name: str
    title: str | Promise
    icon: str
    url: str
    facts: list[tuple[str, str | Promise]] = field(default_factory=list)
    last_job: Job | None = None
    health: str = "idle"
    invitation: str | Promise = ""
    bad: bool = False

    def judge(self) -> "Station":
        has = any(value not in {"0", ""} for value, _label in self.facts)
        self.health = "good" if has else "idle"
        if self.last_job is not None and self.last_job.state in ALIVE:
            self.health = "busy"
        elif self.bad or (self.last_job is not None and self.last_job.state == State.FAILED):
            self.health = "bad"
        return self


def last_jobs(workspace: Workspace, kinds: dict[str, list[str]]) -> dict[str, Job]:
    """The newest job of each station, in one query over the last jobs."""
    station_of = {kind: station for station, names in kinds.items() for kind in names}
    found: dict[str, Job] = {}
    for job in Job.objects.filter(workspace=workspace, kind__in=station_of).order_by("-id")[:200]:
        found.setdefault(station_of[job.kind], job)
    return found


def stations(workspace: Workspace, user: User) -> list[Station]:
    jobs = last_jobs(
        workspace,
        {
            "data": ["import_dataset", "process_dataset", "derive_dataset", "store_records"],
            "pretraining": PRETRAINING,
            "tuning": FINE_TUNING,
            "evaluation": ["evaluate"],
        },
    )
    made = [
        _data(workspace),
        _pretraining(workspace),
        _tuning(workspace),
        _evaluation(workspace),
        _deployment(workspace),
        _application(workspace, user),
    ]
    for station in made:
        station.last_job = jobs.get(station.name)
        station.judge()
    return made


def _number(value: int | None) -> str:
    return f"{value or 0:,}"


def _data(workspace: Workspace) -> Station:
    versions = DatasetVersion.objects.filter(dataset__workspace=workspace, state=VersionState.READY).aggregate(
        datasets=Count("dataset", distinct=True), records=Sum("count")
    )
    tasks = LabelProject.objects.filter(workspace=workspace).aggregate(all=Sum("task_count"), done=Sum("done_count"))
    facts: list[tuple[str, str | Promise]] = [
        (_number(versions["datasets"]), ngettext("dataset", "datasets", versions["datasets"])),
        (_number(versions["records"]), ngettext("record", "records", versions["records"] or 0)),
        (f"{_number(tasks['done'])} / {_number(tasks['all'])}" if tasks["all"] else "0", _("labelled")),
    ]
    return Station(
        "data",
        _("Data"),
        icon="database",
        url=reverse("datasets", args=[workspace.slug]),
        facts=facts,
        invitation=_("Import a file"),
    )


def _models(workspace: Workspace, *kinds: str) -> int:
    return Model.objects.filter(workspace=workspace, state=ModelState.READY, kind__in=kinds).count()


def _pretraining(workspace: Workspace) -> Station:
    bases, tokenizers = _models(workspace, ModelKind.BASE), _models(workspace, ModelKind.TOKENIZER)
    facts: list[tuple[str, str | Promise]] = [
        (_number(bases), ngettext("base model", "base models", bases)),
        (_number(tokenizers), ngettext("tokenizer", "tokenizers", tokenizers)),
    ]
    url = reverse("training", args=[workspace.slug]) + "?method=pretrain"
    return Station("pretraining", _("Pre-training"), icon="stack-2", url=url, facts=facts, invitation=_("Pre-train a model"))


def _tuning(workspace: Workspace) -> Station:
    runs = Job.objects.filter(workspace=workspace, kind__in=FINE_TUNING).count()
    tuned = _models(workspace, ModelKind.TUNED, ModelKind.ADAPTER)
    facts: list[tuple[str, str | Promise]] = [
        (_number(tuned), ngettext("tuned model", "tuned models", tuned)),
        (_number(runs), ngettext("run", "runs", runs)),
    ]
    url = reverse("training", args=[workspace.slug])
    return Station("tuning", _("Fine-tuning"), icon="adjustments", url=url, facts=facts, invitation=_("Fine-tune a model"))


def _evaluation(workspace: Workspace) -> Station:
    done = Evaluation.objects.filter(workspace=workspace, state=EvaluationState.DONE)
    best = done.filter(score__isnull=False).order_by("-score").values_list("score", flat=True).first()
    count = done.count()
    facts: list[tuple[str, str | Promise]] = [
        (_number(count), ngettext("evaluation", "evaluations", count)),
        (f"{100 * best:.0f} %" if best is not None else "0", _("best score")),
    ]
    url = reverse("evaluations", args=[workspace.slug])
    return Station("evaluation", _("Evaluation"), icon="certificate", url=url, facts=facts, invitation=_("Evaluate a model"))


def _deployment(workspace: Workspace) -> Station:
    counted = Deployment.objects.filter(workspace=workspace).aggregate(
        asked=Count("id", filter=Q(wanted=Wanted.RUNNING)),
        ready=Count("id", filter=Q(wanted=Wanted.RUNNING, health=Health.READY)),
        failed=Count("id", filter=Q(wanted=Wanted.RUNNING, health=Health.FAILED)),
    )
    facts: list[tuple[str, str | Promise]] = [
        (
            f"{counted['ready']} / {counted['asked']}" if counted["asked"] else "0",
            ngettext("deployment ready", "deployments ready", counted["asked"]),
        ),
    ]
    url = reverse("deployments", args=[workspace.slug])
    station = Station("deployment", _("Deployment"), icon="rocket", url=url, facts=facts, invitation=_("Deploy a model"))
    station.bad = counted["failed"] > 0
    return station


def _application(workspace: Workspace, user: User) -> Station:
    mine = Conversation.objects.filter(workspace=workspace, user=user)
    ratings = Feedback.objects.filter(turn__conversation__workspace=workspace).aggregate(
        up=Count("id", filter=Q(rating__gt=0)), down=Count("id", filter=Q(rating__lt=0))
    )
    count, rated = mine.count(), ratings["up"] + ratings["down"]
    facts: list[tuple[str, str | Promise]] = [
        (_number(count), ngettext("conversation of yours", "conversations of yours", count)),
        (f"{ratings['up']} / {rated}" if rated else "0", _("answers rated good")),
    ]
    return Station(
        "application",
        _("Application"),
        icon="message-circle",
        url=reverse("chat", args=[workspace.slug]),
        facts=facts,
        invitation=_("Chat"),
    )


def recent_activity(workspace: Workspace) -> list[Job]:
    return list(Job.objects.filter(workspace=workspace).select_related("created_by").order_by("-id")[:6])


def operations(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The API's operations by tag, from its OpenAPI document."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            entry = {
                "method": method.upper(),
                "path": path,
                "summary": operation.get("summary", ""),
                "description": operation.get("description", ""),
                "parameters": [
                    {
                        "name": item["name"],
                        "where": item["in"],
                        "required": item.get("required", False),
                        "type": _type(item.get("schema", {})),
                    }
                    for item in operation.get("parameters", [])
                ],
                "body": _body(schema, operation),
                "answers": sorted(operation.get("responses", {})),
            }
            groups.setdefault((operation.get("tags") or ["other"])[0], []).append(entry)
    return [{"tag": TAGS.get(tag, tag), "operations": entries} for tag, entries in groups.items()]


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " | ".join(_type(option) for option in schema["anyOf"])
    if schema.get("type") == "array":
        return f"[{_type(schema.get('items', {}))}]"
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    return str(schema.get("type", "any"))


def _body(schema: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of a JSON body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in content:
        content = schema["components"]["schemas"][content["$ref"].rsplit("/", 1)[-1]]
    required = set(content.get("required", []))
    return [
        {"name": name, "type": _type(value), "required": name in required, "description": value.get("description", "")}
        for name, value in content.get("properties", {}).items()
    ]
