"""Import, export and merge as real processes (S1.2, S7.4)."""

import json
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.workers.models.tiny import run_program, write_adapter, write_model


def folder_inputs(source: Path, root: Path | None = None) -> dict[str, Any]:
    return {
        "source": {"kind": "file", "name": source.name, "path": source},
        "root": {"kind": "file", "name": "root", "path": root or source.parent},
    }


def import_spec(**more: Any) -> dict[str, Any]:
    return {"name": "tiny", "model": 1, **more}


def test_import_copies_what_belongs_to_a_model_and_nothing_else(tmp_path: Path) -> None:
    source = write_model(tmp_path / "in" / "tiny")
    (source / "modeling_tiny.py").write_text("raise SystemExit")
    (source / "training_args.bin").write_bytes(b"x")
    code, result, events = run_program(tmp_path, "import_model", import_spec(folder=str(source)), folder_inputs(source))
    assert code == 0
    copied = {path.name for path in (tmp_path / "output" / "model").iterdir()}
    assert copied == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert result["facts"]["parameters"] > 0
    assert any(event["type"] == "progress" and event["done"] == event["total"] for event in events)


def test_import_leaves_nothing_when_the_folder_is_bad(tmp_path: Path) -> None:
    source = write_model(tmp_path / "in" / "tiny")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    code, error, _ = run_program(tmp_path, "import_model", import_spec(folder=str(source)), folder_inputs(source))
    assert (code, error["code"]) == (2, "model.pickle_refused")
    assert not list((tmp_path / "output").iterdir())


def test_import_refuses_a_link_that_leaves_the_allowed_folder(tmp_path: Path) -> None:
    source = write_model(tmp_path / "in" / "tiny")
    secret = tmp_path / "secret.txt"
    secret.write_text("password")
    (source / "notes.txt").symlink_to(secret)
    code, error, _ = run_program(tmp_path, "import_model", import_spec(folder=str(source)), folder_inputs(source))
    assert (code, error["code"]) == (2, "model.link_outside")


def test_export_zip_imports_again_byte_for_byte(tmp_path: Path) -> None:
    source = write_model(tmp_path / "tiny")
    card = tmp_path / "card.json"
    card.write_text('{"recipe": "none"}')
    inputs = {
        "model": {"kind": "model", "id": 1, "name": "My tiny / 书", "path": source},
        "card": {"kind": "file", "name": "card.json", "path": card},
    }
    code, result, _ = run_program(tmp_path / "job", "export_model", {"model": 1}, inputs)
    assert (code, result["file"]) == (0, "My-tiny---书.zip")
    with zipfile.ZipFile(tmp_path / "job" / "output" / result["file"]) as archive:
        archive.extractall(tmp_path / "again")
    again = tmp_path / "again" / "My-tiny---书"
    assert (again / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert json.loads((again / "card.json").read_text()) == {"recipe": "none"}


@pytest.mark.slow
def test_merge_adds_the_adapter_to_the_weights(tmp_path: Path) -> None:
    base, adapter = write_model(tmp_path / "tiny"), write_adapter(tmp_path / "adapter", rank=2, alpha=4)
    inputs = {"model": {"kind": "model", "id": 1, "name": "tuned", "path": base, "adapter_path": adapter}}
    code, result, _ = run_program(tmp_path / "job", "merge_model", {"name": "tuned merged", "model": 1}, inputs)
    assert code == 0
    assert result["facts"]["kind"] == "model"
    name = "model.layers.0.self_attn.q_proj"
    low = load_file(adapter / "adapter_model.safetensors")
    delta = low[f"base_model.model.{name}.lora_B.weight"] @ low[f"base_model.model.{name}.lora_A.weight"]
    expected = load_file(base / "model.safetensors")[f"{name}.weight"] + 2 * delta
    merged = load_file(tmp_path / "job" / "output" / "model" / "model.safetensors")[f"{name}.weight"]
    np.testing.assert_allclose(merged, expected, atol=1e-6)


class Hub(BaseHTTPRequestHandler):
    """As much of a model hub as a download asks for: the list of files, and files with size and hash."""

    folder: Path
    commit = "a" * 40

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        if self.path.startswith("/api/models/academy/tiny/revision/main"):
            files = [{"rfilename": path.name, "size": path.stat().st_size} for path in self.folder.iterdir()]
            content = json.dumps({"id": "academy/tiny", "sha": self.commit, "siblings": files}).encode()
        elif self.path.startswith(f"/academy/tiny/resolve/{self.commit}/"):
            content = (self.folder / Path(self.path).name).read_bytes()
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{len(content)}"')
        self.send_header("X-Repo-Commit", self.commit)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = write_model(tmp_path / "hub")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneHub", (Hub,), {"folder": folder}))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_import_from_a_hub_honours_its_address(tmp_path: Path, hub: tuple[str, Path]) -> None:
    address, folder = hub
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    code, result, _ = run_program(tmp_path, "import_model", import_spec(hub_id="academy/tiny"), {}, HF_ENDPOINT=address)
    assert code == 0, result
    names = {path.name for path in (tmp_path / "output" / "model").iterdir()}
    assert names == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def test_import_from_a_hub_says_what_is_wrong(tmp_path: Path, hub: tuple[str, Path]) -> None:
    address, folder = hub
    code, error, _ = run_program(tmp_path / "a", "import_model", import_spec(hub_id="no/such"), {}, HF_ENDPOINT=address)
    assert (code, error["code"]) == (2, "hub.not_found")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    code, error, _ = run_program(tmp_path / "b", "import_model", import_spec(hub_id="academy/tiny"), {}, HF_ENDPOINT=address)
    assert (code, error["code"]) == (2, "model.pickle_refused")
    spec = import_spec(hub_id="academy/tiny")
    code, error, _ = run_program(tmp_path / "c", "import_model", spec, {}, HF_ENDPOINT="http://127.0.0.1:9")
    assert (code, error["code"]) == (2, "hub.unreachable")
