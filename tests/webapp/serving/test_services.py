"""Deploying: one press is enough, names are sound, and only managers decide."""

import pytest
from django.test import Client

from tests.webapp.serving.conftest import Deploy
from webapp.accounts.models import User, Workspace
from webapp.core.errors import NotFound, UserError
from webapp.registry.models import Model
from webapp.serving import services
from webapp.serving.models import Deployment, Health, Wanted
from workers.spec.serve import ServeSpec


def test_deploying_twice_without_a_name_is_one_deployment(deploy: Deploy) -> None:
    first = deploy()
    assert first.name == "shop-helper"
    assert (first.wanted, first.state) == (Wanted.RUNNING, "starting")
    assert deploy() == first
    assert deploy(weights="f16").name == "shop-helper-2"


def test_stopped_deployment_starts_again_when_deployed_again(deploy: Deploy, alice: User) -> None:
    first = deploy()
    assert services.stop_deployment(user=alice, deployment_id=first.pk).state == "stopped"
    assert deploy().state == "starting"


@pytest.mark.parametrize("name", ["with space", "a/b", "x" * 81])
def test_bad_name_is_refused_in_one_sentence(deploy: Deploy, name: str) -> None:
    with pytest.raises(UserError, match="cannot be a model name"):
        deploy(name)


def test_taken_name_is_refused(deploy: Deploy) -> None:
    deploy("shop")
    with pytest.raises(UserError, match="exists"):
        deploy("shop")


@pytest.mark.parametrize(
    ("field", "value", "words"), [("kind", "tokenizer", "no weights"), ("state", "building", "when it is ready")]
)
def test_model_that_cannot_be_served_is_refused(deploy: Deploy, model: Model, field: str, value: str, words: str) -> None:
    Model.objects.filter(pk=model.pk).update(**{field: value})
    with pytest.raises(UserError, match=words):
        deploy()


def test_starting_forgets_earlier_failures(deploy: Deploy, alice: User) -> None:
    made = deploy()
    Deployment.objects.filter(pk=made.pk).update(health=Health.FAILED, failures=5, error={"template": "x"})
    again = services.start_deployment(user=alice, deployment_id=made.pk)
    assert (again.state, again.failures, again.error) == ("starting", 0, {})


def test_annotator_may_look_but_not_deploy(deploy: Deploy, bob: User, workspace: Workspace, model: Model) -> None:
    made = deploy()
    with pytest.raises(UserError, match="role"):
        services.stop_deployment(user=bob, deployment_id=made.pk)
    with pytest.raises(UserError, match="role"):
        services.create_deployment(user=bob, workspace=workspace.slug, spec=ServeSpec(model=model.pk))


def test_stranger_gets_404(deploy: Deploy, charlie: User, charlie_client: Client, workspace: Workspace) -> None:
    made = deploy()
    with pytest.raises(NotFound):
        services.delete_deployment(user=charlie, deployment_id=made.pk)
    for address in ("", f"{made.pk}/", f"{made.pk}/log/", f"{made.pk}/usage/", f"{made.pk}/metrics/", f"deploy/{made.model_id}/"):
        assert charlie_client.get(f"/w/{workspace.slug}/deployment/{address}").status_code == 404
    assert charlie_client.get(f"/api/v1/deployments/{made.pk}").status_code == 404
    assert charlie_client.post(f"/api/v1/deployments/{made.pk}/stop").status_code in {403, 404}
