"""How the tests of data bring a file in: through the API, in parts, and through the real import job."""

import json
from typing import Any

from django.test import Client

from webapp.datasets.models import DatasetVersion
from webapp.jobs.leases import ensure_slots
from webapp.jobs.running import run_next

LABELLED = b"text,label\n" + b"".join(
    f"What is the question {index} about {label}?,{label}\n".encode()
    for index in range(10)
    for label in ("card", "transfer", "cash")
)


def send(client: Client, slug: str, name: str, content: bytes, part: int = 1 << 20) -> int:
    """Upload a file in parts; returns the id of the upload."""
    made = post(client, f"/api/v1/workspaces/{slug}/uploads", {"name": name, "size": len(content)})
    for offset in range(0, len(content), part):
        answer = client.put(
            f"/api/v1/uploads/{made['id']}?offset={offset}", content[offset : offset + part], "application/octet-stream"
        )
        assert answer.status_code == 200, answer.content
    return int(made["id"])


def post(client: Client, url: str, body: dict[str, Any], status: int = 201) -> Any:
    answer = client.post(url, json.dumps(body), "application/json")
    assert answer.status_code == status, answer.content
    return answer.json()


def import_file(client: Client, slug: str, file: str, content: bytes, **options: Any) -> DatasetVersion:
    """A dataset from a file, built by the real job in a real child process."""
    upload = send(client, slug, file, content)
    made = post(client, f"/api/v1/workspaces/{slug}/datasets", {"upload": upload, **options})
    ensure_slots()
    assert run_next("light")
    return DatasetVersion.objects.select_related("dataset", "job").get(pk=made["version"]["id"])
