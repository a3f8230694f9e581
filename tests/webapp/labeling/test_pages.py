"""Pages of labelling: from a version to a project by clicks, the working page, figures, and who sees what."""

import json
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.conftest import logged_in
from tests.webapp.labeling.making import CHOICE, LABELS, choose, make_project, make_version, member, texts
from webapp.accounts.models import Role, User, Workspace
from webapp.datasets.models import DatasetVersion
from webapp.labeling.models import LabelProject
from webapp.labeling.work import queue, submitting


@pytest.fixture
def project(alice: User, bob: User, workspace: Workspace) -> LabelProject:
    made = make_project(alice, workspace, texts(30), schema=CHOICE, instructions="Look twice.")
    for number, label in enumerate(LABELS):
        task = queue.next_task(user=bob, project_id=made.pk).task
        assert task is not None
        submitting.submit(user=bob, task_id=task.pk, value=choose(label), key=f"k{number}", lead_time_ms=1500)
    return made


def addresses(workspace: Workspace, project: LabelProject) -> dict[str, str]:
    return {
        name: reverse(name, args=[workspace.slug, *([project.pk] if with_id else [])])
        for name, with_id in (("labeling", False), ("label_project", True))
    }


def test_pages_open_for_members_only(
    alice_client: Client, bob_client: Client, charlie_client: Client, client: Client, workspace: Workspace, project: LabelProject
) -> None:
    for name, url in addresses(workspace, project).items():
        assert alice_client.get(url).status_code == 200, name
        assert bob_client.get(url).status_code == 200, name
        assert charlie_client.get(url).status_code == 404, name
        assert client.get(url).status_code == 302, name
    work = reverse("label_work", args=[workspace.slug, project.pk])
    viewer = logged_in(member(workspace, "victor", Role.VIEWER))
    assert [somebody.get(work).status_code for somebody in (bob_client, viewer, charlie_client)] == [200, 403, 404]
    new = reverse("label_project_new", args=[workspace.slug])
    assert [somebody.get(new).status_code for somebody in (alice_client, bob_client, charlie_client)] == [200, 403, 404]


def test_project_is_made_with_the_builder(alice: User, alice_client: Client, workspace: Workspace) -> None:
    """Issue 2, step 4: the page hosts the builder, which sends the questions with the form."""
    version = make_version(alice, workspace, texts(3))
    new = reverse("label_project_new", args=[workspace.slug])
    assert f"?version={version.pk}" in alice_client.get(new).content.decode()
    form = alice_client.get(new, {"version": version.pk}).content.decode()
    assert 'data-island="builder"' in form
    assert f"/api/v1/versions/{version.pk}/label-presets" in form
    questions = {"fields": [{"name": "label", "type": "choice", "choices": ["card", "cash"]}]}
    values = {"version": version.pk, "questions": json.dumps(questions), "name": "Intents", "overlap": 1}
    answer = alice_client.post(new, values)
    project = LabelProject.objects.get()
    assert answer["Location"] == reverse("label_work", args=[workspace.slug, project.pk])
    assert [choice["value"] for choice in project.schema["fields"][0]["choices"]] == ["card", "cash"]
    taken = alice_client.post(new, values)
    assert taken.status_code == 200
    assert "already a label project" in taken.content.decode()
    assert "already" not in alice_client.post(new, {**values, "name": ""}).content.decode()


def test_questions_that_are_not_right_come_back_with_the_place_of_the_error(
    alice: User, alice_client: Client, workspace: Workspace
) -> None:
    version = make_version(alice, workspace, texts(1))
    questions = {"fields": [{"name": "label", "type": "choice", "choices": ["only"]}]}
    values = {"version": version.pk, "questions": json.dumps(questions), "name": "Intents", "overlap": 1}
    page = alice_client.post(reverse("label_project_new", args=[workspace.slug]), values).content.decode()
    found = {
        name: json.loads(text)
        for name, text in re.findall(r'<script id="(builder-\w+)" type="application/json">(.*?)</script>', page)
    }
    assert found["builder-questions"] == questions
    assert found["builder-trouble"]["details"]["place"].startswith("fields.0")


def test_working_page_hosts_the_island(bob_client: Client, workspace: Workspace, project: LabelProject) -> None:
    text = bob_client.get(reverse("label_work", args=[workspace.slug, project.pk])).content.decode()
    found = re.search(r'<script id="label-schema" type="application/json">(.*?)</script>', text)
    assert found
    assert json.loads(found.group(1)) == project.schema
    for part in ("next-url", "submit-url", "skip-url", "undo-url", "draft-url", "heartbeat-url", "release-url"):
        assert f"data-{part}=" in text
    assert "Look twice." in text


def test_project_page_shows_people_and_blind_annotators_only_themselves(
    alice_client: Client, workspace: Workspace, project: LabelProject
) -> None:
    url = reverse("label_project", args=[workspace.slug, project.pk])
    figure = reverse("label_project_figure", args=[workspace.slug, project.pk, "label"])
    seen = alice_client.get(url).content.decode()
    assert "bob" in seen
    assert figure in seen
    assert [trace["y"] for trace in alice_client.get(figure).json()["data"]] == [LABELS[::-1]]
    carol = logged_in(member(workspace, "carol"))
    blind = carol.get(url).content.decode()
    assert "bob" not in blind
    assert figure not in blind
    assert carol.get(figure).status_code == 404
    assert "bob" not in carol.get(url, headers={"hx-request": "true"}).content.decode()


def test_project_is_run_by_clicks(alice_client: Client, bob_client: Client, workspace: Workspace, project: LabelProject) -> None:
    def url(name: str) -> str:
        return reverse(name, args=[workspace.slug, project.pk])

    for name in ("edit", "open", "choice", "delete", "version"):
        assert bob_client.post(url(f"label_project_{name}")).status_code == 403
    assert bob_client.get(url("label_project_export")).status_code == 403
    alice_client.post(url("label_project_edit"), {"name": "Renamed", "instructions": ""})
    alice_client.post(url("label_project_choice"), {"field": "label", "value": "refund"})
    alice_client.post(url("label_project_open"), {"open": "0"})
    project.refresh_from_db()
    assert (project.name, project.is_open, len(project.schema["fields"][0]["choices"])) == ("Renamed", False, 4)
    export = alice_client.get(url("label_project_export"))
    assert b"".join(export.streaming_content).count(b"\n") == 3
    made = alice_client.post(url("label_project_version"), {"dataset_name": ""})
    version = DatasetVersion.objects.get(recipe__label_project=project.pk)
    assert made["Location"] == reverse("dataset_version", args=[workspace.slug, version.pk])
    assert (version.count, version.parent) == (3, project.version)
    assert alice_client.post(url("label_project_delete")).status_code == 302
    assert not LabelProject.objects.exists()
    assert DatasetVersion.objects.filter(pk=version.pk).exists()


def test_page_queries_stay_few(
    alice_client: Client, workspace: Workspace, project: LabelProject, django_assert_max_num_queries: Any
) -> None:
    for url in addresses(workspace, project).values():
        with django_assert_max_num_queries(18):
            alice_client.get(url)


def test_pages_speak_chinese(alice_client: Client, workspace: Workspace, project: LabelProject) -> None:
    """N7."""
    alice_client.cookies["shuyuan_language"] = "zh-hans"
    text = alice_client.get(reverse("label_project", args=[workspace.slug, project.pk])).content.decode()
    assert "标注" in text
    assert "导出" in text
