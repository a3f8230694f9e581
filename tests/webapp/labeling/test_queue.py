"""Leases: claimed once, renewed, returned, expired; late and repeated work is kept; an empty queue says why."""

import itertools
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.webapp.labeling.making import CHOICE, choose, make_project, member, texts
from webapp.accounts.models import User, Workspace
from webapp.core.errors import UserError
from webapp.labeling.models import Annotation, Contribution, LabelProject, Task, TaskLease
from webapp.labeling.work import queue, submitting

keys = (f"key-{number}" for number in itertools.count())


def label(user: User, task: Task | None, value: str = "card", **options: Any) -> Annotation:
    assert task is not None
    return submitting.submit(user=user, task_id=task.pk, value=choose(value), key=options.pop("key", next(keys)), **options)


def claim(user: User, project: LabelProject) -> Task | None:
    return queue.next_task(user=user, project_id=project.pk).task


def expire(task: Task | None) -> None:
    TaskLease.objects.filter(task=task).update(expires_at=timezone.now() - timedelta(seconds=1))


@pytest.fixture
def project(alice: User, workspace: Workspace) -> LabelProject:
    return make_project(alice, workspace, texts(5))


def test_asking_again_gives_the_same_task_and_others_another(alice: User, bob: User, project: LabelProject) -> None:
    first = claim(bob, project)
    assert first is not None
    assert first.position == 0
    assert claim(bob, project) == first
    other = claim(alice, project)
    assert other is not None
    assert other.position == 1
    assert claim(bob, project) == first


def test_tasks_come_in_order_and_none_twice(bob: User, project: LabelProject) -> None:
    seen = []
    while task := claim(bob, project):
        seen.append(task.position)
        label(bob, task)
    assert seen == [0, 1, 2, 3, 4]
    turn = queue.next_task(user=bob, project_id=project.pk)
    assert turn.reason == "done"
    project.refresh_from_db()
    assert (project.done_count, project.annotation_count) == (5, 5)
    assert turn.payload()["progress"]["mine"] == 5


def test_priority_goes_before_position(bob: User, project: LabelProject) -> None:
    Task.objects.filter(project=project, position=3).update(priority=5)
    order = []
    while task := claim(bob, project):
        order.append(task.position)
        label(bob, task)
    assert order == [3, 0, 1, 2, 4]


def test_expired_lease_goes_to_somebody_else(alice: User, bob: User, project: LabelProject) -> None:
    task = claim(bob, project)
    expire(task)
    assert claim(alice, project) == task


def test_released_task_is_free_at_once_and_comes_back_first(alice: User, bob: User, project: LabelProject) -> None:
    task = claim(bob, project)
    assert task is not None
    queue.release(user=bob, task_id=task.pk)
    assert claim(bob, project) == task
    queue.release(user=bob, task_id=task.pk)
    assert claim(alice, project) == task


def test_unfinished_draft_is_what_one_goes_on_with(bob: User, project: LabelProject) -> None:
    label(bob, claim(bob, project))
    task = claim(bob, project)
    assert task is not None
    queue.save_draft(user=bob, task_id=task.pk, value=[{"q": "label", "type": "choice", "value": "ca"}])
    expire(task)
    Contribution.objects.update(cursor_position=4)
    turn = queue.next_task(user=bob, project_id=project.pk)
    assert turn.task == task
    assert turn.payload()["draft"] == {"value": [{"q": "label", "type": "choice", "value": "ca"}]}
    label(bob, task)
    assert not task.drafts.exists()


def test_heartbeat_renews_and_says_when_the_lease_is_gone(alice: User, bob: User, project: LabelProject) -> None:
    task = claim(bob, project)
    assert task is not None
    TaskLease.objects.update(expires_at=timezone.now() + timedelta(seconds=5))
    renewed = queue.heartbeat(user=bob, task_id=task.pk)
    assert renewed is not None
    assert renewed > timezone.now() + timedelta(minutes=9)
    expire(task)
    assert queue.heartbeat(user=bob, task_id=task.pk) is not None, "nobody else has it: the lease goes on"
    expire(task)
    assert claim(alice, project) == task
    assert queue.heartbeat(user=bob, task_id=task.pk) is None


def test_late_submit_is_accepted_while_the_slot_is_free(bob: User, project: LabelProject) -> None:
    task = claim(bob, project)
    expire(task)
    assert not label(bob, task).surplus
    project.refresh_from_db()
    assert project.done_count == 1


def test_late_submit_without_a_slot_is_kept_as_surplus(alice: User, bob: User, project: LabelProject) -> None:
    """S6.11: nothing a person submits is lost."""
    task = claim(bob, project)
    assert task is not None
    expire(task)
    assert claim(alice, project) == task
    late = label(bob, task, "cash")
    assert late.surplus, "the slot belongs to alice, who holds a live lease"
    assert not label(alice, task, "card").surplus
    task.refresh_from_db()
    project.refresh_from_db()
    assert (task.open_slots, project.done_count, Annotation.objects.count()) == (0, 1, 2)


def test_same_key_stores_once(bob: User, project: LabelProject) -> None:
    task = claim(bob, project)
    first = label(bob, task, key="k")
    assert label(bob, task, "cash", key="k") == first
    project.refresh_from_db()
    assert (Annotation.objects.count(), project.done_count) == (1, 1)
    other = claim(bob, project)
    with pytest.raises(UserError, match="another task"):
        label(bob, other, key="k")


def test_correction_is_a_new_revision_and_a_stale_one_is_told(bob: User, project: LabelProject) -> None:
    task = claim(bob, project)
    first = label(bob, task, "card")
    second = label(bob, task, "cash", revision=1)
    assert second.revision == 2
    with pytest.raises(UserError) as caught:
        label(bob, task, "transfer", revision=1)
    assert caught.value.status == 409
    assert caught.value.params["stored"]["value"] == choose("cash")
    assert caught.value.params["yours"]["value"] == choose("transfer")
    first.refresh_from_db()
    assert (first.value, first.is_current) == (choose("card"), False), "history is never changed"
    project.refresh_from_db()
    assert (project.annotation_count, project.done_count) == (1, 1)
    counted = dict(project.label_counts.filter(count__gt=0).values_list("value", "count"))
    assert counted == {"cash": 1}
    assert [each.revision for each in submitting.history(user=bob, task_id=first.task_id)] == [2, 1]


def test_skipped_task_stays_open_for_others(alice: User, bob: User, project: LabelProject) -> None:
    task = claim(bob, project)
    assert task is not None
    skipped = submitting.skip(user=bob, task_id=task.pk, key="s")
    assert submitting.skip(user=bob, task_id=task.pk, key="s2") == skipped
    following = claim(bob, project)
    assert following is not None
    assert following.position == 1
    assert claim(alice, project) == task
    project.refresh_from_db()
    assert (project.done_count, project.skip_count) == (0, 1)


def test_skip_after_an_answer_gives_the_slot_back(alice: User, bob: User, project: LabelProject) -> None:
    task = claim(bob, project)
    assert task is not None
    label(bob, task)
    submitting.skip(user=bob, task_id=task.pk, key="s")
    task.refresh_from_db()
    project.refresh_from_db()
    assert (task.open_slots, project.done_count, project.annotation_count, project.skip_count) == (1, 0, 0, 1)
    assert not label(bob, task, "cash").surplus
    project.refresh_from_db()
    assert (project.done_count, project.annotation_count, project.skip_count) == (1, 1, 0)


def test_empty_queue_says_why(alice: User, bob: User, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(1))
    task = claim(bob, project)
    turn = queue.next_task(user=alice, project_id=project.pk)
    assert (turn.reason, turn.leased) == ("all_leased", 1)
    assert turn.next_free_at is not None
    assert turn.payload()["empty"]["next_free_at"] > timezone.now().isoformat()
    assert task is not None
    submitting.skip(user=bob, task_id=task.pk, key="s")
    assert queue.next_task(user=bob, project_id=project.pk).reason == "none_assigned"
    label(alice, claim(alice, project))
    assert queue.next_task(user=bob, project_id=project.pk).reason == "done"


def test_undo_goes_back_step_by_step(bob: User, project: LabelProject) -> None:
    for value in ("card", "cash", "transfer"):
        label(bob, claim(bob, project), value)
    turns = [submitting.go_back(user=bob, project_id=project.pk) for _ in range(3)]
    assert [turn.task.position for turn in turns if turn.task] == [2, 1, 0]
    assert turns[1].payload()["draft"] == {"value": choose("cash")}
    assert turns[1].payload()["task"]["revision"] == 1
    with pytest.raises(UserError, match="nothing before"):
        submitting.go_back(user=bob, project_id=project.pk)
    label(bob, turns[2].task, "cash")
    following = claim(bob, project)
    assert following is not None
    assert following.position == 3


def test_overlap_gives_a_task_to_so_many_people_and_nobody_twice(alice: User, bob: User, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(2), overlap=2)
    carol = member(workspace, "carol")
    first = claim(alice, project)
    assert claim(bob, project) == first
    third = claim(carol, project)
    assert third is not None
    assert third != first, "both slots of the first are held"
    for user in (alice, bob):
        label(user, first)
    seen = [task.position for user in (alice, bob) if (task := claim(user, project))]
    assert seen == [1]
    project.refresh_from_db()
    assert project.done_count == 1


@pytest.mark.parametrize(
    "value",
    [
        choose("nothing"),
        [],
        [{"q": "label", "type": "choice", "value": ["card"]}],
        [{"q": "other", "type": "choice", "value": "card"}],
        "card",
        [["label", "card"]],
        [{"q": "label", "value": {"a": 1}}],
    ],
)
def test_wrong_value_is_told_and_the_task_kept(bob: User, project: LabelProject, value: Any) -> None:
    task = claim(bob, project)
    assert task is not None
    with pytest.raises(UserError) as caught:
        submitting.submit(user=bob, task_id=task.pk, value=value, key="k")
    assert caught.value.status == 422
    assert claim(bob, project) == task
    assert not Annotation.objects.exists()


def test_closed_project_hands_out_nothing_but_takes_what_was_begun(alice: User, bob: User, project: LabelProject) -> None:
    task = claim(bob, project)
    LabelProject.objects.filter(pk=project.pk).update(is_open=False)
    with pytest.raises(UserError, match="closed"):
        claim(alice, project)
    assert not label(bob, task).surplus


def test_claim_costs_the_same_however_much_is_done(
    bob: User, alice: User, workspace: Workspace, django_assert_max_num_queries: Any
) -> None:
    project = make_project(alice, workspace, texts(60), schema=CHOICE)
    for _ in range(50):
        label(bob, claim(bob, project))
    with django_assert_max_num_queries(14):
        assert claim(bob, project) is not None
