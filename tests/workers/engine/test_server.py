"""The OpenAI client against real engine processes: S8.9, S9.4 (local models through the OpenAI-compatible API)."""

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.workers.engine.tiny import TOKEN, EngineProcess, greedy, load_reference, token_logprobs
from workers.data.templates import load_template

MESSAGES: Any = [{"role": "user", "content": "Please tell me 你好"}]


def client_of(process: EngineProcess) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{process.address}/v1", api_key=TOKEN, max_retries=0)


@pytest.fixture
def client(engine_process: EngineProcess) -> Any:
    with client_of(engine_process) as client:
        yield client


@pytest.fixture
def openvino_client(openvino_process: EngineProcess) -> Any:
    with client_of(openvino_process) as client:
        yield client


def running(process: EngineProcess) -> int:
    with process.http() as http:
        figures = http.get("/metrics").json()
    return int(figures["running"] + figures["waiting"])


def generated(process: EngineProcess) -> int:
    with process.http() as http:
        return int(http.get("/metrics").json()["tokens_generated"])


def wait_idle(process: EngineProcess, seconds: float = 60) -> None:
    started = time.monotonic()
    while running(process):
        assert time.monotonic() - started < seconds, "the request goes on"
        time.sleep(0.01)


def test_ready_file_tells_what_is_served(openvino_process: EngineProcess, tiny_llama: Path) -> None:
    ready = openvino_process.ready
    assert ready["engine"] == "openvino"
    assert ready["weights"] == "f16"
    assert ready["context_length"] == 256
    assert ready["fallback"] is None
    assert ready["pid"] == openvino_process.process.pid
    assert ready["template_hash"] == load_template(tiny_llama).hash
    assert ready["load_seconds"] > 0
    assert ready["memory_bytes"] > 0


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError, match="another"):
        client.models.retrieve("another")


def test_served_tokens_are_the_template_s_and_the_model_s(client: openai.OpenAI, tiny_llama: Path) -> None:
    """N3: the prompt is what training's template object renders, the answer what the weights say."""
    template = load_template(tiny_llama)
    prompt = template.encode_prompt(MESSAGES)
    answer = client.chat.completions.create(
        model="tiny", messages=MESSAGES, max_tokens=24, temperature=0, extra_body={"ignore_eos": True}
    )
    wanted = greedy(load_reference(tiny_llama), prompt, 24)
    assert answer.choices[0].message.content == template.decode(wanted)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(prompt), 24)
    assert answer.usage.total_tokens == len(prompt) + 24


def test_stream_adds_up_to_the_answer_without_broken_characters(client: openai.OpenAI) -> None:
    options: Any = {"model": "tiny", "messages": MESSAGES, "max_tokens": 60, "temperature": 0.9, "seed": 3}
    whole = client.chat.completions.create(**options)
    text, reasons, usage = "", [], None
    for chunk in client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}):
        if chunk.usage is not None:
            assert chunk.choices == []
            usage = chunk.usage
            continue
        choice = chunk.choices[0]
        text += choice.delta.content or ""
        reasons += [choice.finish_reason] if choice.finish_reason else []
    assert text == whole.choices[0].message.content
    assert reasons == [whole.choices[0].finish_reason]
    assert usage is not None
    assert whole.usage is not None
    assert usage.completion_tokens == whole.usage.completion_tokens


def test_async_client_streams_sixteen_chats_at_once(engine_process: EngineProcess) -> None:
    async def one(client: openai.AsyncOpenAI, index: int) -> tuple[str, list[float]]:
        content: Any = [{"role": "user", "content": f"hello {index}"}]
        stream = await client.chat.completions.create(
            model="tiny", messages=content, max_tokens=120, temperature=0, stream=True, extra_body={"ignore_eos": True}
        )
        text, times = "", []
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
            times.append(time.monotonic())
        return text, times

    async def many(count: int) -> list[tuple[str, list[float]]]:
        async with openai.AsyncOpenAI(base_url=f"{engine_process.address}/v1", api_key=TOKEN, max_retries=0) as client:
            return await asyncio.gather(*(one(client, index) for index in range(count)))

    together = asyncio.run(many(16))
    assert all(len(times) > 5 for _, times in together)
    # They run side by side: every stream begins before the first one ends.
    assert max(times[0] for _, times in together) < min(times[-1] for _, times in together)
    alone = asyncio.run(many(1))
    assert together[0][0] == alone[0][0]
    assert running(engine_process) == 0


def test_several_answers_differ_and_repeat_with_the_seed(client: openai.OpenAI) -> None:
    options: Any = {"model": "tiny", "messages": MESSAGES, "max_tokens": 12, "n": 3, "seed": 11, "temperature": 1.5}
    first = client.chat.completions.create(**options)
    again = client.chat.completions.create(**options)
    texts = [choice.message.content for choice in first.choices]
    assert len(set(texts)) == 3
    assert texts == [choice.message.content for choice in again.choices]
    assert first.usage is not None
    alone = client.chat.completions.create(**{**options, "n": 1})
    assert alone.usage is not None
    assert first.usage.prompt_tokens == alone.usage.prompt_tokens
    streamed = ["", "", ""]
    for chunk in client.chat.completions.create(**options, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert streamed == texts


def test_without_a_seed_answers_vary(client: openai.OpenAI) -> None:
    answers = {
        client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=12, temperature=1.5).choices[0].message.content
        for _ in range(3)
    }
    assert len(answers) > 1


@pytest.mark.parametrize("stream", [False, True])
def test_stop_string_across_tokens_cuts_the_answer(client: openai.OpenAI, stream: bool) -> None:
    options: Any = {"model": "tiny", "messages": MESSAGES, "max_tokens": 40, "temperature": 0}
    options["extra_body"] = {"ignore_eos": True}
    full = client.chat.completions.create(**options).choices[0].message.content
    assert full is not None
    stop = full[10:14]
    wanted = full[: full.index(stop)]
    if stream:
        chunks = [chunk.choices[0] for chunk in client.chat.completions.create(**options, stop=stop, stream=True)]
        text, reason = "".join(chunk.delta.content or "" for chunk in chunks), chunks[-1].finish_reason
    else:
        choice = client.chat.completions.create(**options, stop=[stop, "never"]).choices[0]
        text, reason = choice.message.content or "", choice.finish_reason
    assert (text, reason) == (wanted, "stop")


def test_stopped_request_leaves_the_engine(engine_process: EngineProcess, client: openai.OpenAI) -> None:
    options: Any = {"model": "tiny", "messages": MESSAGES, "temperature": 0, "extra_body": {"ignore_eos": True}}
    full = client.chat.completions.create(**options, max_tokens=10).choices[0].message.content
    assert full
    client.chat.completions.create(**options, max_tokens=200, stop=full[2:4])
    wait_idle(engine_process)


@pytest.mark.parametrize("stream", [True, False])
def test_leaving_cancels_the_request(engine_process: EngineProcess, stream: bool) -> None:
    body = {"messages": MESSAGES, "max_tokens": 220, "stream": stream, "ignore_eos": True, "n": 8}
    before = generated(engine_process)
    leave = threading.Event()

    def watch() -> None:
        while not leave.is_set() and running(engine_process) == 0:
            time.sleep(0.002)
        leave.set()

    threading.Thread(target=watch, daemon=True).start()
    with engine_process.http() as http:
        try:
            with http.stream("POST", "/v1/chat/completions", json=body, timeout=0.15 if not stream else 30) as answer:
                for _ in answer.iter_lines():
                    break
        except httpx.ReadTimeout:
            assert not stream
    leave.set()
    wait_idle(engine_process)
    assert generated(engine_process) - before < 8 * 220


def test_continuing_an_answer_goes_on_where_it_stopped(client: openai.OpenAI) -> None:
    options: Any = {"model": "tiny", "temperature": 0}
    full = (
        client.chat.completions.create(messages=MESSAGES, max_tokens=30, extra_body={"ignore_eos": True}, **options)
        .choices[0]
        .message.content
    )
    assert full is not None
    head = client.chat.completions.create(messages=MESSAGES, max_tokens=10, extra_body={"ignore_eos": True}, **options)
    begun = (head.choices[0].message.content or "").rstrip("\ufffd")
    rest = (
        client.chat.completions.create(
            messages=[*MESSAGES, {"role": "assistant", "content": begun}],
            max_tokens=3,
            extra_body={"continue_final_message": True, "ignore_eos": True},
            **options,
        )
        .choices[0]
        .message.content
    )
    assert rest is not None
    assert full.startswith(begun)
    http_prompt = client.post("/../tokenize", body={"messages": MESSAGES}, cast_to=object)
    assert http_prompt["count"] > 0  # type: ignore[index]


@pytest.mark.parametrize("top", [0, 3])
def test_chat_logprobs_are_the_model_s(client: openai.OpenAI, tiny_llama: Path, top: int) -> None:
    template = load_template(tiny_llama)
    prompt = template.encode_prompt(MESSAGES)
    answer = client.chat.completions.create(
        model="tiny", messages=MESSAGES, max_tokens=6, temperature=0, logprobs=True, top_logprobs=top,
        extra_body={"ignore_eos": True},
    )  # fmt: skip
    reference = load_reference(tiny_llama)
    tokens = greedy(reference, prompt, 6)
    wanted = token_logprobs(reference, [*prompt, *tokens])[-6:].tolist()
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [entry.logprob for entry in logprobs.content] == pytest.approx(wanted, abs=0.02)
    assert [entry.token for entry in logprobs.content] == [
        template.decode([token], skip_special_tokens=False) for token in tokens
    ]
    for entry in logprobs.content:
        assert len(entry.top_logprobs) == top
        if top:
            assert entry.top_logprobs[0].logprob == pytest.approx(entry.logprob)


def test_echo_scores_a_prompt_as_lm_eval_asks(client: openai.OpenAI, tiny_llama: Path) -> None:
    """The request of lm_eval's `local-completions`: token ids, echo, one token more, the best alternative."""
    reference = load_reference(tiny_llama)
    prompts = [load_template(tiny_llama).encode_text(text) for text in ("Please tell me when", "0123 你好 parcel")]
    for _ in range(2):  # the second time the prefix cache knows the prompt
        answer = client.completions.create(
            model="tiny", prompt=prompts, max_tokens=1, temperature=0, echo=True, logprobs=1, seed=1234
        )
        for choice, prompt in zip(answer.choices, prompts, strict=True):
            logprobs = choice.logprobs
            assert logprobs is not None
            values, best = logprobs.token_logprobs, logprobs.top_logprobs
            assert values is not None
            assert best is not None
            assert values[0] is None
            assert values[1 : len(prompt)] == pytest.approx(token_logprobs(reference, prompt).tolist(), abs=0.02)
            assert len(values) == len(prompt) + 1
            for tops in best[1:]:
                assert len(tops) == 1
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == sum(map(len, prompts))


def test_completions_take_every_form_of_prompt(client: openai.OpenAI, tiny_llama: Path) -> None:
    ids = load_template(tiny_llama).encode_text("Please tell")
    options: Any = {"model": "tiny", "max_tokens": 5, "temperature": 0, "extra_body": {"ignore_eos": True}}
    wanted = client.completions.create(prompt="Please tell", **options).choices[0].text
    assert client.completions.create(prompt=ids, **options).choices[0].text == wanted
    for several in (["Please tell", "Please tell"], [ids, ids]):
        assert [one.text for one in client.completions.create(prompt=several, **options).choices] == [wanted] * 2
    assert client.completions.create(prompt="Please tell", echo=True, **options).choices[0].text == "Please tell" + wanted
    streamed = client.completions.create(prompt=ids, stream=True, **options)
    assert "".join(chunk.choices[0].text for chunk in streamed) == wanted


def test_repeated_prompt_is_cached_and_counted(openvino_client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "A long story that comes twice. " * 6}]
    options: Any = {"model": "tiny", "messages": messages, "max_tokens": 2, "temperature": 0}
    first = openvino_client.chat.completions.create(**options).usage
    second = openvino_client.chat.completions.create(**options).usage
    assert first is not None
    assert second is not None
    assert first.prompt_tokens_details is not None
    assert second.prompt_tokens_details is not None
    assert first.prompt_tokens_details.cached_tokens == 0
    assert second.prompt_tokens_details.cached_tokens == (second.prompt_tokens - 1) // 32 * 32


def test_answer_keeps_to_a_json_schema(openvino_client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"kind": {"enum": ["x", "y"]}}, "required": ["kind"]}
    answer = openvino_client.chat.completions.create(
        model="tiny",
        messages=MESSAGES,
        temperature=0,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "k", "schema": {**schema, "additionalProperties": False}},
        },
    )
    assert json.loads(answer.choices[0].message.content or "")["kind"] in ("x", "y")
    one = openvino_client.chat.completions.create(
        model="tiny", messages=MESSAGES, extra_body={"response_format": {"type": "regex", "regex": "[ABCD]"}}
    )
    assert one.choices[0].message.content in ("A", "B", "C", "D")


def test_broken_schema_hurts_nobody_else(openvino_process: EngineProcess, openvino_client: openai.OpenAI) -> None:
    broken: Any = {"type": "json_schema", "json_schema": {"name": "k", "schema": {"type": 5}}}
    for _ in range(2):
        with pytest.raises(openai.BadRequestError, match="schema or grammar cannot be used"):
            openvino_client.chat.completions.create(model="tiny", messages=MESSAGES, response_format=broken)
    assert openvino_client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=3).choices


TOOL: Any = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {
            "type": "object",
            "properties": {"urgent": {"type": "boolean"}},
            "required": ["urgent"],
            "additionalProperties": False,
        },
    },
}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look_up"}}])
def test_forced_tool_is_called(openvino_client: openai.OpenAI, choice: Any) -> None:
    options: Any = {"model": "tiny", "messages": MESSAGES, "tools": [TOOL], "tool_choice": choice, "temperature": 0}
    answer = openvino_client.chat.completions.create(**options).choices[0]
    assert answer.finish_reason == "tool_calls"
    assert answer.message.tool_calls
    call: Any = answer.message.tool_calls[0]
    assert call.function.name == "look_up"
    assert isinstance(json.loads(call.function.arguments)["urgent"], bool)
    streamed, reason = [], None
    for chunk in openvino_client.chat.completions.create(**options, stream=True):
        streamed += chunk.choices[0].delta.tool_calls or []
        reason = chunk.choices[0].finish_reason or reason
    assert (len(streamed), reason) == (1, "tool_calls")
    assert streamed[0].function.arguments == call.function.arguments


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/metrics", "/nowhere"])
@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}])
def test_nothing_but_health_without_the_token(openvino_process: EngineProcess, path: str, header: dict[str, str]) -> None:
    answer = httpx.get(openvino_process.address + path, headers=header)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert httpx.get(openvino_process.address + "/health").json() == {"status": "ok"}


BAD_CHATS: list[tuple[Any, int, str]] = [
    ("not json", 400, "JSON"),
    ({}, 400, "messages"),
    ({"messages": []}, 400, "messages"),
    ({"messages": [{"role": "alien", "content": "x"}]}, 400, "role must be one of"),
    ({"messages": [{"role": "user"}]}, 400, "content is missing"),
    ({"messages": [{"role": "user", "content": 5}]}, 400, "must be a text"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, 400, "reads text only"),
    ({"messages": MESSAGES, "model": "other"}, 404, "not served here"),
    ({"messages": MESSAGES, "temperature": 3}, 400, "temperature"),
    ({"messages": MESSAGES, "top_p": 0}, 400, "top_p"),
    ({"messages": MESSAGES, "n": 99}, 400, "n:"),
    ({"messages": MESSAGES, "max_tokens": 0}, 400, "max_tokens"),
    ({"messages": MESSAGES, "top_logprobs": 2}, 400, "needs logprobs"),
    ({"messages": MESSAGES, "logprobs": True, "top_logprobs": 2, "stream": True}, 400, "cannot stream"),
    ({"messages": MESSAGES, "logit_bias": {"5": 1}}, 400, "logit_bias"),
    ({"messages": MESSAGES, "tool_choice": "required"}, 400, "no tools"),
    ({"messages": MESSAGES, "continue_final_message": True}, 400, "assistant"),
    ({"messages": MESSAGES, "response_format": {"type": "json_schema"}}, 400, "schema must be an object"),
    ({"messages": [{"role": "user", "content": "long " * 400}]}, 400, "context is 256 tokens"),
]


@pytest.mark.parametrize(("body", "status", "words"), BAD_CHATS, ids=[words for *_, words in BAD_CHATS])
@pytest.mark.parametrize("stream", [False, True])
def test_bad_input_is_named(http: httpx.Client, body: Any, status: int, words: str, stream: bool) -> None:
    if isinstance(body, str):
        answer = http.post("/v1/chat/completions", content=body)
    else:
        answer = http.post("/v1/chat/completions", json={"stream": stream, **body})
    error = answer.json()["error"]
    assert (answer.status_code, words in error["message"]) == (status, True), error
    assert set(error) == {"message", "type", "param", "code"}


def test_too_long_prompt_names_both_numbers(http: httpx.Client) -> None:
    answer = http.post("/v1/completions", json={"prompt": [5] * 300})
    assert answer.status_code == 400
    assert "300 tokens" in answer.json()["error"]["message"]
    assert "256 tokens" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("GET", "/v1/chat/completions", 405), ("POST", "/v1/models", 405)],
)
def test_unknown_addresses_answer_with_error_objects(http: httpx.Client, method: str, path: str, status: int) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, "message" in answer.json()["error"]) == (status, True)


@pytest.mark.parametrize("prompt", ["", [], [10_000], [-1]])
def test_impossible_prompts_are_refused(engine_process: EngineProcess, prompt: Any) -> None:
    with engine_process.http() as http:
        answer = http.post("/v1/completions", json={"prompt": prompt, "echo": True, "logprobs": 0})
        assert answer.status_code == 400, answer.text
        assert http.post("/v1/completions", json={"prompt": "fine", "max_tokens": 1}).status_code == 200


def test_more_than_the_queue_holds_is_told_to_wait(tmp_path: Path, tiny_llama: Path) -> None:
    process = EngineProcess(tmp_path, tiny_llama, max_concurrent=1).wait_ready()
    body = {"messages": MESSAGES, "max_tokens": 200, "ignore_eos": True}

    async def flood() -> list[httpx.Response]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=process.address, headers=headers, timeout=60) as client:
            return await asyncio.gather(*(client.post("/v1/chat/completions", json=body) for _ in range(12)))

    answers = asyncio.run(flood())
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert len(refused) == 7
    assert refused[0].headers["retry-after"] == "1"
    assert process.stop() == 0


def test_tokenize_shows_the_prompt(http: httpx.Client, tiny_llama: Path) -> None:
    template = load_template(tiny_llama)
    shown = http.post("/tokenize", json={"messages": MESSAGES}).json()
    assert shown == {"tokens": template.encode_prompt(MESSAGES), "count": len(shown["tokens"]), "max_model_len": 256}
    assert http.post("/tokenize", json={"prompt": "Please"}).json()["tokens"] == template.encode_text("Please")
    assert http.post("/detokenize", json={"tokens": template.encode_text("你好")}).json() == {"prompt": "你好"}


def test_metrics_count_tokens(http: httpx.Client) -> None:
    before = http.get("/metrics").json()["tokens_generated"]
    http.post("/v1/completions", json={"prompt": "Please", "max_tokens": 7, "ignore_eos": True})
    after = http.get("/metrics").json()
    assert after["tokens_generated"] == before + 7
    assert after["tokens_per_second"] > 0
    assert after["memory_bytes"] > 0
    assert (after["running"], after["waiting"], after["engine"]) == (0, 0, "openvino")


def test_sigterm_lets_running_answers_end(tmp_path: Path, tiny_llama: Path) -> None:
    process = EngineProcess(tmp_path, tiny_llama).wait_ready()
    body = {"messages": MESSAGES, "max_tokens": 150, "stream": True, "ignore_eos": True}
    with process.http() as http, http.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = answer.iter_lines()
        next(lines)
        process.process.terminate()
        rest = [line for line in lines if line]
    assert rest[-1] == "data: [DONE]"
    assert process.stop() == 0
    assert not (tmp_path / "ready.json").exists()
