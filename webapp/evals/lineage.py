"""What evaluation knows of a model's descendants: its scores."""

from collections.abc import Iterable

from django.urls import reverse

from webapp.evals.models import Evaluation
from webapp.registry.lineage import Node
from webapp.registry.models import Model

SHOWN = 20


def evaluations_of(model: Model) -> Iterable[Node]:
    found = Evaluation.objects.filter(model=model).select_related("suite").defer("scores", "summary").order_by("-pk")[:SHOWN]
    for item in found:
        url = reverse("evaluation", args=[model.workspace.slug, item.pk])
        detail = "" if item.score is None else f"{100 * item.score:.1f} %"
        yield Node("evaluation", item.suite.name, url, state=item.state, detail=detail)
