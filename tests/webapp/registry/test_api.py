"""The API of models and training."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.workers.models.tiny import write_model
from webapp.accounts.models import Workspace
from webapp.datasets.models import DatasetVersion
from webapp.jobs import paths
from webapp.jobs.models import Job, State
from webapp.registry.models import Model

API = "/api/v1"


def send(client: Client, method: str, address: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    response = client.generic(method, f"{API}{address}", json.dumps(body or {}), "application/json", headers=headers)
    return response.status_code, json.loads(response.content) if response.content else None


def test_models_are_listed_read_changed_and_deleted(alice_client: Client, tiny: Model) -> None:
    status, listed = send(alice_client, "GET", "/workspaces/academy/models")
    assert (status, [item["name"] for item in listed["items"]], listed["next_cursor"]) == (200, ["Tiny"], None)
    status, detail = send(alice_client, "GET", f"/models/{tiny.pk}")
    assert status == 200
    assert detail["weights_sha256"] == tiny.weights_sha256
    assert "im_start" in detail["chat_template"]
    assert {"name": "model.safetensors", "bytes": detail["files"][1]["bytes"]} in detail["files"]
    assert send(alice_client, "PATCH", f"/models/{tiny.pk}", {"licence": "MIT"})[1]["licence"] == "MIT"
    assert send(alice_client, "DELETE", f"/models/{tiny.pk}")[0] == 204
    assert send(alice_client, "GET", f"/models/{tiny.pk}")[0] == 404


def test_import_over_the_api(alice_client: Client, workspace: Workspace, data_folder: Path) -> None:
    write_model(data_folder / "imports" / "little")
    status, made = send(alice_client, "POST", "/workspaces/academy/models/import", {"folder": "little"})
    assert (status, made["state"]) == (202, "building")
    status, refused = send(alice_client, "POST", "/workspaces/academy/models/import", {"folder": "../x"})
    assert (status, refused["error"]["code"]) == (400, "model.folder_not_allowed")
    assert send(alice_client, "POST", "/workspaces/academy/models/endpoint", {"url": "http://localhost/v1"})[0] == 400


def test_training_needs_three_fields(alice_client: Client, tiny: Model, conversations: DatasetVersion) -> None:
    body = {"name": "T", "base_model": tiny.pk, "datasets": [conversations.pk]}
    status, run = send(alice_client, "POST", "/workspaces/academy/training/sft", body, **{"Idempotency-Key": "k"})
    assert (status, run["kind"], run["state"]) == (202, "sft", "queued")
    again = send(alice_client, "POST", "/workspaces/academy/training/sft", body, **{"Idempotency-Key": "k"})[1]
    assert again["id"] == run["id"]
    assert send(alice_client, "GET", "/workspaces/academy/training?kind=sft")[1]["items"][0]["id"] == run["id"]
    check = send(alice_client, "GET", f"/workspaces/academy/training/sft/check?dataset={conversations.pk}")[1]
    assert (check["seen"], check["usable"]) == (24, 24)


def test_bad_requests_are_one_sentence(
    alice_client: Client, tiny: Model, conversations: DatasetVersion, unlabelled: DatasetVersion
) -> None:
    cases: list[tuple[str, dict[str, Any], int, str]] = [
        ("sft", {"name": "T", "base_model": tiny.pk, "datasets": [unlabelled.pk]}, 400, "sft.missing_field"),
        ("sft", {"name": "T", "base_model": tiny.pk, "datasets": [9999]}, 404, "not_found"),
        ("sft", {"name": "T", "base_model": tiny.pk, "datasets": []}, 422, "request.invalid"),
        ("sft", {"name": "T", "base_model": tiny.pk, "datasets": [conversations.pk], "x": 1}, 422, "request.invalid"),
        ("sft", {"name": "Tiny", "base_model": tiny.pk, "datasets": [conversations.pk]}, 409, "model.name_taken"),
        ("pretrain", {"name": "T", "datasets": [conversations.pk]}, 422, "pretrain.no_tokenizer"),
        ("tokenizer", {"name": "T", "datasets": [conversations.pk], "vocabulary": 3}, 422, "request.invalid"),
    ]
    for kind, body, status, code in cases:
        given, answer = send(alice_client, "POST", f"/workspaces/academy/training/{kind}", body)
        assert (given, answer["error"]["code"]) == (status, code), answer
        assert answer["error"]["message"]
    assert not Job.objects.exists()


def test_strangers_and_annotators(charlie_client: Client, bob_client: Client, tiny: Model) -> None:
    assert send(charlie_client, "GET", f"/models/{tiny.pk}")[0] == 404
    assert send(charlie_client, "GET", "/workspaces/academy/models")[0] == 404
    assert send(bob_client, "GET", f"/models/{tiny.pk}")[0] == 200
    assert send(bob_client, "DELETE", f"/models/{tiny.pk}")[0] == 403
    assert send(bob_client, "POST", "/workspaces/academy/training/sft", {"name": "T", "base_model": 1, "datasets": [1]})[0] == 403


@pytest.mark.parametrize("state", [State.RUNNING, State.DONE])
def test_export_file_is_sent_when_the_job_is_done(alice_client: Client, charlie_client: Client, tiny: Model, state: str) -> None:
    job = Job.objects.create(
        workspace=tiny.workspace, kind="export_model", name="x", spec={}, spec_hash="", state=state, result={"file": "x.zip"}
    )
    (paths.output_dir(job.pk) / "x.zip").write_bytes(b"zipped")
    address = f"/w/academy/models/exports/{job.pk}/"
    assert charlie_client.get(address).status_code == 404
    response = alice_client.get(address)
    if state == State.DONE:
        assert b"".join(response.streaming_content) == b"zipped"
    else:
        assert response.status_code == 404
