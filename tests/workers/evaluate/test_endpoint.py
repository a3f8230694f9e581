"""S9.4: the same examination through an OpenAI-compatible endpoint, one that is busy, breaks off and refuses now and then."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.workers.evaluate.conftest import LEARNT, RECORDS, conversation, write_run
from workers.evaluate import endpoint
from workers.evaluate.generating import generate
from workers.evaluate.local import LocalModel, load_local
from workers.evaluate.program import evaluate
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.record import Message, Record
from workers.spec.run import ModelInput, RunFile

Answer = tuple[int, dict[str, Any]]


@contextmanager
def serving(answer: Callable[[str, dict[str, Any]], Answer]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A local HTTP server; yields its address and the bodies it was sent."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({**body, "path": self.path, "key": self.headers.get("Authorization")})
            status, content = answer(self.path, body)
            if status == 0:
                self.close_connection = True
                return
            raw = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Served:
    """The tiny model behind the two routes."""

    def __init__(self, folder: Path, echoes: bool) -> None:
        self.local: LocalModel = load_local(ModelInput(id=1, name="m", path=folder), "cpu")
        self.echoes = echoes
        self.lock = threading.Lock()

    def __call__(self, path: str, body: dict[str, Any]) -> Answer:
        with self.lock, torch.inference_mode():
            if path == "/v1/chat/completions":
                return self._chat(body)
            if body.get("echo") and not self.echoes:
                return 400, {"error": {"message": "echo is not supported"}}
            return 200, {"choices": [self._echo(index, prompt) for index, prompt in enumerate(body["prompt"])]}

    def _chat(self, body: dict[str, Any]) -> Answer:
        prompt = self.local.template.encode_prompt(body["messages"])
        answer = generate(self.local, [prompt], body["max_tokens"])[0]
        message = {"role": "assistant", "content": self.local.template.decode(answer.token_ids)}
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(answer.token_ids)}
        return 200, {"choices": [{"message": message, "finish_reason": "stop" if answer.ended else "length"}], "usage": usage}

    def _echo(self, index: int, prompt: str | list[int]) -> dict[str, Any]:
        template = self.local.template
        ids = template.encode_text(prompt) if isinstance(prompt, str) else prompt
        log_probs = torch.log_softmax(self.local.model(torch.tensor([ids])).logits[0].float(), dim=-1)
        values = [None, *(float(log_probs[place, token]) for place, token in enumerate(ids[1:]))]
        offsets = [len(template.decode(ids[:place], skip_special_tokens=False)) for place in range(len(ids))]
        return {"index": index, "logprobs": {"token_logprobs": [*values, -1.0], "text_offset": [*offsets, 10**6]}}


def run(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    program = Program(RunFile.model_validate_json(path.read_text()))
    with closing(program.events._file):
        result = dict(evaluate(program))
    return result, [json.loads(line) for line in (program.run.output_dir / "samples.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT_SECONDS", 0.01)


def test_echo_gives_the_scores_of_the_model_in_memory(model_folder: Path, tmp_path: Path) -> None:
    config = {"method": "multiple_choice"}
    local, by_hand = run(write_run(tmp_path / "local", RECORDS, config, {"path": str(model_folder)}))
    with serving(Served(model_folder, echoes=True)) as (url, _):
        model = {"base_url": f"{url}/v1", "addresses": ["127.0.0.1"], "remote_name": "tiny", "path": str(model_folder)}
        remote, samples = run(write_run(tmp_path / "remote", RECORDS, config, model))
    assert remote["inferencer"] == "log-likelihood (echo)"
    assert (remote["score"], remote["template_hash"]) == (local["score"], local["template_hash"])
    for mine, theirs in zip(by_hand, samples, strict=True):
        assert theirs["scores"] == pytest.approx(mine["scores"], abs=1e-3)


def test_plain_text_is_scored_by_offsets(model_folder: Path, tmp_path: Path) -> None:
    config = {"method": "multiple_choice", "chat": False}
    with serving(Served(model_folder, echoes=True)) as (url, asked):
        result, samples = run(
            write_run(tmp_path, RECORDS[:4], config, {"base_url": url, "addresses": ["127.0.0.1"], "remote_name": "tiny"})
        )
    assert result["inferencer"] == "log-likelihood (echo)"
    assert result["template_hash"] is None
    assert asked[-1]["prompt"][0].startswith("Q: ")
    assert all(len(sample["scores"]) == 4 for sample in samples)


def test_choices_are_named_where_prompts_are_not_scored(model_folder: Path, tmp_path: Path) -> None:
    records = [
        Record(id="1", text="1 + 1?", choices=["1", "2"], answer=1),
        Record(id="2", text="2 + 2?", choices=["4", "2"], answer=1),
    ]

    def answer(path: str, body: dict[str, Any]) -> Answer:
        if path != "/v1/chat/completions":
            return 404, {}
        return 200, {"choices": [{"message": {"content": "B) that is it"}, "finish_reason": "stop"}]}

    with serving(answer) as (url, asked):
        model = {"base_url": url, "addresses": ["127.0.0.1"], "remote_name": "tiny", "path": str(model_folder)}
        result, samples = run(write_run(tmp_path, records, {"method": "multiple_choice"}, model))
    assert (result["inferencer"], result["score"]) == ("named choice", 1.0)
    assert samples[0]["extracted"] == "B. 2"
    assert "letter only" in asked[-1]["messages"][-1]["content"]


def test_busy_and_broken_answers_are_tried_again(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """429, 503 and torn connections in between change no answer; the key comes from the environment."""
    monkeypatch.setenv(endpoint.KEY_VARIABLE, "sk-test")
    served = Served(model_folder, echoes=False)
    tries: dict[str, int] = {}

    def flaky(path: str, body: dict[str, Any]) -> Answer:
        question = json.dumps(body, sort_keys=True)
        tries[question] = tries.get(question, 0) + 1
        trouble = {1: 429, 2: 503, 3: 0}.get(tries[question])
        return served(path, body) if trouble is None else (trouble, {"error": "busy"})

    records = [Record(id=f"g{index}", messages=conversation(text, label)) for index, (text, label) in enumerate(LEARNT)]
    with serving(flaky) as (url, asked):
        result, samples = run(
            write_run(
                tmp_path, records, {"method": "generation"}, {"base_url": url, "addresses": ["127.0.0.1"], "remote_name": "tiny"}
            )
        )
    assert (result["score"], result["inferencer"], result["refused"]) == (1.0, "chat completions", 0)
    assert len(asked) > len(records)
    assert {request["key"] for request in asked} == {"Bearer sk-test"}
    assert {request["model"] for request in asked} == {"tiny"}
    assert [sample["record_id"] for sample in samples] == [record.id for record in records]
    assert result["output_tokens"] > 0


def test_question_that_is_refused_counts_as_wrong_and_is_told(tmp_path: Path) -> None:
    def answer(path: str, body: dict[str, Any]) -> Answer:
        if "long" in body["messages"][-1]["content"]:
            return 400, {"error": {"message": "context length exceeded"}}
        return 200, {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}

    records = [Record(id="a", messages=conversation("short", "yes")), Record(id="b", messages=conversation("long", "yes"))]
    with serving(answer) as (url, _):
        result, samples = run(
            write_run(
                tmp_path, records, {"method": "generation"}, {"base_url": url, "addresses": ["127.0.0.1"], "remote_name": "tiny"}
            )
        )
    assert (result["score"], result["refused"], result["n"]) == (0.5, 1, 2)
    assert "context length" in samples[1]["error"]


def test_tool_calls_are_compared_as_json(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "巴黎", "days": 2}}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    messages = [Message(role="user", content="q"), Message(role="assistant", content="", tool_calls=[call])]
    records = [Record(id="a", messages=messages, tools=tools), Record(id="b", messages=conversation("no", "tools"))]

    def answer(path: str, body: dict[str, Any]) -> Answer:
        assert body["tools"] == tools
        made = {"id": "x", "type": "function", "function": {"name": "weather", "arguments": '{"days": 2, "city": "巴黎"}'}}
        return 200, {"choices": [{"message": {"content": None, "tool_calls": [made]}, "finish_reason": "tool_calls"}]}

    config = {"method": "generation", "metric": "tool_call"}
    with serving(answer) as (url, _):
        result, _ = run(
            write_run(tmp_path, records, config, {"base_url": url, "addresses": ["127.0.0.1"], "remote_name": "tiny"})
        )
    assert (result["score"], result["dropped"]) == (1.0, {"no_tool_call": 1})


@pytest.mark.parametrize(
    ("status", "code"), [(401, "endpoint.refused"), (404, "endpoint.refused"), (503, "endpoint.unreachable")]
)
def test_endpoint_that_cannot_be_used_ends_the_job_with_one_sentence(status: int, code: str, tmp_path: Path) -> None:
    records = [Record(id="a", messages=conversation("q", "a"))]
    with serving(lambda path, body: (status, {"error": "no"})) as (url, _):
        path = write_run(
            tmp_path, records, {"method": "generation"}, {"base_url": url, "addresses": ["127.0.0.1"], "remote_name": "tiny"}
        )
        program = Program(RunFile.model_validate_json(path.read_text()))
        with closing(program.events._file), pytest.raises(UserError) as caught:
            evaluate(program)
    assert caught.value.code == code
    assert url in caught.value.message
