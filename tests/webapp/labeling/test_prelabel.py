"""Pre-labels as a job of the product: who may start it, what the program gets, and what becomes of what it made."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.webapp.datasets.uploading import post
from tests.webapp.labeling.making import choose, make_project, texts
from webapp.accounts.models import User, Workspace
from webapp.core.errors import UserError
from webapp.jobs import paths
from webapp.jobs.models import Job
from webapp.labeling import prelabeling
from webapp.labeling.models import LabelProject, Prediction, Task
from webapp.registry.models import Model
from webapp.serving.models import Deployment, Health


@pytest.fixture
def deployment(workspace: Workspace) -> Deployment:
    model = Model.objects.create(workspace=workspace, name="tiny", kind="base")
    place = {"address": "127.0.0.1", "port": 9, "token": "secret", "health": Health.READY}
    return Deployment.objects.create(workspace=workspace, name="tiny", model=model, spec={}, **place)


@pytest.fixture
def project(alice: User, workspace: Workspace) -> LabelProject:
    return make_project(alice, workspace, texts(4))


def test_deployment_proposes_and_the_least_sure_come_first(
    alice_client: Client, workspace: Workspace, project: LabelProject, deployment: Deployment
) -> None:
    body = {"deployment": deployment.pk, "limit": 3, "version": "tiny v1"}
    job = Job.objects.get(pk=post(alice_client, f"/api/v1/label-projects/{project.pk}/prelabel", body, 201)["job"])
    inputs = prelabeling.inputs(job)
    assert (inputs["model"].base_url, inputs["model"].addresses) == ("http://127.0.0.1:9/v1", ["127.0.0.1"])
    assert prelabeling.environment(job) == {"SHUYUAN_ENDPOINT_KEY": "secret"}
    tasks = [json.loads(line)["task"] for line in inputs["tasks"].path.read_text().splitlines()]
    assert tasks == list(Task.objects.order_by("position").values_list("pk", flat=True)[:3])
    output = paths.output_dir(job.pk)
    output.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = [
        {"task": tasks[0], "value": choose("card"), "score": 0.9},
        {"task": tasks[1], "value": choose("cash"), "score": 0.4},
        {"task": tasks[2], "value": [], "score": None},
    ]
    (output / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for _ in range(2):
        prelabeling.finished(job)
    assert Prediction.objects.count() == 2
    assert prelabeling.page(job) == reverse("label_dashboard", args=[workspace.slug, project.pk])
    shown = alice_client.get(f"/api/v1/label-projects/{project.pk}/next").json()["task"]
    assert (shown["id"], shown["predictions"][0]["model"]) == (tasks[1], "tiny v1")


def test_prelabel_is_started_by_clicks_by_managers_only(
    alice_client: Client, bob_client: Client, charlie_client: Client, workspace: Workspace, project: LabelProject,
    deployment: Deployment,
) -> None:  # fmt: skip
    page = alice_client.get(reverse("label_dashboard", args=[workspace.slug, project.pk])).content.decode()
    assert f'<option value="{deployment.pk}">tiny</option>' in page
    url = reverse("label_prelabel", args=[workspace.slug, project.pk])
    body = {"deployment": deployment.pk, "limit": 10}
    assert [client.post(url, body).status_code for client in (bob_client, charlie_client)] == [403, 404]
    assert alice_client.post(url, body).status_code == 302
    assert Job.objects.get().spec["reorder"] is False
    api = f"/api/v1/label-projects/{project.pk}"
    for address, given in (("prelabel", {"deployment": 1}), ("predictions", {"model": "m", "predictions": []}), ("reorder", {})):
        statuses = [
            client.post(f"{api}/{address}", given, "application/json").status_code for client in (bob_client, charlie_client)
        ]
        assert statuses == [403, 404], address


def test_what_cannot_work_is_told(alice: User, workspace: Workspace, project: LabelProject, deployment: Deployment) -> None:
    def start(**options: Any) -> Job:
        values = {"user": alice, "project_id": project.pk, "deployment_id": deployment.pk, **options}
        return prelabeling.start_prelabel(**values)

    with pytest.raises(UserError, match="Choose between"):
        start(limit=0)
    Deployment.objects.update(health=Health.STOPPED)
    with pytest.raises(UserError, match="does not run"):
        start()
    boxes = {"fields": [{"name": "box", "type": "regions", "labels": ["x"]}]}
    pictures = make_project(alice, workspace, texts(1), schema=boxes, name="Boxes", dataset="Boxes")
    with pytest.raises(UserError, match="None of the questions"):
        start(project_id=pictures.pk)
