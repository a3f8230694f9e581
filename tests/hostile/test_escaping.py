"""What others wrote is shown as text: on no page does a record, a name, an answer or a log become markup (N7)."""

import json
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.hostile.asking import run_one
from tests.webapp.datasets.uploading import post, send
from tests.webapp.registry.conftest import make_version
from webapp.accounts.models import User, Workspace
from webapp.chat.models import Conversation, Turn
from webapp.datasets.models import DatasetVersion
from webapp.jobs import paths
from webapp.jobs.models import Job
from webapp.registry.models import Model
from webapp.serving import engines, services
from workers.spec.record import Message, Record
from workers.spec.serve import ServeSpec

pytestmark = pytest.mark.django_db(transaction=True)
EVIL = "<img src=x onerror=window.hacked=1>"
SCRIPT = '"><script>window.hacked=1</script>'
BRAKES = "</script><script>window.hacked=1</script>{{ 7*7 }}"
RAW = re.compile(r"<img src=x|<script>window|</script><script>|onerror=window.hacked=1>", re.IGNORECASE)


def assert_escaped(client: Client, address: str, *, shows: bool = False) -> str:
    """The page opens and holds no raw markup of ours; with `shows` the text is there, escaped."""
    answer = client.get(address)
    assert answer.status_code == 200, (address, answer.status_code)
    text = answer.content.decode()
    assert not RAW.search(text), (address, text[max(0, RAW.search(text).start() - 200) :][:400])  # type: ignore[union-attr]
    assert not re.search(r"(href|src|action)\s*=\s*[\"']?\s*javascript:", text, re.IGNORECASE), address
    if shows:
        assert "&lt;img src=x" in text or "\\u003Cimg src=x" in text, f"{address} does not show it"
    return text


@pytest.fixture
def version(alice: User, workspace: Workspace) -> DatasetVersion:
    records = [
        Record(id=f"{EVIL}{number}", text=f"{EVIL} {SCRIPT} {BRAKES} {number}", label=[EVIL, SCRIPT][number % 2])
        for number in range(6)
    ]
    records += [
        Record(
            id=f"chat{number}",
            messages=[
                Message(role="user", content=f"[click](javascript:alert(1)) {EVIL}"),
                Message(role="assistant", content=f"{SCRIPT} {BRAKES}"),
            ],
            facets={"source": EVIL, "domain": SCRIPT},
        )
        for number in range(3)
    ]
    return make_version(alice, workspace, f"{EVIL} data", records)


def test_datasets(alice: User, alice_client: Client, version: DatasetVersion) -> None:
    dataset = version.dataset
    type(dataset).objects.filter(pk=dataset.pk).update(description=f"{SCRIPT} {EVIL}")
    assert_escaped(alice_client, "/w/academy/data/", shows=True)
    assert_escaped(alice_client, reverse("dataset", args=["academy", dataset.pk]), shows=True)
    assert_escaped(alice_client, reverse("dataset_version", args=["academy", version.pk]), shows=True)
    for position in (0, 1, 7):
        assert_escaped(alice_client, reverse("dataset_record", args=["academy", version.pk, position]), shows=position < 2)
    assert_escaped(alice_client, reverse("dataset_version", args=["academy", version.pk]) + f"?label={EVIL}&search={SCRIPT}")


def test_uploads_and_reports(alice_client: Client, workspace: Workspace) -> None:
    """File names, and rows that were refused, shown with their beginning."""
    content = f'{{"text": "{EVIL}"}}\n{EVIL} is no JSON\n'.encode()
    upload = send(alice_client, "academy", f"{EVIL}.jsonl", content)
    assert_escaped(alice_client, f"/w/academy/data/import/preview/?upload={upload}", shows=True)
    made = post(alice_client, "/api/v1/workspaces/academy/datasets", {"upload": upload, "name": SCRIPT})
    run_one()
    version = DatasetVersion.objects.get(pk=made["version"]["id"])
    assert version.job is not None
    assert_escaped(alice_client, reverse("dataset_version", args=["academy", version.pk]), shows=True)
    assert_escaped(alice_client, reverse("job", args=["academy", version.job.pk]))
    assert_escaped(alice_client, "/w/academy/jobs/")
    for address in (f"/api/v1/versions/{version.pk}/errors", f"/api/v1/versions/{version.pk}/download"):
        download = alice_client.get(address)
        assert download.headers["Content-Disposition"].startswith("attachment")
        assert "\n" not in download.headers["Content-Disposition"]
        assert "text/html" not in download.headers["Content-Type"]


def test_table_report_runs_no_formula(alice_client: Client, workspace: Workspace) -> None:
    """A spreadsheet that opens the report must not run `=HYPERLINK(…)` from a broken row."""
    upload = send(alice_client, "academy", "a.jsonl", b'{"text": "good"}\n=HYPERLINK("http://evil","x")\n@SUM(1)\n+1\n-2\n')
    made = post(alice_client, "/api/v1/workspaces/academy/datasets", {"upload": upload, "name": "A", "format": "jsonl"})
    run_one()
    table = b"".join(alice_client.get(f"/api/v1/versions/{made['version']['id']}/errors?format=csv")).decode("utf-8-sig")  # type: ignore[arg-type]
    assert not re.search(r'(?m)(^|,)"?[=@+-][A-Z0-9]', table), table


def test_labelling(alice_client: Client, version: DatasetVersion) -> None:
    body = {
        "name": f"{EVIL} project",
        "version": version.pk,
        "instructions": f"{SCRIPT} {EVIL}",
        "preset": "classification",
        "choices": [EVIL, SCRIPT],
    }
    answer = alice_client.post("/api/v1/workspaces/academy/label-projects", json.dumps(body), "application/json")
    assert_escaped(alice_client, "/w/academy/labelling/")
    assert_escaped(alice_client, f"/w/academy/labelling/new/?version={version.pk}")
    if answer.status_code == 201:
        number = answer.json()["id"]
        for name in ("label_project", "label_work"):
            page = alice_client.get(reverse(name, args=["academy", number]))
            if page.status_code == 200:
                assert_escaped(alice_client, reverse(name, args=["academy", number]))


def test_models_training_and_evaluation(
    alice_client: Client, tiny: Model, version: DatasetVersion, conversations: DatasetVersion
) -> None:
    card = {"base_name": EVIL, "figures": {"instruction": SCRIPT}, "method": EVIL}
    Model.objects.filter(pk=tiny.pk).update(
        name=f"{EVIL} model", description=f"{SCRIPT} {EVIL}", licence=EVIL, origin=SCRIPT, family=EVIL, card=card,
        languages=[EVIL], architecture=EVIL,
    )  # fmt: skip
    assert_escaped(alice_client, "/w/academy/models/", shows=True)
    assert_escaped(alice_client, reverse("model", args=["academy", tiny.pk]), shows=True)
    for kind in ("sft", "pretrain", "tokenizer"):
        assert_escaped(alice_client, f"/w/academy/training/new/{kind}/?datasets={version.pk}&base_model={tiny.pk}")
    for name in ("training", "evaluations", "deployments", "chat", "home", "jobs", "settings"):
        assert_escaped(alice_client, reverse(name, args=["academy"]))
    assert_escaped(alice_client, reverse("suite_new", args=["academy"]))
    assert_escaped(alice_client, reverse("deploy_model", args=["academy", tiny.pk]))


def test_job_logs_and_samples(alice: User, alice_client: Client, tiny: Model, conversations: DatasetVersion) -> None:
    body = {"name": f"{EVIL} run", "base_model": tiny.pk, "datasets": [conversations.pk]}
    answer = alice_client.post("/api/v1/workspaces/academy/training/sft", json.dumps(body), "application/json")
    job = Job.objects.get(pk=answer.json()["id"])
    paths.log_file(job.pk).write_text(f"{EVIL}\n{SCRIPT}\n{BRAKES}\n")
    Job.objects.filter(pk=job.pk).update(
        state="failed", error_code="x.y", error_template="It failed: {detail}.", error_params={"detail": f"{EVIL}{SCRIPT}"},
        phase="loading",
    )  # fmt: skip
    job.events.create(seq=1, type="sample", at="2026-01-01T00:00Z", data={"name": "answer", "data": sample()})
    assert_escaped(alice_client, reverse("job", args=["academy", job.pk]), shows=True)
    assert_escaped(alice_client, reverse("job_log", args=["academy", job.pk]))
    assert_escaped(alice_client, "/w/academy/training/")


def sample() -> dict[str, Any]:
    return {"prompt": EVIL, "answer": SCRIPT, "text": BRAKES, "step": 1, "head": EVIL, "message": SCRIPT, "line": 1}


def test_deployments_and_chat(alice: User, alice_client: Client, tiny: Model) -> None:
    row = services.create_deployment(user=alice, workspace="academy", spec=ServeSpec(model=tiny.pk), name="shop")
    type(row).objects.filter(pk=row.pk).update(
        health="failed", error={"code": "x", "template": "It failed: {detail}.", "params": {"detail": EVIL}}
    )
    engines.log_file(row.pk).write_text(f"{EVIL}\n{SCRIPT}\n")
    assert_escaped(alice_client, reverse("deployment", args=["academy", row.pk]), shows=True)
    assert_escaped(alice_client, reverse("deployment_log", args=["academy", row.pk]))
    conversation = Conversation.objects.create(workspace_id=tiny.workspace_id, user=alice, title=f"{EVIL} talk")
    turn = {"conversation": conversation, "role": "assistant", "content": f"{EVIL} {SCRIPT} [x](javascript:alert(1)) {BRAKES}"}
    Turn.objects.create(**turn)
    text = assert_escaped(alice_client, reverse("conversation", args=["academy", conversation.pk]))
    assert "49" not in re.findall(r"window.hacked=1[^ ]*?script[^ ]*? ?(\d\d)", text)
    assert_escaped(alice_client, "/w/academy/chat/")


def test_names_of_people_and_workspaces(alice: User, alice_client: Client, workspace: Workspace) -> None:
    Workspace.objects.filter(pk=workspace.pk).update(name=f"{EVIL} place")
    User.objects.filter(pk=alice.pk).update(first_name=EVIL, last_name=SCRIPT)
    for name in ("home", "settings", "datasets", "jobs"):
        assert_escaped(alice_client, reverse(name, args=["academy"]))
    wrong = alice_client.get("/w/academy/data/import/preview/", {"upload": EVIL}, headers={"accept": "text/html"})
    assert not RAW.search(wrong.content.decode())
    refused = alice_client.post("/w/academy/models/endpoint/", {"url": f"http://{EVIL}/"}, headers={"accept": "text/html"})
    assert not RAW.search(refused.content.decode())
