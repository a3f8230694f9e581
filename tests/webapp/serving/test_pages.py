"""Deployment pages and API."""

import json

import pytest
from django.test import Client

from tests.webapp.serving.conftest import Deploy
from webapp.accounts.models import Workspace
from webapp.registry.models import Model
from webapp.serving import accounting, engines
from webapp.serving.models import Deployment, Health, Usage

pytestmark = pytest.mark.django_db(transaction=True)


def test_empty_list_leads_to_the_models(alice_client: Client, workspace: Workspace) -> None:
    page = alice_client.get(f"/w/{workspace.slug}/deployment/").content.decode()
    assert "Nothing is deployed yet" in page


def test_list_shows_state_error_and_use_in_few_queries(
    alice_client: Client, deploy: Deploy, django_assert_max_num_queries: object
) -> None:
    for number in range(6):
        row = deploy(f"shop-{number}")
        Usage.objects.create(deployment=row, day="2026-01-01", requests=3)
    Deployment.objects.filter(pk=row.pk).update(health=Health.FAILED, error={"code": "x", "template": "It broke.", "params": {}})
    with django_assert_max_num_queries(12):  # type: ignore[operator]
        page = alice_client.get("/w/academy/deployment/").content.decode()
    assert "It broke." in page
    assert "state-starting" in page
    assert "<html" not in alice_client.get("/w/academy/deployment/", headers={"HX-Request": "true"}).content.decode()


def test_model_is_deployed_from_its_card_with_nothing_filled_in(alice_client: Client, model: Model) -> None:
    assert alice_client.get(f"/w/academy/deployment/?model={model.pk}", follow=True).status_code == 200
    response = alice_client.post(f"/w/academy/deployment/deploy/{model.pk}/")
    made = Deployment.objects.get()
    assert response.url == f"/w/academy/deployment/{made.pk}/"  # type: ignore[attr-defined]
    assert made.spec["kv_cache_mb"] == 256
    alice_client.post(f"/w/academy/deployment/deploy/{model.pk}/", {"name": "quick", "weights": "q4_0", "threads": "2"})
    assert Deployment.objects.get(name="quick").spec["threads"] == 2
    assert alice_client.post(f"/w/academy/deployment/deploy/{model.pk}/", {"threads": "0"}).status_code == 422


def test_page_of_a_ready_deployment(alice_client: Client, ready: Deployment) -> None:
    engines.log_file(ready.pk).write_text("it loads\n")
    page = alice_client.get(f"/w/academy/deployment/{ready.pk}/").content.decode()
    for part in ("state-ready", "50.0 %", "it loads", "http://testserver/v1", "shop helper", 'name="scopes" value="inference"'):
        assert part in page, part
    for address in ("badge/", "metrics/", "log/", "log/?raw=1", "usage/"):
        assert alice_client.get(f"/w/academy/deployment/{ready.pk}/{address}").status_code == 200


def test_question_on_the_page_is_answered_and_counted(alice_client: Client, ready: Deployment) -> None:
    fragment = alice_client.post(f"/w/academy/deployment/{ready.pk}/try/", {"message": "hi"}).content.decode()
    assert "0 1 2" in fragment
    accounting.flush()
    assert Usage.objects.get().completion_tokens == 3
    Deployment.objects.filter(pk=ready.pk).update(health=Health.STARTING)
    refused = alice_client.post(f"/w/academy/deployment/{ready.pk}/try/", {"message": "hi"}, headers={"HX-Request": "true"})
    assert refused.status_code == 503


def test_buttons_of_the_page(alice_client: Client, bob_client: Client, deploy: Deploy) -> None:
    row = deploy()
    address = f"/w/academy/deployment/{row.pk}/"
    assert bob_client.post(address + "stop/").status_code == 403
    for action, state in (("stop", "stopped"), ("start", "starting"), ("restart", "starting")):
        assert alice_client.post(f"{address}{action}/").status_code == 302
        row.refresh_from_db()
        assert row.state == state
    assert row.generation == 2
    assert alice_client.post(address + "nonsense/").status_code == 404
    assert alice_client.post(address + "delete/").status_code == 302
    assert not Deployment.objects.exists()


def test_api_goes_the_whole_way(alice_client: Client, model: Model) -> None:
    def post(address: str, **body: object) -> dict[str, object]:
        response = alice_client.post(f"/api/v1/{address}", json.dumps(body), content_type="application/json")
        assert response.status_code in {200, 201}, response.content
        return dict(response.json())

    made = post("workspaces/academy/deployments", model=model.pk, name="quick", weights="q8_0")
    assert (made["name"], made["state"], made["model_name"]) == ("quick", "starting", "shop helper")
    assert "token" not in made
    assert post(f"deployments/{made['id']}/stop")["state"] == "stopped"
    assert post(f"deployments/{made['id']}/start")["state"] == "starting"
    assert post(f"deployments/{made['id']}/restart")["state"] == "starting"
    assert [row["id"] for row in alice_client.get("/api/v1/workspaces/academy/deployments").json()["items"]] == [made["id"]]
    assert alice_client.get(f"/api/v1/deployments/{made['id']}/metrics").json() == {"metrics": None}
    assert len(alice_client.get(f"/api/v1/deployments/{made['id']}/usage?days=7").json()["items"]) == 7
    assert alice_client.get(f"/api/v1/deployments/{made['id']}/log").json() == {"text": ""}
    assert alice_client.post("/api/v1/workspaces/academy/deployments", "{}", content_type="application/json").status_code == 422
    assert alice_client.delete(f"/api/v1/deployments/{made['id']}").status_code == 204


def test_lineage_of_the_model_names_its_deployments(deploy: Deploy, model: Model) -> None:
    from webapp.serving.queries import deployment_nodes

    row = deploy()
    node = next(iter(deployment_nodes(model)))
    assert (node.kind, node.name, node.url, node.holds) == ("deployment", row.name, f"/w/academy/deployment/{row.pk}/", True)
