"""An engine that cannot start: failed after bounded attempts, with a sentence in API and page, and the gateway says it too."""

import sys
import time

import pytest
from django.test import Client

from tests.hostile.asking import assert_both, assert_sentence, call
from webapp.accounts.models import User, Workspace
from webapp.registry.inputs import model_folder
from webapp.registry.models import Model
from webapp.serving import services, watching
from webapp.serving.models import Deployment, Health
from workers.spec.serve import ServeSpec

pytestmark = pytest.mark.django_db(transaction=True)


def watch(row: Deployment, seconds: float = 90) -> Deployment:
    watcher = watching.Watcher()
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            Deployment.objects.filter(pk=row.pk).update(next_start_at=None)
            watcher.look()
            row.refresh_from_db()
            if row.health in {Health.FAILED, Health.READY}:
                return row
            time.sleep(0.05)
    finally:
        watcher.close()
    raise AssertionError(f"deployment is {row.state} after {seconds} s: {row.error}")


@pytest.mark.slow
@pytest.mark.parametrize("spoil", ["cut", "noise", "gone"])
def test_engine_with_damaged_weights(alice: User, alice_client: Client, workspace: Workspace, tiny: Model, spoil: str) -> None:
    """S8.1: the real engine on weights that rotted on the disk after the import."""
    row = services.create_deployment(user=alice, workspace="academy", spec=ServeSpec(model=tiny.pk), name="rotten")
    path = model_folder(tiny) / "model.safetensors"
    content = path.read_bytes()
    if spoil == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif spoil == "noise":
        path.write_bytes(b"\xff" * len(content))
    else:
        path.unlink()
    row = watch(row)
    assert row.health == Health.FAILED
    assert row.failures <= watching.MAXIMUM_FAILED_STARTS
    shown = [call(alice_client, "GET", f"/api/v1/deployments/{row.pk}", language=name).json() for name in ("en", "zh-hans")]
    assert shown[0]["state"] == "failed"
    assert shown[0]["error"]["code"].startswith(("model.", "engine."))
    assert shown[0]["error"]["code"] not in {"engine.crashed", "engine.did_not_start"}, shown[0]["error"]
    assert_both(shown[0]["error"]["message"], shown[1]["error"]["message"], row.error["template"])
    page = alice_client.get(f"/w/academy/deployment/{row.pk}/", headers={"accept-language": "en"}).content.decode()
    assert shown[0]["error"]["message"].split("(")[0].split("“")[0][:30] in page
    services.delete_deployment(user=alice, deployment_id=row.pk)
    assert not Deployment.objects.exists()


def test_engine_whose_program_is_missing(alice: User, workspace: Workspace, tiny: Model) -> None:
    """Bounded: five starts, then it waits for somebody to press Start."""
    row = services.create_deployment(user=alice, workspace="academy", spec=ServeSpec(model=tiny.pk), name="none")
    watcher = watching.Watcher(command=(sys.executable, "-c", "raise SystemExit(7)"))
    for _ in range(200):
        Deployment.objects.filter(pk=row.pk).update(next_start_at=None)
        watcher.look()
        row.refresh_from_db()
        if row.health == Health.FAILED:
            break
        time.sleep(0.05)
    assert (row.health, row.failures) == (Health.FAILED, watching.MAXIMUM_FAILED_STARTS)
    assert row.error["code"] == "engine.did_not_start"
    assert_sentence(row.error["message"])
    watcher.look()
    assert not watcher.running
