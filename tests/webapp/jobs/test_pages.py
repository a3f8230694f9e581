"""Job pages and API: what members see and do, and that strangers see nothing."""

from typing import Any

import pytest
from django.test import Client

from webapp.accounts.models import Workspace
from webapp.jobs import running
from webapp.jobs.models import State
from webapp.jobs.paths import log_file

pytestmark = pytest.mark.django_db(transaction=True)


def test_queue_page_shows_waiting_and_ended_jobs(alice_client: Client, workspace: Workspace, submit: Any) -> None:
    submit(until=1)
    running.run_next("cpu")
    submit()
    page = alice_client.get(f"/w/{workspace.slug}/jobs/").content.decode()
    assert "place 1" in page
    assert "state-done" in page


def test_job_page_shows_error_log_and_retry(alice_client: Client, workspace: Workspace, submit: Any) -> None:
    job = submit(until=3, fail_at=1)
    running.run_next("cpu")
    page = alice_client.get(f"/w/{workspace.slug}/jobs/{job.pk}/").content.decode()
    assert "The number 1 brings bad luck" in page
    assert "Retry" in page


def test_empty_log_says_whether_more_may_come(alice_client: Client, workspace: Workspace, submit: Any) -> None:
    job = submit(until=3)
    address = f"/w/{workspace.slug}/jobs/{job.pk}/log/"
    assert "has not printed anything yet" in alice_client.get(address).content.decode()
    running.run_next("cpu")
    log_file(job.pk).write_text("")
    assert "The program printed nothing." in alice_client.get(address).content.decode()


def test_figure_has_at_most_two_thousand_points(alice_client: Client, workspace: Workspace, submit: Any) -> None:
    job = submit(until=2500)
    running.run_next("cpu")
    figure = alice_client.get(f"/w/{workspace.slug}/jobs/{job.pk}/figures/loss/").json()
    assert len(figure["data"][0]["x"]) == 2000
    assert figure["data"][0]["y"][0] == 1.0


def test_api_follows_events_metrics_and_log(alice_client: Client, workspace: Workspace, submit: Any) -> None:
    job = submit(until=3)
    running.run_next("cpu")
    assert alice_client.get(f"/api/v1/jobs/{job.pk}").json()["state"] == "done"
    assert [point["step"] for point in alice_client.get(f"/api/v1/jobs/{job.pk}/metrics?after=0").json()["items"]] == [1, 2]
    assert alice_client.get(f"/api/v1/jobs/{job.pk}/events").json()["items"][0]["type"] == "phase"
    assert "counted" in alice_client.get(f"/api/v1/jobs/{job.pk}/log").json()["text"]
    listed = alice_client.get(f"/api/v1/workspaces/{workspace.slug}/jobs").json()
    assert [item["id"] for item in listed["items"]] == [job.pk]


def test_stranger_gets_404_for_everything(charlie_client: Client, workspace: Workspace, submit: Any) -> None:
    job = submit()
    for path in (
        f"/w/{workspace.slug}/jobs/",
        f"/w/{workspace.slug}/jobs/{job.pk}/",
        f"/w/{workspace.slug}/jobs/{job.pk}/log/",
        f"/api/v1/jobs/{job.pk}",
        f"/api/v1/jobs/{job.pk}/events",
        f"/api/v1/workspaces/{workspace.slug}/jobs",
    ):
        assert charlie_client.get(path).status_code == 404, path
    assert charlie_client.post(f"/api/v1/jobs/{job.pk}/cancel").status_code == 404
    job.refresh_from_db()
    assert job.state == State.QUEUED


def test_anonymous_is_sent_to_log_in(workspace: Workspace, submit: Any) -> None:
    job = submit()
    assert Client().get(f"/w/{workspace.slug}/jobs/{job.pk}/").status_code == 302
    answer = Client().get(f"/api/v1/jobs/{job.pk}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "auth.required")


def test_post_without_csrf_token_is_refused(alice: Any, workspace: Workspace, submit: Any) -> None:
    job = submit()
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert client.post(f"/w/{workspace.slug}/jobs/{job.pk}/cancel/").status_code == 403
    assert client.post(f"/api/v1/jobs/{job.pk}/cancel").status_code == 403
