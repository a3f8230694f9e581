"""What evaluation knows of a model's descendants: its scores."""

from collections.abc import Iterable

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from webapp.evals.models import Evaluation
from webapp.registry.lineage import Node
from webapp.registry.models import Model

SHOWN = 20


def evaluations_of(model: Model) -> Iterable[Node]:
    found = Evaluation.objects.filter(model=model).select_related("suite").defer("scores", "summary").order_by("-pk")[:SHOWN]
    for item in found:
        url = reverse("evaluation", args=[model.workspace.slug, item.pk])
        detail = "" if item.score is None else _score(item)
        yield Node("evaluation", item.suite.name, url, state=item.state, detail=detail)


def _score(item: Evaluation) -> str:
    """With what tells two scores of one suite apart: how many questions, and when."""
    day = f"{timezone.localtime(item.created_at):%m-%d %H:%M}"
    return gettext("%(score)s of %(count)s, %(day)s") % {
        "score": f"{100 * (item.score or 0.0):.1f} %",
        "count": item.count,
        "day": day,
    }
