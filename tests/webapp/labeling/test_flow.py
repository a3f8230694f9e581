"""Working together: overlap, assignment, roles, gold questions, review, adjudication (S6.11)."""

import itertools
from typing import Any

import pytest
from django.test import Client

from tests.conftest import logged_in
from tests.webapp.datasets.uploading import post
from tests.webapp.labeling.making import CHOICE, choose, make_project, member, texts
from webapp.accounts.models import Role, User, Workspace
from webapp.core.errors import NotFound, UserError
from webapp.labeling import exports, people, predicting
from webapp.labeling.models import Annotation, Contribution, Help, LabelProject, Prediction, PredictionSource, Review, Task
from webapp.labeling.outcomes import labelled_records, task_outcomes
from webapp.labeling.predicting import Proposed
from webapp.labeling.quality import adjudicating, gold, reviewing
from webapp.labeling.work import queue, submitting
from webapp.labeling.work.showing import data_for_page
from workers.spec.record import Message, Record

keys = (f"flow-{number}" for number in itertools.count())


def claim(user: User, project: LabelProject) -> Task | None:
    return queue.next_task(user=user, project_id=project.pk).task


def label(user: User, task: Task | None, value: str = "card", **options: Any) -> Annotation:
    assert task is not None
    return submitting.submit(user=user, task_id=task.pk, value=choose(value), key=next(keys), **options)


def outcomes(project: LabelProject) -> list[str | None]:
    project.refresh_from_db()
    return [answers["label"] if answers else None for _, answers in task_outcomes(project)]


@pytest.fixture
def carol(workspace: Workspace) -> User:
    return member(workspace, "carol")


@pytest.fixture
def rita(workspace: Workspace) -> User:
    return member(workspace, "rita", Role.REVIEWER)


def test_a_share_of_the_tasks_is_labelled_by_several(alice: User, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(200), overlap=3, flow={"overlap_mode": "share", "overlap_share": 10})
    slots = list(Task.objects.filter(project=project).values_list("open_slots", flat=True))
    assert (slots.count(3), slots.count(1)) == (20, 180)


def test_people_are_added_until_they_agree(alice: User, bob: User, carol: User, rita: User, workspace: Workspace) -> None:
    flow = {"overlap_mode": "adaptive", "overlap_most": 3, "agreement_target": 0.6}
    project = make_project(alice, workspace, texts(2), flow=flow)
    first, second = Task.objects.filter(project=project).order_by("position")
    for user, task, value in [(bob, first, "card"), (carol, first, "card"), (bob, second, "card"), (carol, second, "cash")]:
        label(user, task, value)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.open_slots, first.agreement, second.open_slots, second.agreement) == (0, 1.0, 1, 0.0)
    assert claim(rita, project) == second, "those who passed it are asked, too"
    label(rita, second, "transfer")
    second.refresh_from_db()
    project.refresh_from_db()
    assert (second.open_slots, second.is_disputed, project.done_count) == (0, True, 2)


def test_assigned_tasks_come_first_and_are_nobody_elses(alice: User, bob: User, carol: User, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(6))
    ids = list(Task.objects.filter(project=project).order_by("position").values_list("pk", flat=True))
    assert people.assign(user=alice, project_id=project.pk, person=bob.pk, tasks=ids[3:5]) == 2
    assert people.assign(user=alice, project_id=project.pk, person=carol.pk, count=1) == 1
    seen = []
    while task := claim(bob, project):
        seen.append(task.position)
        label(bob, task)
    assert seen == [3, 4, 1, 2, 5], "position 0 is carol's"
    assert queue.next_task(user=bob, project_id=project.pk).reason == "none_assigned"
    assert people.unassign(user=alice, project_id=project.pk, person=carol.pk) == 1
    back = claim(bob, project)
    assert back is not None
    assert back.position == 0


def test_roles_of_a_project_open_and_close_it(
    alice: User, bob: User, bob_client: Client, carol: User, workspace: Workspace
) -> None:
    project = make_project(alice, workspace, texts(3), flow={"members_only": True})
    url = f"/api/v1/label-projects/{project.pk}"
    listing = f"/api/v1/workspaces/{workspace.slug}/label-projects"
    assert bob_client.get(url).status_code == 404
    assert bob_client.get(listing).json()["items"] == []
    people.set_role(user=alice, project_id=project.pk, person=bob.pk, role=Role.MANAGER)
    assert bob_client.get(url).status_code == 200
    assert len(bob_client.get(listing).json()["items"]) == 1
    people.set_role(user=bob, project_id=project.pk, person=carol.pk, role=Role.VIEWER)
    with pytest.raises(UserError, match="role"):
        claim(carol, project)
    people.set_role(user=bob, project_id=project.pk, person=bob.pk, role="")
    with pytest.raises(NotFound):
        people.set_role(user=bob, project_id=project.pk, person=carol.pk, role=Role.ANNOTATOR)


def test_gold_questions_are_hidden_scored_and_pause(alice: User, bob: User, workspace: Workspace) -> None:
    flow = {"gold_share": 50, "gold_pause_below": 0.7, "gold_minimum": 3}
    project = make_project(alice, workspace, texts(40, "card"), flow=flow)
    assert gold.make_gold_from_data(user=alice, project_id=project.pk, count=8) == 8
    project.refresh_from_db()
    assert project.done_count == 8
    scores = []
    while task := claim(bob, project):
        payload = queue.next_task(user=bob, project_id=project.pk).payload()
        assert "gold" not in str({**payload["task"], "data": None})
        is_gold = task.gold is not None
        stored = label(bob, task, "cash" if is_gold else "card")
        assert (stored.is_gold, stored.surplus) == (is_gold, False)
        scores += [stored.score] if is_gold else []
    assert scores == [0.0, 0.0, 0.0]
    turn = queue.next_task(user=bob, project_id=project.pk)
    assert turn.reason == "paused"
    work = Contribution.objects.get(project=project, user=bob)
    assert (work.gold_answered, work.gold_points, work.is_paused) == (3, 0.0, True)
    gold.resume(user=alice, project_id=project.pk, person=bob.pk)
    assert claim(bob, project) is not None


def test_gold_question_can_become_an_ordinary_task_again(alice: User, bob: User, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(1), overlap=2)
    task = Task.objects.get(project=project)
    gold.set_gold(user=alice, task_id=task.pk, value=choose("card"))
    assert claim(bob, project) is None
    gold.set_gold(user=alice, task_id=task.pk, value=None)
    task.refresh_from_db()
    assert (task.gold, task.open_slots) == (None, 2)
    with pytest.raises(UserError, match="brings an answer"):
        gold.make_gold_from_data(user=alice, project_id=project.pk, count=1)


def test_review_accepts_corrects_and_sends_back_to_the_author(
    alice: User, bob: User, carol: User, rita: User, workspace: Workspace
) -> None:
    project = make_project(alice, workspace, texts(3), flow={"review_share": 100})
    for value in ("card", "cash", "transfer"):
        label(bob, claim(bob, project), value)

    def held() -> dict[str, Any]:
        task: dict[str, Any] = reviewing.next_review(user=rita, project_id=project.pk).payload()["task"]
        return task

    first = held()
    assert (first["kind"], first["annotations"][0]["who"], first["annotations"][0]["value"]) == ("review", "A", choose("card"))
    assert held()["id"] == first["id"], "asking again gives the same"
    other = reviewing.next_review(user=alice, project_id=project.pk).payload()
    assert other["task"]["id"] != first["id"]
    assert reviewing.decide(user=rita, task_id=first["id"], value=choose("card")).state == "accepted"
    assert reviewing.decide(user=rita, task_id=first["id"], decision="reject", reason="late").state == "accepted"
    assert reviewing.decide(user=alice, task_id=other["task"]["id"], value=choose("card")).state == "fixed"
    third = held()["id"]
    with pytest.raises(UserError, match="Say what is wrong"):
        reviewing.decide(user=rita, task_id=third, decision="reject")
    reviewing.decide(user=rita, task_id=third, decision="reject", reason="It is a refund.")
    assert outcomes(project) == ["card", "card", None]
    assert claim(carol, project) is None, "only its author gets it back"
    turn = queue.next_task(user=bob, project_id=project.pk).payload()
    assert (turn["task"]["id"], turn["task"]["review"]["reason"], turn["task"]["revision"]) == (third, "It is a refund.", 1)
    assert turn["draft"] == {"value": choose("transfer")}
    again = label(bob, Task.objects.get(pk=third), "cash", revision=1)
    again.refresh_from_db()
    assert (again.revision, again.surplus, again.review) == (2, False, "pending")
    assert claim(bob, project) is None
    assert held()["id"] == third
    work = Contribution.objects.get(project=project, user=bob)
    assert (work.accepted, work.fixed, work.rejected) == (1, 1, 1)
    assert [review.state for review in Review.objects.order_by("pk")] == ["accepted", "fixed", "answered", "pending"]
    history = list(Annotation.objects.filter(user=bob).order_by("task__position", "revision").values_list("value", flat=True))
    assert history == [choose("card"), choose("cash"), choose("card"), choose("transfer"), choose("cash")], "nothing is changed"


def test_nobody_reviews_their_own_work(alice: User, rita: User, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(1), flow={"review_share": 100})
    stored = label(rita, claim(rita, project))
    assert reviewing.next_review(user=rita, project_id=project.pk).payload()["empty"]["reason"] == "done"
    with pytest.raises(UserError, match="somebody else"):
        reviewing.decide(user=rita, task_id=stored.task_id, decision="accept")


def test_a_sample_is_reviewed(alice: User, bob: User, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(60), flow={"review_share": 30})
    while task := claim(bob, project):
        label(bob, task)
    assert 6 <= Review.objects.count() <= 32


def test_disputes_are_decided_side_by_side(alice: User, bob: User, carol: User, rita: User, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(2), overlap=2, flow={"agreement_target": 1})
    for user, values in ((bob, ("card", "cash")), (carol, ("card", "transfer"))):
        for value in values:
            label(user, claim(user, project), value)
    shown = adjudicating.next_dispute(user=rita, project_id=project.pk).payload()["task"]
    assert (shown["kind"], shown["position"]) == ("adjudicate", 2)
    assert [(one["who"], one["value"]) for one in shown["annotations"]] == [("A", choose("cash")), ("B", choose("transfer"))]
    adjudicating.adjudicate(user=rita, task_id=shown["id"], value=choose("cash"))
    adjudicating.adjudicate(user=rita, task_id=shown["id"], value=choose("transfer"), note="after all")
    assert outcomes(project) == ["card", "transfer"]
    assert adjudicating.next_dispute(user=rita, project_id=project.pk).task is None
    with pytest.raises(UserError, match="role"):
        adjudicating.next_dispute(user=bob, project_id=project.pk)


def test_predictions_are_shown_and_what_became_of_them_is_counted(
    alice: User, bob: User, bob_client: Client, workspace: Workspace
) -> None:
    project = make_project(alice, workspace, texts(4))
    proposed = [Proposed(value=choose("card"), score=0.9 - 0.2 * index, key=f"r{index}") for index in range(3)]
    wrong = [Proposed(value=choose("nothing"), key="r3"), Proposed(value=choose("card"), key="unknown")]
    stored, refused = predicting.add_predictions(user=alice, project_id=project.pk, model="tiny v1", predictions=proposed + wrong)
    assert (stored, len(refused)) == (3, 2)
    assert predicting.order_by_uncertainty(user=alice, project_id=project.pk) == 3
    positions = []
    for value, use in (("card", True), ("cash", True), ("card", False)):
        shown = bob_client.get(f"/api/v1/label-projects/{project.pk}/next").json()["task"]
        positions.append(shown["position"])
        (prediction,) = shown["predictions"]
        assert (prediction["model"], prediction["value"]) == ("tiny v1", choose("card"))
        body = {"value": choose(value), "key": next(keys), "prediction": prediction["id"] if use else None}
        post(bob_client, f"/api/v1/tasks/{shown['id']}/annotations", body, 200)
    assert positions == [3, 2, 1], "the least sure comes first"
    source = PredictionSource.objects.get()
    assert (source.made, source.accepted, source.edited, source.rejected) == (3, 1, 1, 1)
    helped = Annotation.objects.order_by("pk").values_list("help", flat=True)
    assert list(helped) == [Help.ACCEPTED, Help.EDITED, Help.REJECTED]
    predicting.add_predictions(user=alice, project_id=project.pk, model="tiny v1", predictions=proposed[:1])
    assert Prediction.objects.count() == 3


def test_slots_cannot_be_changed_later_but_the_rest_can(alice: User, alice_client: Client, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(1), schema=CHOICE)
    url = f"/api/v1/label-projects/{project.pk}"

    def patch(flow: dict[str, Any]) -> Any:
        return alice_client.patch(url, {"flow": flow}, "application/json").json()

    assert patch({"review_share": 20})["flow"]["review_share"] == 20
    assert patch({"overlap": 3})["error"]["code"] == "label.overlap_is_set"
    assert patch({"review_share": 120})["error"]["code"] == "label.bad_flow"
    assert patch({"nonsense": 1})["error"]["code"] == "label.bad_flow"


def test_strangers_and_annotators_do_not_manage(
    alice: User, bob_client: Client, charlie_client: Client, client: Client, workspace: Workspace
) -> None:
    project = make_project(alice, workspace, texts(1))
    task = Task.objects.get(project=project).pk
    url = f"/api/v1/label-projects/{project.pk}"
    outsiders = (bob_client, charlie_client, client)
    for address in (
        f"{url}/people",
        f"{url}/reviews/next",
        f"{url}/disputes/next",
        f"{url}/agreement",
        f"/api/v1/tasks/{task}/dispute",
    ):
        assert [somebody.get(address).status_code for somebody in outsiders] == [403, 404, 401], address
    posts: dict[str, Any] = {
        f"{url}/assignments": {"user": 1, "count": 1},
        f"{url}/assignments/release": {"user": 1},
        f"{url}/people/resume": {"user": 1},
        f"{url}/gold": {"count": 1},
        f"{url}/agreement": {},
        f"/api/v1/tasks/{task}/review": {},
        f"/api/v1/tasks/{task}/adjudication": {"value": []},
    }
    for address, body in posts.items():
        statuses = [somebody.post(address, body, "application/json").status_code for somebody in outsiders]
        assert statuses == [403, 404, 401], address
    for address, body in ((f"{url}/people", {"user": 1, "role": "manager"}), (f"/api/v1/tasks/{task}/gold", {"value": None})):
        statuses = [somebody.put(address, body, "application/json").status_code for somebody in outsiders]
        assert statuses == [403, 404, 401], address
    viewer = logged_in(member(workspace, "victor", Role.VIEWER))
    assert viewer.get(f"{url}/reviews/next").status_code == 403


def test_export_tells_review_gold_and_help(alice: User, bob: User, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(1), flow={"review_share": 100})
    label(bob, claim(bob, project))
    (row, _record), *_rest = exports.exported_rows(project)
    assert (row["review"], row["is_gold"], row["help"]) == ("pending", False, "")


def test_imported_preferences_are_judged_anew_and_blind(alice: User, workspace: Workspace) -> None:
    """S6.9: the two answers of a preference are compared like any other responses, and the verdict becomes the preference."""
    records = [
        Record(
            id=str(number),
            messages=[Message(role="user", content=f"Question {number}")],
            chosen=[Message(role="assistant", content=f"Preferred {number}")],
            rejected=[Message(role="assistant", content=f"Other {number}")],
        )
        for number in range(20)
    ]
    fields = [{"name": "better", "type": "pairwise", "label": "Which is better?", "required": True}]
    project = make_project(alice, workspace, records, {"fields": fields})
    firsts = set()
    for _ in records:
        turn = queue.next_task(user=alice, project_id=project.pk)
        assert turn.task is not None
        data = data_for_page(project, turn.task)
        assert not {"chosen", "rejected"} & set(data)
        contents = [answer["content"] for answer in data["responses"]]
        firsts.add(contents[0].split()[0])
        wanted = "ab"[contents.index(next(content for content in contents if content.startswith("Other")))]
        value = [{"q": "better", "type": "pairwise", "value": wanted}]
        submitting.submit(user=alice, task_id=turn.task.pk, value=value, key=next(keys))
    assert firsts == {"Preferred", "Other"}
    for labelled in labelled_records(project):
        assert labelled.chosen is not None
        assert labelled.chosen[0].content == f"Other {labelled.id}"
