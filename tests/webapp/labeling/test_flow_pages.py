"""Pages of working together: who may open them, and that they work by clicks."""

import json
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.conftest import logged_in
from tests.webapp.labeling.making import CHOICE, choose, make_project, make_version, member, texts
from webapp.accounts.models import Role, User, Workspace
from webapp.labeling import predicting
from webapp.labeling.models import Contribution, LabelProject, ProjectMember, Task
from webapp.labeling.work import queue, submitting

TABS = ("label_people", "label_review", "label_disputes", "label_agreement", "label_dashboard")


@pytest.fixture
def project(alice: User, bob: User, workspace: Workspace) -> LabelProject:
    flow = {"agreement_target": 0.9, "review_share": 100}
    made = make_project(alice, workspace, texts(6, "card"), schema=CHOICE, overlap=2, flow=flow)
    for user, values in ((alice, ("card", "cash", "card")), (bob, ("card", "card", "card"))):
        for value in values:
            task = queue.next_task(user=user, project_id=made.pk).task
            assert task is not None
            submitting.submit(user=user, task_id=task.pk, value=choose(value), key=f"{user.pk}-{task.pk}", lead_time_ms=2000)
    return made


def address(name: str, workspace: Workspace, project: LabelProject, *more: Any) -> str:
    return reverse(name, args=[workspace.slug, project.pk, *more])


def test_pages_are_for_reviewers_and_above(
    alice_client: Client, bob_client: Client, charlie_client: Client, workspace: Workspace, project: LabelProject
) -> None:
    rita = logged_in(member(workspace, "rita", Role.REVIEWER))
    for name in TABS:
        url = address(name, workspace, project)
        statuses = [client.get(url).status_code for client in (alice_client, rita, bob_client, charlie_client)]
        assert statuses == [200, 200, 403, 404], name
    for name in ("throughput", "time", "gold", "accepted"):
        url = address("label_dashboard_figure", workspace, project, name)
        assert [client.get(url).status_code for client in (rita, bob_client, charlie_client)] == [200, 403, 404], name
    assert rita.get(address("label_dashboard_figure", workspace, project, "nothing")).status_code == 404
    posts = ("label_role", "label_assign", "label_unassign", "label_resume", "label_gold", "label_flow", "label_reorder")
    for name in posts:
        url = address("label_project_flow" if name == "label_flow" else name, workspace, project)
        body = {"user": "1", "count": "1", "role": ""}
        assert [client.post(url, body).status_code for client in (rita, bob_client, charlie_client)] == [403, 403, 404], name


def test_agreement_page_shows_figures_pairs_and_the_disputed(
    alice_client: Client, workspace: Workspace, project: LabelProject
) -> None:
    text = alice_client.get(address("label_agreement", workspace, project)).content.decode()
    assert "Krippendorff" in text
    assert "alice · bob" in text
    task = Task.objects.get(project=project, is_disputed=True)
    assert f"?task={task.pk}" in text
    alone = alice_client.get(address("label_disputes", workspace, project), {"task": task.pk}).content.decode()
    assert f"/api/v1/tasks/{task.pk}/dispute" in alone
    other = make_project(workspace.members.get(username="alice"), workspace, texts(1), name="Other", dataset="Other")
    foreign = Task.objects.get(project=other).pk
    assert alice_client.get(address("label_disputes", workspace, project), {"task": foreign}).status_code == 404


def test_deciding_pages_host_the_island(alice_client: Client, workspace: Workspace, project: LabelProject) -> None:
    for name, mode in (("label_review", "review"), ("label_disputes", "adjudicate")):
        text = alice_client.get(address(name, workspace, project)).content.decode()
        assert f'data-mode="{mode}"' in text
        next_url = re.search(r'data-next-url="([^"]+)"', text)
        assert next_url
        assert alice_client.get(next_url.group(1)).json()["task"]["kind"] == mode
        schema = re.search(r'<script id="label-schema" type="application/json">(.*?)</script>', text)
        assert schema
        assert json.loads(schema.group(1)) == project.schema


def test_people_are_managed_by_clicks(
    alice_client: Client, bob: User, bob_client: Client, workspace: Workspace, project: LabelProject
) -> None:
    alice_client.post(address("label_role", workspace, project), {"user": bob.pk, "role": "reviewer"})
    assert ProjectMember.objects.get(user=bob).role == Role.REVIEWER
    assert bob_client.get(address("label_people", workspace, project)).status_code == 200
    alice_client.post(address("label_assign", workspace, project), {"user": bob.pk, "count": 2})
    assert project.assignments.count() == 2
    page = alice_client.get(address("label_people", workspace, project)).content.decode()
    assert "2 tasks are reserved." in page
    alice_client.post(address("label_unassign", workspace, project), {"user": bob.pk})
    assert project.assignments.count() == 0
    alice_client.post(address("label_gold", workspace, project), {"count": 1})
    assert Task.objects.filter(project=project, gold__isnull=False).count() == 1
    Contribution.objects.filter(user=bob).update(is_paused=True)
    alice_client.post(address("label_resume", workspace, project), {"user": bob.pk})
    assert not Contribution.objects.get(user=bob).is_paused
    assert alice_client.post(address("label_assign", workspace, project), {"user": bob.pk, "count": "x"}).status_code == 422


def test_working_together_is_set_by_clicks(alice: User, alice_client: Client, workspace: Workspace) -> None:
    version = make_version(alice, workspace, texts(4))
    values = {
        "version": version.pk, "questions": json.dumps(CHOICE), "name": "Together", "overlap": 2,
        "overlap_mode": "adaptive", "overlap_most": 4, "agreement_target": 75, "review_share": 10, "seeing": "on",
    }  # fmt: skip
    alice_client.post(reverse("label_project_new", args=[workspace.slug]), values)
    project = LabelProject.objects.get()
    assert (project.overlap_mode, project.overlap_most, project.agreement_target) == ("adaptive", 4, 0.75)
    assert (project.review_share, project.blind) == (10, False)
    changed = {"overlap_most": 3, "agreement_target": "", "review_share": 20, "gold_share": 5}
    alice_client.post(address("label_project_flow", workspace, project), changed)
    project.refresh_from_db()
    assert (project.review_share, project.gold_share, project.blind) == (20, 5, True)
    page = alice_client.get(address("label_project", workspace, project)).content.decode()
    assert 'id="flow_review_share"' in page


def test_dashboard_orders_tasks_by_what_models_are_least_sure_of(
    alice: User, alice_client: Client, workspace: Workspace, project: LabelProject
) -> None:
    proposed = [predicting.Proposed(value=choose("card"), score=0.5, key="r5")]
    predicting.add_predictions(user=alice, project_id=project.pk, model="tiny v2", predictions=proposed)
    assert "tiny v2" in alice_client.get(address("label_dashboard", workspace, project)).content.decode()
    alice_client.post(address("label_reorder", workspace, project))
    assert Task.objects.get(project=project, key="r5").priority == 500_000


def test_pages_speak_chinese(alice_client: Client, workspace: Workspace, project: LabelProject) -> None:
    """N7."""
    alice_client.cookies["shuyuan_language"] = "zh-hans"
    for name, word in zip(TABS, ("金标题", "待审核", "争议", "一致性", "每条用时"), strict=True):
        assert word in alice_client.get(address(name, workspace, project)).content.decode(), name


def test_pages_need_few_queries(
    alice_client: Client, workspace: Workspace, project: LabelProject, django_assert_max_num_queries: Any
) -> None:
    for name in TABS:
        with django_assert_max_num_queries(20):
            alice_client.get(address(name, workspace, project))
