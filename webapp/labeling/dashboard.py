"""Figures of a project for those who run it: progress, throughput, time per task, and people compared. All from counters."""

import math
from collections import defaultdict
from datetime import date, timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from webapp.core.charts import PALETTE, figure
from webapp.labeling.models import Contribution, DailyCount, LabelProject, PredictionSource, Task
from webapp.labeling.quality import adjudicating, reviewing

DAYS = 30
PEOPLE_DRAWN = 8
MOST_GOLD = 1000


def numbers(project: LabelProject) -> dict[str, Any]:
    """`per_day`: over the last seven days with work; `days_left` at that pace."""
    recent = DailyCount.objects.filter(project=project, day__gt=timezone.localdate() - timedelta(days=7))
    by_day = list(recent.order_by("day").values_list("day").annotate(done=Sum("submitted")))
    per_day = sum(done for _day, done in by_day) / len(by_day) if by_day else 0.0
    totals = Contribution.objects.filter(project=project).aggregate(time=Sum("lead_time_ms"), done=Sum("submitted"))
    left = _slots_left(project)
    return {
        "left": left,
        "per_day": per_day,
        "days_left": math.ceil(left / per_day) if per_day else None,
        "seconds_per_task": totals["time"] / 1000 / totals["done"] if totals["done"] and totals["time"] else None,
        "waiting_review": reviewing.waiting(project),
        "disputed": adjudicating.waiting(project),
    }


def saving(project: LabelProject) -> dict[str, Any]:
    """What proposals saved in key presses, over all models that helped."""
    keys = PredictionSource.objects.filter(project=project).aggregate(without=Sum("keys_without"), spent=Sum("keys_with"))
    without, spent = keys["without"] or 0, keys["spent"] or 0
    return {"saved": without - spent, "without": without, "share": (without - spent) / without if without else None}


def _slots_left(project: LabelProject) -> int:
    """About how many annotations are still to come: tasks that are not done, each by so many people."""
    share = project.overlap_share if project.overlap_mode == "share" else 100
    per_task = 1 + (project.overlap - 1) * share / 100
    return max(0, round(project.task_total * per_task) - project.annotation_count) if _is_open(project) else 0


def _is_open(project: LabelProject) -> bool:
    return project.done_count < project.task_total


def gold_count(project: LabelProject) -> int:
    found = Task.objects.filter(project=project, gold__isnull=False).order_by("position")
    return len(found.values_list("pk", flat=True)[:MOST_GOLD])


def throughput(project: LabelProject) -> dict[str, Any]:
    """Annotations a day, a colour for each of the most active people."""
    since = timezone.localdate() - timedelta(days=DAYS - 1)
    rows = DailyCount.objects.filter(project=project, day__gte=since).order_by("day").select_related("user")
    done: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        done[str(row.user)][row.day] += row.submitted
    ranked = sorted(done, key=lambda name: -sum(done[name].values()))
    days = [since + timedelta(days=number) for number in range(DAYS)]
    series = {name: done[name] for name in ranked[:PEOPLE_DRAWN]}
    if ranked[PEOPLE_DRAWN:]:
        series[_("others")] = {day: sum(done[name].get(day, 0) for name in ranked[PEOPLE_DRAWN:]) for day in days}
    if not series:
        return {"data": [], "layout": {}}
    traces = [
        {
            "type": "bar",
            "name": name,
            "x": [day.isoformat() for day in days],
            "y": [counts.get(day, 0) for day in days],
            "marker": {"color": PALETTE[number % len(PALETTE)]},
        }
        for number, (name, counts) in enumerate(series.items())
    ]
    return figure(traces, y=_("annotations"), barmode="stack", bargap=0.2)


def time_per_task(project: LabelProject) -> dict[str, Any]:
    def seconds(row: Contribution) -> float | None:
        return row.lead_time_ms / 1000 / row.submitted if row.submitted and row.lead_time_ms else None

    return _by_person(project, seconds, _("seconds per record"), 1)


def gold_scores(project: LabelProject) -> dict[str, Any]:
    return _by_person(project, lambda row: row.gold_points / row.gold_answered if row.gold_answered else None, _("score"), 3)


def accepted_share(project: LabelProject) -> dict[str, Any]:
    """How much of each person's reviewed work was accepted as it was."""

    def share(row: Contribution) -> float | None:
        judged = row.accepted + row.fixed + row.rejected
        return row.accepted / judged if judged else None

    return _by_person(project, share, _("accepted"), 5)


def _by_person(project: LabelProject, value: Any, title: str, colour: int) -> dict[str, Any]:
    rows = Contribution.objects.filter(project=project).select_related("user").order_by("submitted", "pk")
    shown = [(str(row.user), value(row)) for row in rows]
    found = [(name, number) for name, number in shown if number is not None]
    if not found:
        return {"data": [], "layout": {}}
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": [number for _name, number in found],
        "y": [name for name, _number in found],
        "marker": {"color": PALETTE[colour]},
        "hovertemplate": "%{y}: %{x:.2f}<extra></extra>",
    }
    return figure([trace], x=title, hovermode="closest", bargap=0.3)


FIGURES = {"throughput": throughput, "time": time_per_task, "gold": gold_scores, "accepted": accepted_share}
