"""Reads of deployments: lists, usage by day, figures of the running engine, and their place in a model's lineage."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import httpx
from django.db.models import QuerySet, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from webapp.accounts.models import Workspace
from webapp.core.charts import PALETTE, figure
from webapp.core.errors import error_html, translate
from webapp.registry.lineage import Node
from webapp.registry.models import Model
from webapp.serving.models import Deployment, Health, Usage

USAGE_DAYS = 30
METRICS_TIMEOUT = 1.0
FIGURES = ["running", "waiting", "kv_cache_usage", "kv_cache_bytes", "tokens_generated", "tokens_per_second", "memory_bytes"]


def workspace_deployments(workspace: Workspace) -> QuerySet[Deployment]:
    return Deployment.objects.filter(workspace=workspace).select_related("model", "created_by", "workspace")


def tokens_today(workspace: Workspace) -> dict[int, dict[str, int]]:
    """Requests and tokens since midnight by deployment."""
    rows = Usage.objects.filter(deployment__workspace=workspace, day=timezone.now().date()).values("deployment_id")
    sums = rows.annotate(requests_sum=Sum("requests"), tokens=Sum("prompt_tokens") + Sum("completion_tokens"))
    return {row["deployment_id"]: {"requests": row["requests_sum"], "tokens": row["tokens"]} for row in sums}


def usage_by_day(deployment: Deployment, days: int = USAGE_DAYS) -> list[dict[str, Any]]:
    """One row per day of the last `days`, zeros included, oldest first."""
    today = timezone.now().date()
    first = today - timedelta(days=days - 1)
    names = ["requests", "errors", "prompt_tokens", "completion_tokens"]
    sums: dict[date, dict[str, int]] = {first + timedelta(days=number): dict.fromkeys(names, 0) for number in range(days)}
    for row in Usage.objects.filter(deployment=deployment, day__gte=first):
        if row.day in sums:
            for name in names:
                sums[row.day][name] += getattr(row, name)
    return [{"day": day.isoformat(), **values} for day, values in sums.items()]


def usage_figure(deployment: Deployment) -> dict[str, Any]:
    rows = usage_by_day(deployment)
    traces = [
        {
            "type": "bar",
            "name": label,
            "x": [row["day"] for row in rows],
            "y": [row[name] for row in rows],
            "marker": {"color": PALETTE[colour]},
        }
        for colour, (name, label) in enumerate([("prompt_tokens", _("tokens read")), ("completion_tokens", _("tokens written"))])
    ]
    axis = {"title": {"text": _("tokens")}, "rangemode": "nonnegative", "automargin": True}
    days = {"type": "date", "tickformat": "%m-%d", "automargin": True}
    return figure(traces, barmode="stack", xaxis=days, yaxis=axis)


def engine_metrics(deployment: Deployment) -> dict[str, Any] | None:
    """What the engine tells of itself now; None when it does not answer."""
    if deployment.state != Health.READY or not deployment.url:
        return None
    headers = {"Authorization": f"Bearer {deployment.token}"}
    try:
        response = httpx.get(f"{deployment.url}/metrics", headers=headers, timeout=METRICS_TIMEOUT, trust_env=False)
        told = response.json() if response.is_success else None
    except (httpx.HTTPError, ValueError):
        return None
    return {name: told.get(name) for name in FIGURES} if isinstance(told, dict) else None


def error_sentence(deployment: Deployment) -> str:
    return translate(deployment.error.get("template", ""), deployment.error.get("params", {}))


def error_shown(deployment: Deployment) -> str:
    """The same for a page: a library's words are folded away."""
    return error_html(deployment.error.get("template", ""), deployment.error.get("params", {}))


def deployment_nodes(model: Model) -> Iterable[Node]:
    """The lineage hook: deployments that serve the model; it may not be deleted while they exist."""
    for row in Deployment.objects.filter(model=model).select_related("workspace"):
        yield Node("deployment", row.name, reverse("deployment", args=[row.workspace.slug, row.pk]), state=row.state, holds=True)
