"""Gold questions: tasks with a known answer that everybody gets now and then without being told, and what follows from them."""

from typing import Any

from django.db import transaction
from django.db.models import F

from webapp.accounts.models import Role, User
from webapp.accounts.services import record_audit
from webapp.core.errors import UserError
from webapp.labeling.access import access_project, access_task
from webapp.labeling.agreement.patterns import score
from webapp.labeling.models import Annotation, Contribution, LabelProject, Task, TaskLease
from webapp.labeling.questions.records import at_source
from webapp.labeling.schema import checked_value
from webapp.labeling.work.counting import change_slots

MOST_FROM_DATA = 1000


def score_of(project: LabelProject, task: Task, value: list[dict[str, Any]]) -> float:
    return score(project.schema["fields"], value, task.gold or [])


def count_score(project: LabelProject, user: User, former: Annotation | None, stored: Annotation) -> None:
    """Who falls below the limit after enough gold questions gets no more tasks until a manager lets them go on."""
    before = former.score if former is not None else None
    answered = int(stored.score is not None) - int(before is not None)
    mine = Contribution.objects.filter(project=project, user=user)
    mine.update(gold_answered=F("gold_answered") + answered, gold_points=F("gold_points") + (stored.score or 0) - (before or 0))
    if project.gold_pause_below is None:
        return
    count, points = mine.values_list("gold_answered", "gold_points").get()
    if count >= max(1, project.gold_minimum) and points / count < project.gold_pause_below:
        mine.update(is_paused=True)


def set_gold(*, user: User, task_id: int, value: Any) -> Task:
    """Make a task a gold question with this answer; `None` makes it an ordinary one again. What was submitted stays."""
    task = access_task(user, task_id, role=Role.REVIEWER)
    project = task.project
    checked = None if value is None else checked_value(project.schema, value, task.data)
    with transaction.atomic():
        locked = Task.objects.select_for_update().get(pk=task.pk)
        _set(locked, checked, project)
    record_audit(actor=user, workspace=project.workspace, action="label_task.gold", subject=project.name, task=task.pk)
    return locked


def _set(task: Task, value: list[dict[str, Any]] | None, project: LabelProject) -> None:
    """A gold question takes no slots; an ordinary task has those that nobody has filled yet."""
    if value is not None:
        TaskLease.objects.filter(task=task).update(takes_slot=False)
        if task.open_slots:
            change_slots(task, -task.open_slots)
    elif task.gold is not None:
        given = Annotation.objects.filter(task=task, is_current=True, skipped=False, surplus=False, is_gold=False).count()
        if project.overlap > given:
            change_slots(task, project.overlap - given)
    task.gold = value
    Task.objects.filter(pk=task.pk).update(gold=value)


def make_gold_from_data(*, user: User, project_id: int, count: int) -> int:
    """Make `count` open tasks gold questions whose records bring the answer where the questions look for a proposal.

    They are taken evenly from the whole project. Returns how many were made.
    """
    project = access_project(user, project_id, role=Role.MANAGER)
    if not 1 <= count <= MOST_FROM_DATA:
        raise UserError("label.bad_gold_count", "Choose between 1 and {limit} gold questions.", status=422, limit=MOST_FROM_DATA)
    step = max(1, project.task_count // count)
    made = 0
    for position in range(0, project.task_count, step):
        nearby = Task.objects.filter(
            project=project, position__gte=position, position__lt=position + min(step, 50), gold__isnull=True, open_slots__gt=0
        )
        made += _first_known(project, list(nearby.order_by("position")))
        if made >= count:
            break
    if not made:
        raise UserError(
            "label.no_known_answers",
            "No record of “{name}” brings an answer to its questions; mark gold questions one by one instead.",
            status=409,
            name=project.name,
        )
    record_audit(actor=user, workspace=project.workspace, action="label_project.gold", subject=project.name, count=made)
    return made


def _first_known(project: LabelProject, tasks: list[Task]) -> int:
    for task in tasks:
        value = known_answer(project, task.data)
        if value is None:
            continue
        with transaction.atomic():
            locked = Task.objects.select_for_update().get(pk=task.pk)
            if locked.open_slots and locked.gold is None and not locked.annotations.exists():
                _set(locked, value, project)
                return 1
    return 0


def known_answer(project: LabelProject, data: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The answers that a record brings: an annotation of the same name, else what the question proposes, else its label."""
    found = []
    for field in project.schema["fields"]:
        value = at_source(data, f"annotations.{field['name']}")
        if value is None and field["type"] in {"choice", "rating", "number", "tree"}:
            value = at_source(data, field.get("source") or "label")
        if value is not None:
            found.append({"q": field["name"], "type": field["type"], "value": value})
    names = {answer["q"] for answer in found}
    known = {"fields": [field for field in project.schema["fields"] if field["name"] in names]}
    try:
        return checked_value(known, found, data) if found else None
    except UserError:
        return None


def resume(*, user: User, project_id: int, person: int) -> Contribution:
    """Let somebody go on who was paused; the score on gold questions begins anew."""
    project = access_project(user, project_id, role=Role.MANAGER)
    found = Contribution.objects.filter(project=project, user_id=person)
    found.update(is_paused=False, gold_answered=0, gold_points=0)
    record_audit(
        actor=user, workspace=project.workspace, action="label_project.resume_person", subject=project.name, person=person
    )
    return found.get()
