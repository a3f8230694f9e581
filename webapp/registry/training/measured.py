"""Memory of a run as it was predicted beside what the run measured, part by part (S7.6)."""

from typing import Any

from django.utils.translation import gettext

from webapp.jobs.models import Job
from webapp.registry.training import lighter, planning
from webapp.registry.training.planner_forms import PARTS
from workers.planner.memory import predict_memory

COMPARED = ("weights", "gradients", "optimizer", "activations")


def memory_table(job: Job, measured: dict[str, Any]) -> dict[str, Any]:
    """{"rows": [(part, predicted bytes, measured bytes)], "predicted", "peak"}; empty when nothing was measured."""
    if not measured:
        return {}
    found = planning.plan_of_run(job) or lighter.plan_of_spec(job)
    memory = predict_memory(*found) if found else None
    parts = memory.parts if memory else {}
    rows = [(gettext(PARTS[name]), parts.get(name), measured.get(name)) for name in COMPARED]
    return {"rows": rows, "predicted": memory.total if memory else None, "peak": measured.get("peak")}
