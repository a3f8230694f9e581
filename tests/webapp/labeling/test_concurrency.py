"""Many people at once on the embedded database: no task twice, nothing lost."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from tests.webapp.labeling.making import choose, make_project, member, texts
from webapp.accounts.models import User
from webapp.accounts.services import create_workspace
from webapp.labeling.models import Annotation, LabelProject, Task, TaskLease
from webapp.labeling.work import queue, submitting

PEOPLE, TASKS_EACH = 8, 25


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("overlap", [1, 3])
def test_people_at_once_never_get_the_same_slot(overlap: int) -> None:
    """8 people × 25 tasks: every slot filled once, every acknowledged annotation there (P8, P9)."""
    alice = User.objects.create_user("alice")
    workspace = create_workspace(user=alice, name="Academy")
    people = [member(workspace, f"person{number}") for number in range(PEOPLE)]
    count = PEOPLE * TASKS_EACH // overlap
    project = make_project(alice, workspace, texts(count), overlap=overlap)
    start = threading.Barrier(PEOPLE)
    given: list[tuple[int, int]] = []

    def work(user: User) -> int:
        start.wait()
        done = 0
        try:
            while task := queue.next_task(user=user, project_id=project.pk).task:
                given.append((user.pk, task.pk))
                stored = submitting.submit(user=user, task_id=task.pk, value=choose("card"), key=f"{user.pk}-{task.pk}")
                assert not stored.surplus
                done += 1
        finally:
            connection.close()
        return done

    with ThreadPoolExecutor(PEOPLE) as pool:
        done = sum(pool.map(work, people))
    # Somebody who ran out of tasks early stops; the others do the rest. With overlap the last task may lack a person.
    assert len(set(given)) == len(given) == done == Annotation.objects.count()
    assert Annotation.objects.filter(surplus=True).count() == 0
    per_task = Counter(Annotation.objects.values_list("task_id", flat=True))
    assert max(per_task.values()) <= overlap
    missing = sum(Task.objects.filter(project=project).values_list("open_slots", flat=True))
    assert done + missing == count * overlap
    if overlap == 1:
        assert missing == 0
    project = LabelProject.objects.get(pk=project.pk)
    assert project.done_count == Task.objects.filter(project=project, open_slots=0).count()
    assert project.annotation_count == done
    assert sum(project.contributions.values_list("submitted", flat=True)) == done
    assert project.label_counts.get(value="card").count == done
    assert not TaskLease.objects.exists()
