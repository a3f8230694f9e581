"""The Python client against the application itself: data in, predictions in, labels out, refusals as one sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.test import Client as Browser

from shuyuan import ApiError, Client
from tests.webapp.labeling.making import choose, make_version, texts
from webapp.accounts.models import User, Workspace
from webapp.accounts.services import create_key
from webapp.labeling.work import queue, submitting


class Application(httpx.BaseTransport):
    """Hands requests to Django in this process."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = {"authorization": request.headers["authorization"]}
        answer: Any = Browser(headers=headers).generic(
            request.method,
            request.url.raw_path.decode(),
            request.read(),
            content_type=request.headers.get("content-type", "application/json"),
        )
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        return httpx.Response(answer.status_code, content=content, headers={"content-type": answer.get("content-type", "")})


@pytest.fixture
def client(alice: User, workspace: Workspace) -> Iterator[Client]:
    _key, text = create_key(user=alice, name="client", scopes=["all"], workspace=workspace)
    with Client("http://shuyuan", key=text, workspace=workspace.slug, transport=Application()) as made:
        yield made


def test_labels_are_made_and_taken_out(client: Client, alice: User, bob: User, workspace: Workspace) -> None:
    version = make_version(alice, workspace, texts(3))
    project = client.create_project(
        version.pk, name="Intents", preset="classification", labels=["card", "cash"], flow={"review_share": 100}
    )
    proposed = [{"key": f"r{number}", "value": choose("card"), "score": 0.9} for number in range(3)]
    answer = client.predict(project["id"], model="mine v1", predictions=[*proposed, {"key": "r9", "value": choose("card")}])
    assert (answer["stored"], len(answer["refused"])) == (3, 1)
    turn = queue.next_task(user=bob, project_id=project["id"])
    assert turn.task is not None
    assert turn.payload()["task"]["predictions"][0]["model"] == "mine v1"
    submitting.submit(user=bob, task_id=turn.task.pk, value=choose("cash"), key="k")
    (row,) = client.annotations(project["id"])
    assert (row["key"], row["value"], row["data"]["text"], row["review"]) == ("r0", choose("cash"), "text number 0", "pending")
    assert client.agreement(project["id"])["fields"] == []
    assert client.make_version(project["id"], name="Labels")["count"] == 1
    assert [task["key"] for task in client.items(f"/label-projects/{project['id']}/tasks", limit=2)] == ["r0", "r1", "r2"]


def test_file_is_sent_in_parts(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shuyuan import client as module

    monkeypatch.setattr(module, "PART_BYTES", 10)
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\n')
    upload = client.upload(path)
    assert client.get(f"/uploads/{upload}")["offset"] == path.stat().st_size


def test_refusals_are_told_in_one_sentence(client: Client) -> None:
    with pytest.raises(ApiError) as caught:
        client.create_project(99, name="Nothing", preset="answer")
    assert (caught.value.status, caught.value.code) == (404, "not_found")
    with pytest.raises(ApiError):
        list(client.annotations(99))
