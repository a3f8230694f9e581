"""Projects through the API: creating with presets, big ones in portions, export, new versions, roles and blindness."""

import csv
import io
import json
from typing import Any

import pytest
from django.test import Client

from tests.conftest import logged_in
from tests.webapp.datasets.uploading import post
from tests.webapp.labeling.making import (
    ANSWER,
    LABELS,
    choose,
    conversations,
    make_project,
    make_version,
    member,
    texts,
)
from webapp.accounts.models import Role, User, Workspace
from webapp.datasets import services as datasets
from webapp.datasets.models import DatasetVersion
from webapp.labeling import services
from webapp.labeling.models import Annotation, LabelProject, Task
from workers.spec.record import Message, Record


def get_next(client: Client, project: LabelProject) -> Any:
    answer = client.get(f"/api/v1/label-projects/{project.pk}/next")
    assert answer.status_code == 200, answer.content
    return answer.json()


def submit(client: Client, task: int, value: Any, key: str, status: int = 200, **more: Any) -> Any:
    return post(client, f"/api/v1/tasks/{task}/annotations", {"value": value, "key": key, **more}, status)


def answer_text(text: str) -> list[dict[str, Any]]:
    return [{"q": "answer", "type": "text", "value": text}]


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_label_through_the_api_from_start_to_export(
    alice: User, alice_client: Client, bob_client: Client, workspace: Workspace
) -> None:
    """S6.9, issue 2 step 4: a project on records, labels one after the other, JSONL out, a version for training."""
    version = make_version(alice, workspace, texts(3))
    made = post(
        alice_client,
        f"/api/v1/workspaces/{workspace.slug}/label-projects",
        {"version": version.pk, "name": "Intents", "preset": "classification", "labels": LABELS},
    )
    assert (made["total"], made["created"], made["done"]) == (3, 3, 0)
    assert made["schema"]["fields"][0]["choices"][0]["value"] == "card"
    project = LabelProject.objects.get(pk=made["id"])
    shown = get_next(bob_client, project)
    assert shown["task"]["data"]["text"] == "text number 0"
    assert (shown["task"]["position"], shown["draft"], shown["progress"]) == (1, None, {"done": 0, "total": 3, "mine": 0})
    for number, label in enumerate(LABELS):
        answer = submit(bob_client, shown["task"]["id"], choose(label), f"k{number}", lead_time_ms=900)
        assert answer["annotation"]["value"] == choose(label)
        shown = answer["next"]
    assert shown["empty"]["reason"] == "done"
    assert shown["progress"] == {"done": 3, "total": 3, "mine": 3}
    exported = [json.loads(line) for line in body(alice_client.get(f"/api/v1/label-projects/{project.pk}/export")).splitlines()]
    assert [(row["key"], row["value"], row["annotator"]) for row in exported] == [
        (f"r{index}", choose(label), "bob") for index, label in enumerate(LABELS)
    ]
    table = body(alice_client.get(f"/api/v1/label-projects/{project.pk}/export?format=csv")).decode("utf-8-sig")
    assert [row["label"] for row in csv.DictReader(io.StringIO(table))] == LABELS
    new = post(alice_client, f"/api/v1/label-projects/{project.pk}/versions", {"dataset_name": "Intents labelled"})
    assert (new["count"], new["parent"], new["stats"]["labels"]) == (3, version.pk, dict.fromkeys(LABELS, 1))
    records = DatasetVersion.objects.get(pk=new["id"]).records.order_by("position")
    assert [row.label for row in records] == LABELS
    again = post(alice_client, f"/api/v1/label-projects/{project.pk}/versions", {"dataset_name": "Intents labelled"})
    assert (again["number"], again["sha256"]) == (2, new["sha256"])


def test_corrected_answers_become_conversations(alice: User, bob_client: Client, workspace: Workspace) -> None:
    records = [*conversations(1), Record(id="q", messages=[Message(role="user", content="open?")]), *texts(1)]
    project = make_project(alice, workspace, records, schema=ANSWER)
    shown = get_next(bob_client, project)
    for number in range(3):
        shown = submit(bob_client, shown["task"]["id"], answer_text(f"better {number}"), f"k{number}")["next"]
    from webapp.labeling.exports import create_labelled_version

    version = create_labelled_version(user=alice, project_id=project.pk)
    stored = [row.data["messages"] for row in version.records.order_by("position")]
    assert [[(turn["role"], turn["content"]) for turn in turns] for turns in stored] == [
        [("user", "question 0"), ("assistant", "better 0")],
        [("user", "open?"), ("assistant", "better 1")],
        [("user", "text number 0"), ("assistant", "better 2")],
    ]


def test_majority_decides_and_unanswered_records_are_left_out(alice: User, workspace: Workspace) -> None:
    from webapp.labeling.exports import create_labelled_version

    project = make_project(alice, workspace, texts(2), overlap=3)
    clients = [logged_in(member(workspace, name)) for name in ("carol", "dave", "erin")]
    task = Task.objects.get(project=project, position=0).pk
    for number, (client, label) in enumerate(zip(clients, ("cash", "card", "card"), strict=True)):
        submit(client, task, choose(label), f"k{number}")
    version = create_labelled_version(user=alice, project_id=project.pk)
    assert [(row.key, row.label) for row in version.records.all()] == [("r0", "card")]


def test_nothing_labelled_makes_no_version(alice: User, alice_client: Client, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(2))
    answer = post(alice_client, f"/api/v1/label-projects/{project.pk}/versions", {}, status=409)
    assert answer["error"]["code"] == "label.nothing_labelled"


def test_presets_propose_from_the_data(alice: User, alice_client: Client, workspace: Workspace) -> None:
    url = f"/api/v1/workspaces/{workspace.slug}/label-projects"
    labelled = make_version(alice, workspace, [*texts(2, "b"), Record(id="x", text="y", label="a")], "Labelled")
    made = post(alice_client, url, {"version": labelled.pk, "name": "One", "propose": True})
    field = made["schema"]["fields"][0]
    assert ([choice["value"] for choice in field["choices"]], field["source"]) == (["b", "a"], "label")
    talk = make_version(alice, workspace, conversations(2), "Talk")
    made = post(alice_client, url, {"version": talk.pk, "name": "Two"})
    assert made["schema"]["fields"][0]["source"] == "messages.last"
    plain = make_version(alice, workspace, texts(2), "Plain")
    refused = post(alice_client, url, {"version": plain.pk, "name": "Three"}, status=422)
    assert refused["error"]["code"] == "label.too_few_labels"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": " "}, "label.no_name"),
        ({"name": "x" * 121}, "label.long_name"),
        ({"overlap": 0}, "label.bad_overlap"),
        ({"limit": 0}, "label.no_tasks"),
        ({"schema": {"fields": []}}, "label.bad_schema"),
        ({"schema": {"fields": [{"name": "a b", "type": "text"}]}}, "label.bad_schema"),
        ({"schema": {"fields": [{"name": "a", "type": "box"}]}}, "label.bad_schema"),
        ({"schema": {"fields": [{"name": "a", "type": "choice", "choices": ["x", "x"]}]}}, "label.same_choice"),
        ({"schema": {"fields": [{"name": "a", "type": "text"}, {"name": "a", "type": "text"}]}}, "label.same_name"),
        ({"schema": {"fields": ["a"]}}, "label.bad_schema"),
    ],
)
def test_wrong_project_is_refused_with_one_sentence(
    alice: User, alice_client: Client, workspace: Workspace, change: dict[str, Any], code: str
) -> None:
    version = make_version(alice, workspace, texts(2))
    payload = {"version": version.pk, "name": "Intents", "schema": ANSWER, **change}
    answer = post(alice_client, f"/api/v1/workspaces/{workspace.slug}/label-projects", payload, status=422)
    assert answer["error"]["code"] == code
    assert not LabelProject.objects.exists()


def test_large_project_is_filled_in_portions_while_people_label(
    alice: User, bob_client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request makes what it can in its time; a worker's duty makes the rest, exactly once."""
    monkeypatch.setattr(services, "CHUNK_TASKS", 10)
    monkeypatch.setattr(services, "SECONDS_IN_REQUEST", 0)
    project = make_project(alice, workspace, texts(95))
    assert (project.task_count, project.task_total) == (10, 95)
    assert get_next(bob_client, project)["progress"]["total"] == 95
    stale = LabelProject.objects.get(pk=project.pk)
    services.fill_open_projects()
    services.fill_tasks(stale, seconds=10)
    services.fill_open_projects()
    positions = list(Task.objects.filter(project=project).order_by("position").values_list("position", flat=True))
    assert positions == list(range(95))


def test_annotator_is_blind_and_others_are_not(alice: User, bob: User, workspace: Workspace) -> None:
    """S1 of the brief: who labels never sees what others answered."""
    project = make_project(alice, workspace, texts(3), overlap=2)
    carol, victor = member(workspace, "carol"), member(workspace, "victor", Role.VIEWER)
    for number, user in enumerate((bob, carol)):
        client = logged_in(user)
        submit(client, get_next(client, project)["task"]["id"], choose("card"), f"k{number}")
    url = f"/api/v1/label-projects/{project.pk}"
    listed = {
        user.username: [row["annotator"] for row in logged_in(user).get(f"{url}/annotations").json()["items"]]
        for user in (alice, bob, victor)
    }
    assert listed == {"alice": ["carol", "bob"], "bob": ["bob"], "victor": ["carol", "bob"]}
    task = Annotation.objects.get(user=bob).task_id
    assert [row["annotator"] for row in logged_in(carol).get(f"/api/v1/tasks/{task}/annotations").json()] == ["carol"]
    assert logged_in(bob).get(f"{url}/export").status_code == 403
    assert logged_in(victor).get(f"{url}/export").status_code == 403


def test_roles_decide_who_labels_and_who_creates(
    alice: User, bob_client: Client, charlie_client: Client, client: Client, workspace: Workspace
) -> None:
    project = make_project(alice, workspace, texts(3))
    viewer = logged_in(member(workspace, "victor", Role.VIEWER))
    task = Task.objects.filter(project=project).first()
    assert task is not None
    url, tasks = f"/api/v1/label-projects/{project.pk}", f"/api/v1/tasks/{task.pk}"
    people = (viewer, charlie_client, client)
    reads = {url: [200, 404, 401], f"{url}/tasks": [200, 404, 401], f"{url}/annotations": [200, 404, 401]}
    reads |= {f"{url}/next": [403, 404, 401], f"{url}/export": [403, 404, 401], f"{tasks}/annotations": [403, 404, 401]}
    for address, expected in reads.items():
        assert [somebody.get(address).status_code for somebody in people] == expected, address
    writes = [f"{url}/undo", f"{url}/versions", f"{tasks}/skip", f"{tasks}/heartbeat", f"{tasks}/release"]
    for address in writes:
        statuses = [somebody.post(address, "{}", "application/json").status_code for somebody in people]
        assert statuses == [403, 404, 401], address
    value = json.dumps({"value": choose("card"), "key": "k"})
    assert [somebody.post(f"{tasks}/annotations", value, "application/json").status_code for somebody in people] == [
        403,
        404,
        401,
    ]
    assert [somebody.put(f"{tasks}/draft", "{}", "application/json").status_code for somebody in people] == [403, 404, 401]
    for somebody, status in ((bob_client, 403), (charlie_client, 404), (client, 401)):
        assert somebody.delete(url).status_code == status
        assert somebody.patch(url, "{}", "application/json").status_code == status
    created = json.dumps({"version": project.version_id, "name": "Mine", "preset": "answer"})
    assert bob_client.post(f"/api/v1/workspaces/{workspace.slug}/label-projects", created, "application/json").status_code == 403


def test_version_of_another_workspace_cannot_be_labelled(alice: User, charlie: User, workspace: Workspace) -> None:
    from webapp.accounts.services import create_workspace
    from webapp.core.errors import NotFound

    other = create_workspace(user=charlie, name="Elsewhere")
    version = make_version(charlie, other, texts(2))
    with pytest.raises(NotFound):
        services.create_project(user=alice, slug=workspace.slug, version_id=version.pk, name="Steal", schema=ANSWER)


def test_surplus_is_told_by_the_status(alice: User, alice_client: Client, bob_client: Client, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(1))
    task = get_next(bob_client, project)["task"]["id"]
    submit(bob_client, task, choose("card"), "k1")
    assert submit(alice_client, task, choose("cash"), "k2", status=202)["annotation"]["surplus"] is True


def test_stale_revision_answers_with_both_versions(alice: User, bob_client: Client, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(1))
    task = get_next(bob_client, project)["task"]["id"]
    submit(bob_client, task, choose("card"), "k1")
    submit(bob_client, task, choose("cash"), "k2", revision=1)
    details = submit(bob_client, task, choose("transfer"), "k3", status=409, revision=1)["error"]["details"]
    assert (details["stored"]["value"], details["yours"]["value"]) == (choose("cash"), choose("transfer"))


def test_skip_draft_heartbeat_release_and_undo_over_http(alice: User, bob_client: Client, workspace: Workspace) -> None:
    project = make_project(alice, workspace, texts(3))
    first = get_next(bob_client, project)["task"]["id"]
    saved = bob_client.put(f"/api/v1/tasks/{first}/draft", json.dumps({"value": choose("card")}), "application/json")
    assert saved.status_code == 200
    assert get_next(bob_client, project)["draft"] == {"value": choose("card")}
    assert post(bob_client, f"/api/v1/tasks/{first}/heartbeat", {}, 200)["lease"]["expires_at"]
    following = post(bob_client, f"/api/v1/tasks/{first}/skip", {}, 200)["next"]["task"]
    assert following["position"] == 2
    assert bob_client.post(f"/api/v1/tasks/{following['id']}/release", "{}", "application/json").status_code == 204
    back = post(bob_client, f"/api/v1/label-projects/{project.pk}/undo", {}, 200)
    assert (back["task"]["id"], back["task"]["revision"], back["draft"]) == (first, 1, {"value": []})
    assert post(bob_client, f"/api/v1/label-projects/{project.pk}/undo", {}, 409)["error"]["code"] == "label.nothing_to_undo"


def test_project_is_changed_closed_and_deleted(
    alice: User, alice_client: Client, bob_client: Client, workspace: Workspace
) -> None:
    project = make_project(alice, workspace, texts(3))
    submit(bob_client, get_next(bob_client, project)["task"]["id"], choose("card"), "k")
    url = f"/api/v1/label-projects/{project.pk}"
    changed = alice_client.patch(url, json.dumps({"name": "Renamed", "is_open": False}), "application/json").json()
    assert (changed["name"], changed["is_open"]) == ("Renamed", False)
    closed = bob_client.get(f"{url}/next")
    assert (closed.status_code, closed.json()["error"]["code"]) == (409, "label.closed")
    services.add_choice(user=alice, project_id=project.pk, field="label", value="refund")
    assert alice_client.get(url).json()["schema"]["fields"][0]["choices"][-1]["value"] == "refund"
    assert alice_client.delete(url).status_code == 204
    assert not Task.objects.exists()
    assert not Annotation.objects.exists()
    datasets.delete_dataset(user=alice, dataset_id=project.version.dataset_id)


def test_list_needs_few_queries(
    alice: User, alice_client: Client, workspace: Workspace, django_assert_max_num_queries: Any
) -> None:
    version = make_version(alice, workspace, texts(2))
    for number in range(12):
        services.create_project(user=alice, slug=workspace.slug, version_id=version.pk, name=f"P{number}", schema=ANSWER)
    with django_assert_max_num_queries(6):
        listed = alice_client.get(f"/api/v1/workspaces/{workspace.slug}/label-projects?limit=10").json()
    assert [item["name"] for item in listed["items"][:2]] == ["P11", "P10"]


def test_half_characters_in_an_answer_are_no_crash(
    alice: User, alice_client: Client, bob_client: Client, workspace: Workspace
) -> None:
    project = make_project(alice, workspace, conversations(1), schema=ANSWER)
    task = get_next(bob_client, project)["task"]["id"]
    payload = '{"key": "k", "value": [{"q": "answer", "type": "text", "value": "half \\ud83d and \\u0000 emoji \\ud83d\\ude00"}]}'
    assert bob_client.post(f"/api/v1/tasks/{task}/annotations", payload, "application/json").status_code == 200
    assert "half ? and  emoji 😀" in body(alice_client.get(f"/api/v1/label-projects/{project.pk}/export")).decode()
    assert post(alice_client, f"/api/v1/label-projects/{project.pk}/versions", {})["count"] == 1
