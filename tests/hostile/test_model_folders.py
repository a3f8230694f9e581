"""Model folders that want to run code, lie or lead elsewhere: refused in one sentence, and no model is ever ready (S7.5)."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.hostile.asking import assert_job_failed, assert_refused, assert_sentence, call, leftovers, run_one
from tests.workers.models.tiny import write_model
from webapp.accounts.models import Workspace
from webapp.registry.models import Model, ModelState
from workers.models.safetensors_header import read_header
from workers.spec.errors import UserError

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/api/v1/workspaces/academy/models/import"


class Bomb:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("touch /tmp/shuyuan-was-hacked",)


def only_pickles(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama", ')


def deep_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama", "a": ' + "[" * 100_000 + "]" * 100_000 + "}")


def binary_config(folder: Path) -> None:
    (folder / "config.json").write_bytes(bytes(range(256)))


def wrong_config(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": ["llama"], "architectures": 7, "text_config": 3}))


def remote_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil_new", "auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_evil.py").write_text("import os; os.system('touch /tmp/shuyuan-was-hacked')")


def broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": 7}}')


def broken_tokens(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "added_tokens_decoder": {"x": {"content": 7}}}))


def evil_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}{% for")


def missing_shard(folder: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "../../../../etc/passwd"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def weights(header: Any, data: bytes = b"", length: int | None = None) -> Callable[[Path], None]:
    """Writes weights with this header, whatever is in it."""

    def write(folder: Path) -> None:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)

    return write


def tensor(**fields: Any) -> dict[str, Any]:
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **fields}}


FOLDERS: list[tuple[Callable[[Path], None], str]] = [
    (only_pickles, "model.pickle_refused"),
    (no_config, "model.no_config"),
    (no_tokenizer, "model.no_tokenizer"),
    (no_weights, "model.no_weights"),
    (broken_config, "model.broken_config"),
    (deep_config, "model.broken_config"),
    (binary_config, "model.broken_config"),
    (wrong_config, ""),
    (remote_code, "model.remote_code"),
    (broken_tokenizer, "model.broken_tokenizer"),
    (broken_tokens, ""),
    (evil_template, "template.invalid"),
    (missing_shard, "model.missing_shard"),
    (weights(tensor(), b"\0" * 4), "model.broken_weights"),
    (weights(tensor(), b"\0" * 8, length=1 << 60), "model.broken_weights"),
    (weights(b"[" * 50_000), "model.broken_weights"),
]
LIES = [
    weights(tensor(), b"\0" * 8, length=0),
    weights(b"\xff" * 40),
    weights([1, 2]),
    weights({"w": 5}),
    weights(tensor(shape=[10**15]), b"\0" * 8),
    weights(tensor(shape=[-2]), b"\0" * 8),
    weights(tensor(shape="12"), b"\0" * 8),
    weights(tensor(data_offsets=[8, 0]), b"\0" * 0),
    weights(tensor(data_offsets=[-8, 8]), b"\0" * 8),
    weights(tensor(dtype="Q99"), b"\0" * 8),
    weights({**tensor(), "v": tensor()["w"]}, b"\0" * 8),
]


@pytest.fixture
def folder(data_folder: Path) -> Path:
    return write_model(data_folder / "imports" / "their model")


def name_of(case: Any) -> str | None:
    return getattr(case, "__name__", None)


@pytest.mark.parametrize(("spoil", "code"), FOLDERS, ids=name_of)
def test_folder_that_cannot_be_used(
    alice_client: Client, workspace: Workspace, folder: Path, spoil: Callable[[Path], None], code: str
) -> None:
    """N5, S7.5: the job fails with a sentence; the model is failed, nothing of it lies under models/."""
    spoil(folder)
    answer = call(alice_client, "POST", URL, {"folder": "their model"})
    if answer.status_code < 300:
        run_one()
        row = Model.objects.get(pk=answer.json()["id"])
        assert row.job is not None
        assert_job_failed(alice_client, row.job, code or row.job.error_code)
        assert row.job.error_code.startswith(("model.", "template.")), row.job.error_code
        assert row.state == ModelState.FAILED
        assert call(alice_client, "GET", f"/api/v1/models/{row.pk}").json()["error"].endswith((".", "。"))
        assert alice_client.get(f"/w/academy/models/{row.pk}/").status_code == 200
        assert call(alice_client, "DELETE", f"/api/v1/models/{row.pk}").status_code == 204
    else:
        assert answer.json()["error"]["code"] == code
    assert not Model.objects.filter(state=ModelState.READY).exists()
    assert leftovers("imports") == []
    assert not Path("/tmp/shuyuan-was-hacked").exists()


@pytest.mark.parametrize("spoil", LIES)
def test_weights_whose_header_lies(folder: Path, spoil: Callable[[Path], None]) -> None:
    """The check that every import and every start of an engine makes, without the processes around it."""
    spoil(folder)
    with pytest.raises(UserError) as caught:
        read_header(folder / "model.safetensors")
    assert caught.value.code == "model.broken_weights"
    assert_sentence(caught.value.message)


@pytest.mark.parametrize(
    "folder",
    ["..", "../..", "/", "/etc", "imports/../../..", ".", "~", "~root", "\x00", "a\x00b", "x" * 5000, "/proc/self/root/etc",
     "circle", "way-out", "way-out/etc", "file:///etc", "\udc80", "<img src=x>"],
)  # fmt: skip
def test_paths_outside_the_allowed_folders(alice_client: Client, workspace: Workspace, data_folder: Path, folder: str) -> None:
    imports = data_folder / "imports"
    imports.mkdir()
    (imports / "way-out").symlink_to("/")
    (imports / "circle").symlink_to(imports / "circle")
    codes = {"model.no_source"} if not folder.replace("\x00", "").strip() else {"model.folder_not_allowed"}
    answer = call(alice_client, "POST", URL, {"folder": folder})
    assert answer.json()["error"]["code"] in codes, answer.json()
    page = alice_client.post("/w/academy/models/import/", {"folder": folder.encode("utf-8", "replace").decode()})
    assert page.status_code in {200, 400, 422}
    assert "<img src=x>" not in page.content.decode()
    assert not Model.objects.exists()


def test_link_inside_a_folder_that_leads_out_is_not_followed(
    alice_client: Client, workspace: Workspace, folder: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"password": "x"}')
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "generation_config.json").symlink_to(secret)
    made = call(alice_client, "POST", URL, {"folder": "their model"}).json()
    run_one()
    row = Model.objects.get(pk=made["id"])
    assert row.job is not None
    assert "generation_config.json" in assert_job_failed(alice_client, row.job, "model.link_outside")
    assert leftovers("imports") == []


@pytest.mark.parametrize("hub_id", ["nobody/nothing", "../../etc", "a/b/c/d", "https://evil.example/x", "x" * 500, "-o/--help"])
def test_hub_that_is_away_or_a_name_that_is_none(
    alice_client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, hub_id: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    answer = call(alice_client, "POST", URL, {"hub_id": hub_id})
    if answer.status_code == 202:
        run_one()
        row = Model.objects.get(pk=answer.json()["id"])
        assert row.job is not None
        assert_job_failed(alice_client, row.job, row.job.error_code)
        assert row.job.error_code.startswith(("model.", "hub.")), row.job.error_code
        assert row.state == ModelState.FAILED
    else:
        assert_refused(alice_client, "POST", URL, {"hub_id": hub_id}, answer.json()["error"]["code"])
    assert leftovers() == []
