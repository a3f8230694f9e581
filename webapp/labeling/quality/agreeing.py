"""Agreement kept up to date: each submit changes the counts of a few patterns, the agreement of its task, and whether the
task needs one more person (adaptive overlap) or somebody who decides (adjudication)."""

import hashlib
from collections import Counter
from typing import Any

from django.db.models import F

from webapp.accounts.models import User
from webapp.labeling.agreement.patterns import Key, Said, patterns_of, task_agreement
from webapp.labeling.models import AgreementCount, Annotation, LabelProject, OverlapMode, Task
from webapp.labeling.work.counting import change_slots

PEOPLE_COMPARED = 12
"""Beyond so many people on one task the rest are left out of the figures: pairs grow with the square."""


def update(project: LabelProject, task: Task, user: User, former: Annotation | None, stored: Annotation) -> None:
    """`former` is the person's annotation that `stored` replaces; the task's row is locked."""
    if project.overlap == 1 and project.overlap_mode != OverlapMode.ADAPTIVE and not stored.surplus:
        return
    others = said_about(task, without=user)
    before, after = dict(others), dict(others)
    if former is not None and not former.skipped and former.fixed_by_id is None:
        before[user.pk] = former.value
    if not stored.skipped:
        after[user.pk] = stored.value
    fields = project.schema["fields"]
    changes = patterns_of(fields, before)
    negative = Counter({key: -count for key, count in changes.items()})
    negative.update(patterns_of(fields, after))
    apply(project, negative)
    judge(project, task, after)


def said_about(task: Task, *, without: User | None = None) -> dict[int, Any]:
    """User → current answers, surplus ones too; a reviewer's corrections say nothing about how people agree."""
    found = Annotation.objects.filter(task=task, is_current=True, skipped=False, is_gold=False, user__isnull=False)
    found = found.filter(fixed_by__isnull=True)
    if without is not None:
        found = found.exclude(user=without)
    return dict(found.order_by("pk").values_list("user_id", "value")[:PEOPLE_COMPARED])


def judge(project: LabelProject, task: Task, said: Said) -> None:
    """Note the task's agreement; below the target it gets another person or waits for adjudication."""
    agreement = task_agreement(project.schema["fields"], said)
    target = project.agreement_target
    is_low = agreement is not None and target is not None and agreement < target
    wants_more = project.overlap_mode == OverlapMode.ADAPTIVE and is_low and len(said) < project.overlap_most
    if wants_more and task.open_slots == 0:
        change_slots(task, +1)
    is_disputed = is_low and task.open_slots == 0
    if (agreement, is_disputed) != (task.agreement, task.is_disputed):
        Task.objects.filter(pk=task.pk).update(agreement=agreement, is_disputed=is_disputed)


def apply(project: LabelProject, changes: Counter[Key]) -> None:
    for key, change in sorted(changes.items()):
        if change:
            field, pair, pattern = key
            row = {"project": project, "field": field, "pair": pair, "digest": digest(pattern)}
            counted = AgreementCount.objects.filter(**row)
            if not counted.update(count=F("count") + change):
                AgreementCount.objects.get_or_create(**row, defaults={"pattern": pattern})
                counted.update(count=F("count") + change)


def digest(pattern: str) -> str:
    return hashlib.blake2b(pattern.encode(), digest_size=16).hexdigest()
