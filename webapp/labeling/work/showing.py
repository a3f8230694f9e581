"""A task's record as pages get it: with addresses for its pictures, sounds and films."""

from typing import Any

from webapp.datasets.media import record_for_page
from webapp.labeling.models import LabelProject, Task


def data_for_page(project: LabelProject, task: Task) -> dict[str, Any]:
    data: dict[str, Any] = task.data
    return record_for_page(project.version, data) if data.get("media") else data
