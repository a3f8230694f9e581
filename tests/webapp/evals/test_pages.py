"""Pages and API of evaluation: overview, leaderboard, samples one by one."""

import csv
import io
import json
from typing import Any

import pytest
from django.test import Client

from tests.webapp.evals.conftest import Done, make_model
from webapp.accounts.models import Workspace
from webapp.datasets.models import DatasetVersion
from webapp.evals.models import Evaluation, EvaluationState, Suite
from webapp.jobs.models import Job
from webapp.registry.models import Model

HERE = "/w/academy/evaluation"
PAGES = ["/", "/suites/1/", "/suites/1/figure/", "/suites/1/leaderboard.csv", "/runs/1/", "/runs/1/samples/"]


def text(response: Any) -> str:
    return str(response.content.decode())


@pytest.mark.parametrize("address", [*PAGES, "/suites/new/"])
def test_strangers_get_nothing(charlie_client: Client, workspace: Workspace, address: str) -> None:
    assert charlie_client.get(f"{HERE}{address}").status_code == 404
    assert Client().get(f"{HERE}{address}").status_code == 302


def test_things_of_another_workspace_are_not_shown_here(alice_client: Client, suite: Suite, alice: Any) -> None:
    from webapp.accounts.services import create_workspace

    create_workspace(user=alice, name="Second")
    assert alice_client.get(f"/w/second/evaluation/suites/{suite.pk}/").status_code == 404


def test_empty_overview_leads_on(alice_client: Client, workspace: Workspace) -> None:
    assert "Import questions first" in text(alice_client.get(f"{HERE}/"))


def test_a_suite_takes_two_clicks(alice_client: Client, intents: DatasetVersion) -> None:
    assert "Make a suite" in text(alice_client.get(f"{HERE}/"))
    response = alice_client.post(f"{HERE}/suites/new/", {"version": intents.pk})
    made = Suite.objects.get()
    assert response.headers["Location"] == f"{HERE}/suites/{made.pk}/"
    assert (made.name, made.config["method"]) == ("Intents v1", "multiple_choice")


def test_a_bad_suite_is_told_on_the_form(alice_client: Client, unlabelled: DatasetVersion) -> None:
    assert "cannot be asked" in text(alice_client.post(f"{HERE}/suites/new/", {"version": unlabelled.pk}))
    assert "Ensure this value" in text(alice_client.post(f"{HERE}/suites/new/", {"version": unlabelled.pk, "shots": 99}))


def test_run_from_the_page_starts_one_job_per_model(alice_client: Client, suite: Suite, tiny: Model) -> None:
    other = make_model(suite.workspace, "Other")
    alice_client.post(f"{HERE}/suites/{suite.pk}/run/", {"models": [tiny.pk, other.pk]})
    assert Job.objects.filter(kind="evaluate").count() == 2
    assert "Under way" in text(alice_client.get(f"{HERE}/suites/{suite.pk}/"))
    assert "no_models" in json.dumps(
        alice_client.post(f"{HERE}/suites/{suite.pk}/run/", {}, headers={"accept": "application/json"}).json()
    )


@pytest.fixture
def board(workspace: Workspace, suite: Suite, done: Done) -> tuple[Evaluation, Evaluation]:
    base = make_model(workspace, "=Base")
    tuned = make_model(workspace, "Tuned", base)
    return done(base, [0] * 16 + [1] * 4), done(tuned, [1] * 18 + [0] * 2, scores=[-1.0, -2.0], reference_index=0)


def test_leaderboard_page_csv_and_figure(alice_client: Client, suite: Suite, board: tuple[Evaluation, Evaluation]) -> None:
    shown = text(alice_client.get(f"{HERE}/suites/{suite.pk}/"))
    assert "better than =Base" in shown
    assert "90.0 %" in shown
    assert "p = 0.00" in shown
    content = alice_client.get(f"{HERE}/suites/{suite.pk}/leaderboard.csv").content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(content)))
    assert [row["model"] for row in rows] == ["Tuned", "'=Base"]
    assert rows[0]["verdict"] == "better"
    figure = alice_client.get(f"{HERE}/suites/{suite.pk}/figure/").json()
    assert figure["data"][0]["y"] == ["=Base", "Tuned"]
    assert "=Base" in text(alice_client.get(f"{HERE}/"))


def test_evaluation_page_shows_the_weakest_labels(alice_client: Client, board: tuple[Evaluation, Evaluation]) -> None:
    shown = text(alice_client.get(f"{HERE}/runs/{board[1].pk}/"))
    assert "18 / 20" in shown
    assert "delivery" in shown
    failed = Evaluation.objects.create(
        workspace=board[0].workspace, suite=board[0].suite, model=board[0].model, state=EvaluationState.FAILED
    )
    assert "failed or was cancelled" in text(alice_client.get(f"{HERE}/runs/{failed.pk}/"))


def test_labels_that_no_answer_names_have_no_column_for_it(alice_client: Client, board: tuple[Evaluation, Evaluation]) -> None:
    address = f"{HERE}/runs/{board[1].pk}/"
    assert "Answered with it" in text(alice_client.get(address))
    board[1].summary["by_label"]["delivery"]["predicted"] = 0
    board[1].save()
    assert "Answered with it" not in text(alice_client.get(address))


def test_samples_are_browsed_one_by_one(alice_client: Client, board: tuple[Evaluation, Evaluation]) -> None:
    _, tuned = board
    address = f"{HERE}/runs/{tuned.pk}/samples/"
    first = text(alice_client.get(address))
    assert "Question 0?" in first
    assert "1 of 20" in first
    assert 'data-arrow="ArrowRight"' in first
    assert 'data-arrow="ArrowLeft"' not in first
    assert "position=1" in first
    wrong = text(alice_client.get(f"{address}?show=wrong"))
    assert "Question 18?" in wrong
    assert "1 of 2" in wrong
    assert "Question 19?" in text(alice_client.get(f"{address}?position=19"))
    assert "1 of 20" in text(alice_client.get(f"{address}?position=999"))


def test_question_is_shown_as_turns_and_raw_on_demand(alice_client: Client, done: Done, workspace: Workspace) -> None:
    """S9: nobody has to read a chat template to see what was asked."""
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "<b>Where?</b>"}]
    made = done(make_model(workspace, "Turned"), [1], prompt="<|im_start|>system\nBe brief.", turns=turns, tools=["get_order"])
    page = text(alice_client.get(f"{HERE}/runs/{made.pk}/samples/"))
    before, raw = page.split("<details", 1)
    question = before[before.index("sample-turns") :]
    assert "turn-system" in question
    assert "&lt;b&gt;Where?&lt;/b&gt;" in question
    assert "get_order" in question
    assert "im_start" not in question
    assert "&lt;|im_start|&gt;system" in raw


def test_two_models_side_by_side(alice_client: Client, board: tuple[Evaluation, Evaluation]) -> None:
    base, tuned = board
    shown = text(alice_client.get(f"{HERE}/runs/{tuned.pk}/samples/?other={base.pk}&show=gained"))
    assert "Tuned says 1" in shown
    assert "=Base says 0" in shown
    assert "1 of 16" in shown
    assert "1 of 2" in text(alice_client.get(f"{HERE}/runs/{tuned.pk}/samples/?other={base.pk}&show=lost"))
    assert "1 of 18" in text(alice_client.get(f"{HERE}/runs/{tuned.pk}/samples/?other={base.pk}&show=differ"))


def test_samples_page_takes_few_queries(
    alice_client: Client, board: tuple[Evaluation, Evaluation], django_assert_max_num_queries: Any
) -> None:
    alice_client.get(f"{HERE}/runs/{board[1].pk}/samples/")
    with django_assert_max_num_queries(22):
        alice_client.get(f"{HERE}/runs/{board[1].pk}/samples/?other={board[0].pk}&show=differ&position=5")


def test_api(alice_client: Client, intents: DatasetVersion, board: tuple[Evaluation, Evaluation], tiny: Model) -> None:
    def send(method: str, address: str, body: Any = None) -> tuple[int, Any]:
        response = alice_client.generic(method, f"/api/v1{address}", json.dumps(body or {}), "application/json")
        return response.status_code, json.loads(response.content) if response.content else None

    status, made = send("POST", "/workspaces/academy/suites", {"version_id": intents.pk, "config": {"shots": 2}})
    assert (status, made["config"]["shots"], made["config"]["method"]) == (201, 2, "multiple_choice")
    assert send("POST", "/workspaces/academy/suites", {"version_id": intents.pk, "config": {"shots": 99}})[0] == 422
    status, started = send("POST", "/workspaces/academy/evaluations", {"suite_id": made["id"], "model_ids": [tiny.pk]})
    assert (status, started[0]["model"], started[0]["state"]) == (202, "Tiny", "running")
    suite = board[0].suite_id
    assert send("GET", "/workspaces/academy/suites")[1]["items"][0]["id"] == made["id"]
    assert len(send("GET", f"/workspaces/academy/evaluations?suite={suite}")[1]["items"]) == 2
    table = send("GET", f"/leaderboards/{suite}")[1]
    assert [(row["rank"], row["model"]) for row in table["rows"]] == [(1, "Tuned"), (2, "=Base")]
    assert table["rows"][0]["against_base"]["verdict"] == "better"
    assert len(send("GET", "/workspaces/academy/leaderboards")[1]) == 2
    samples = send("GET", f"/evaluations/{board[1].pk}/samples?correct=false")[1]["items"]
    assert [sample["position"] for sample in samples] == [18, 19]
    assert send("GET", f"/evaluations/{board[1].pk}")[1]["summary"]["output_tokens"] == 10
    assert send("DELETE", f"/evaluations/{board[1].pk}")[0] == 204
    assert send("PATCH", f"/suites/{suite}", {"name": "Renamed"})[1]["name"] == "Renamed"
    assert send("DELETE", f"/suites/{suite}")[0] == 204
