"""What pages and the API show of rounds of learning: the steps of the newest one, the table, accuracy by number of labels."""

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from webapp.core.charts import figure, line
from webapp.core.errors import translate
from webapp.jobs.models import Job
from webapp.labeling.learning.rounds import FEWEST_LABELS, list_rounds, trainable_models, ways_of
from webapp.labeling.models import LabelProject, LearningPlan, LearningRound, RoundState


@dataclass(frozen=True)
class Step:
    """`state`: done, now, waiting, or how a round ended in it."""

    label: str | Promise
    state: str
    job: Job | None = None


def steps_of(made: LearningRound) -> list[Step]:
    """The way of a round, with what is done and where it is."""
    way: list[tuple[str, str | Promise, Job | None]] = [
        (RoundState.FREEZING, gettext_lazy("Freeze the labels"), None),
        (RoundState.LEARNING, gettext_lazy("Learn and score") if made.is_quick else gettext_lazy("Train"), made.learn_job),
    ]
    if not made.is_quick:
        way.append((RoundState.STARTING, gettext_lazy("Start the model"), None))
        way.append((RoundState.SCORING, gettext_lazy("Score the open records"), made.score_job))
    way.append((RoundState.DONE, gettext_lazy("Least sure ones first"), None))
    reached = _reached(made, [name for name, _label, _job in way])
    steps = []
    for place, (_name, label, job) in enumerate(way):
        here = "now" if made.is_live else made.state
        state = "done" if place < reached or made.state == RoundState.DONE else here if place == reached else "waiting"
        steps.append(Step(label, state, job))
    return steps


def _reached(made: LearningRound, names: list[str]) -> int:
    """Where it is; of one that ended early, where it was: each step leaves something behind."""
    if made.state in names:
        return names.index(made.state)
    left = [made.learn_job_id, *([] if made.is_quick else [made.deployment_id, made.score_job_id])]
    return sum(1 for each in left if each is not None)


def learning_context(project: LabelProject, may_manage: bool) -> dict[str, Any]:
    """For the card on the project's page and the page of learning."""
    rounds = list_rounds(project)
    for made in rounds:
        made.trouble = translate(made.error["template"], made.error.get("params", {})) if made.error else ""  # type: ignore[attr-defined]
        made.badge = "running" if made.is_live else made.state  # type: ignore[attr-defined]
        made.accepted = accepted_share(made)  # type: ignore[attr-defined]
    latest = rounds[0] if rounds else None
    ways = ways_of(project)
    return {
        "rounds": rounds,
        "latest": latest,
        "steps": steps_of(latest) if latest else [],
        "ways": ways,
        "can_learn": bool(ways.quick or ways.model),
        "fewest": FEWEST_LABELS,
        "new_labels": project.annotation_count - (latest.labels if latest else 0),
        "plan": LearningPlan.objects.filter(project=project).first(),
        "models": trainable_models(project) if may_manage and ways.model else [],
    }


def accepted_share(made: LearningRound) -> float | None:
    """How many of the answers that people gave to its proposals were just these."""
    source = made.source
    judged = source.accepted + source.edited + source.rejected if source else 0
    return source.accepted / judged if source and judged else None


def accuracy_chart(project: LabelProject) -> dict[str, Any]:
    """Accuracy on records that were not learnt, and what people accepted, over the number of labels."""
    rounds = [made for made in reversed(list_rounds(project)) if made.state == RoundState.DONE]
    curves = {
        _("right on labels not learnt"): [(made.learnt, made.accuracy) for made in rounds if made.accuracy is not None],
        _("accepted by people"): [(made.learnt, share) for made in rounds if (share := accepted_share(made)) is not None],
    }
    traces = [
        line(name, [x for x, _y in points], [100 * y for _x, y in points], colour=colour, mode="lines+markers")
        for colour, (name, points) in enumerate(curves.items())
        if points
    ]
    return figure(traces, x=_("labels learnt"), y="%") if traces else {"data": [], "layout": {}}


def round_facts(made: LearningRound) -> dict[str, Any]:
    """A round as the API tells it."""
    return {
        "id": made.pk,
        "number": made.number,
        "state": made.state,
        "quick": made.is_quick,
        "automatic": made.is_automatic,
        "base_model": made.base_model_id,
        "labels": made.labels,
        "learnt": made.learnt,
        "held_out": made.held_out,
        "accuracy": made.accuracy,
        "scored": made.scored,
        "accepted": accepted_share(made),
        "version": made.version_id,
        "learn_job": made.learn_job_id,
        "model": made.model_id,
        "deployment": made.deployment_id,
        "score_job": made.score_job_id,
        "error": made.error or None,
        "created_at": made.created_at.isoformat(),
        "finished_at": made.finished_at.isoformat() if made.finished_at else None,
    }
