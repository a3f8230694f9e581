"""A task's record as pages get it: with addresses for its pictures, sounds and films, and with the answers to compare."""

from typing import Any

from webapp.datasets.media import record_for_page
from webapp.labeling.models import LabelProject, Task
from workers.data.preferences import compared_answers

COMPARING = frozenset({"ranking", "pairwise", "response_rating"})


def data_for_page(project: LabelProject, task: Task) -> dict[str, Any]:
    data: dict[str, Any] = task.data
    if not data.get("responses") and any(field["type"] in COMPARING for field in project.schema["fields"]):
        shown = {name: value for name, value in data.items() if name not in {"chosen", "rejected"}}  # nobody is told the answer
        data = {**shown, "responses": compared_answers(data)}
    return record_for_page(project.version, data) if data.get("media") else data
