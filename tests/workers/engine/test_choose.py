"""The right engine starts, says when it is not the first choice, and says in one sentence why none does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.workers.engine.tiny import TOKEN, EngineProcess, write_model

SCALED = {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}


def failure(process: EngineProcess) -> dict[str, Any]:
    assert process.process.wait(60) == 2, process.output()
    assert not (process.folder / "ready.json").exists()
    content = json.loads((process.folder / "error.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_model_that_openvino_cannot_load_is_served_by_transformers(tmp_path: Path) -> None:
    process = EngineProcess(tmp_path / "run", write_model(tmp_path / "model", **SCALED)).wait_ready()
    assert process.ready["engine"] == "transformers"
    assert "rotary embedding is scaled" in process.ready["fallback"]
    with process.http() as http:
        assert http.get("/metrics").json()["fallback"] == process.ready["fallback"]
        answer = http.post("/v1/completions", json={"prompt": "Please", "max_tokens": 3, "ignore_eos": True}).json()
        assert answer["usage"]["completion_tokens"] == 3
        refused = http.post(
            "/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}},
        )
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "unsupported_parameter"
    assert process.stop() == 0


@pytest.mark.parametrize(
    ("spec", "environment", "code"),
    [
        ({"engine": "lmdeploy"}, {"SHUYUAN_LMDEPLOY_PYTHON": "/nowhere/python"}, "engine.no_lmdeploy"),
        ({"engine": "lmdeploy"}, {"SHUYUAN_LMDEPLOY_PYTHON": sys.executable, "PATH": "/nowhere"}, "engine.no_gpu"),
        ({}, {"SHUYUAN_ENGINE_TOKEN": ""}, "engine.no_token"),
        ({"adapter_path": "/nowhere/adapter"}, {}, "engine.missing_file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_start_says_why(
    tmp_path: Path, tiny_llama: Path, spec: dict[str, Any], environment: dict[str, str], code: str
) -> None:
    error = failure(EngineProcess(tmp_path, tiny_llama, environment, **spec))
    assert error["code"] == code
    assert error["message"].endswith((".", "again"))


@pytest.mark.parametrize("damage", ["no folder", "no weights", "torn weights", "missing tensor", "broken config"])
def test_damaged_model_is_named(tmp_path: Path, damage: str) -> None:
    folder = write_model(tmp_path / "model")
    weights = folder / "model.safetensors"
    wanted = {
        "no folder": "engine.no_model_folder",
        "no weights": "engine.no_weights",
        "torn weights": "engine.broken_weights",
        "missing tensor": "engine.missing_tensor",
        "broken config": "engine.broken_file",
    }[damage]
    if damage == "no folder":
        folder.rename(tmp_path / "elsewhere")
    elif damage == "no weights":
        weights.unlink()
    elif damage == "torn weights":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif damage == "missing tensor":
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}), encoding="utf-8")
    else:
        (folder / "config.json").write_text("{", encoding="utf-8")
    error = failure(EngineProcess(tmp_path / "run", folder, engine="openvino"))
    assert error["code"] == wanted, error


def test_unusable_run_file_ends_with_2(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-m", "workers.engine", str(tmp_path / "none")], check=False, capture_output=True)
    assert ended.returncode == 2
    assert b"usage" in ended.stderr


def children_of(process: EngineProcess) -> list[int]:
    pid = process.process.pid
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def test_native_crash_while_loading_turns_to_transformers(tmp_path: Path, tiny_llama: Path) -> None:
    process = EngineProcess(tmp_path, tiny_llama)
    while not (children := children_of(process)):
        time.sleep(0.005)
    os.kill(children[0], signal.SIGFPE)
    process.wait_ready()
    assert process.ready["engine"] == "transformers"
    assert "its process ended with code" in process.ready["fallback"]
    assert process.stop() == 0


def test_native_crash_while_serving_ends_the_server_so_that_it_is_started_anew(tmp_path: Path, tiny_llama: Path) -> None:
    process = EngineProcess(tmp_path, tiny_llama).wait_ready()
    (child,) = children_of(process)
    with process.http() as http:
        body = {"prompt": "Please", "max_tokens": 200, "ignore_eos": True, "stream": True}
        with http.stream("POST", "/v1/completions", json=body) as answer:
            lines = answer.iter_lines()
            next(lines)
            os.kill(child, signal.SIGKILL)
            rest = [line for line in lines if line]
    assert "engine_stopping" in rest[-1]
    assert process.process.wait(60) == 1
    assert "ended unexpectedly" in json.loads((tmp_path / "error.json").read_text(encoding="utf-8"))["message"]


def test_server_killed_outright_takes_the_model_with_it(tmp_path: Path, tiny_llama: Path) -> None:
    process = EngineProcess(tmp_path, tiny_llama).wait_ready()
    (child,) = children_of(process)
    process.process.kill()
    process.process.wait()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < deadline, "the computing process lives on"
        time.sleep(0.02)


FAKE_LMDEPLOY = '''
"""Answers as LMDeploy's api_server does on /health and /generate: counts up from the last prompt token."""
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
options = dict(zip(sys.argv[4::2], sys.argv[5::2]))
assert sys.argv[1:3] == ["serve", "api_server"] and options["--server-name"] == "127.0.0.1"
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Authorization"] == "Bearer " + options["--api-keys"] and body["skip_special_tokens"] is False
        self.send_response(200); self.end_headers()
        for count in range(1, body["max_tokens"] + 1):
            token = body["input_ids"][-1] + count
            reason = {"type": "length"} if count == body["max_tokens"] else None
            meta = {"completion_tokens": count, "finish_reason": reason, "output_token_logprobs": [[-0.5, token]]}
            chunk = {"text": "", "output_ids": [token], "meta_info": meta}
            self.wfile.write(f"data: {json.dumps(chunk)}\\n\\n".encode())
        self.wfile.write(b"data: [DONE]\\n\\n")
    def log_message(self, *_): pass
ThreadingHTTPServer(("127.0.0.1", int(options["--server-port"])), Handler).serve_forever()
'''


@pytest.fixture
def stand_in(tmp_path: Path) -> dict[str, str]:
    """No GPU here: a stand-in for LMDeploy's interface, to show that the launcher and the token route work."""
    package = tmp_path / "packages" / "lmdeploy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(FAKE_LMDEPLOY)
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho GPU 0: stand-in\n")
    tool.chmod(0o755)
    return {
        "SHUYUAN_LMDEPLOY_PYTHON": sys.executable,
        "PYTHONPATH": str(package.parent),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }


def test_lmdeploy_is_launched_fed_with_tokens_and_ended(tmp_path: Path, tiny_llama: Path, stand_in: dict[str, str]) -> None:
    process = EngineProcess(tmp_path / "run", tiny_llama, stand_in).wait_ready()
    assert process.ready["engine"] == "lmdeploy"
    with openai.OpenAI(base_url=f"{process.address}/v1", api_key=TOKEN, max_retries=0) as client:
        answer = client.completions.create(model="tiny", prompt=[70, 80], max_tokens=4, temperature=0, logprobs=0)
        assert answer.usage is not None
        assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (4, "length")
        logprobs = answer.choices[0].logprobs
        assert logprobs is not None
        assert logprobs.token_logprobs == [-0.5] * 4
        with process.http() as http:
            shown = http.post("/detokenize", json={"tokens": [81, 82, 83, 84]}).json()["prompt"]
        assert answer.choices[0].text == shown
        with pytest.raises(openai.BadRequestError, match="no presence_penalty"):
            client.completions.create(model="tiny", prompt=[70], presence_penalty=1)
        with pytest.raises(openai.BadRequestError, match="no log-probabilities of a prompt"):
            client.completions.create(model="tiny", prompt=[70, 71], echo=True, logprobs=1)
    (child,) = children_of(process)
    assert process.stop() == 0
    assert not Path(f"/proc/{child}").exists()


def test_lmdeploy_that_dies_ends_the_server(tmp_path: Path, tiny_llama: Path, stand_in: dict[str, str]) -> None:
    process = EngineProcess(tmp_path / "run", tiny_llama, stand_in).wait_ready()
    os.kill(children_of(process)[0], signal.SIGKILL)
    assert process.process.wait(60) == 1
    assert "LMDeploy ended" in json.loads((tmp_path / "run" / "error.json").read_text(encoding="utf-8"))["message"]
