"""The gateway over real HTTP: keys, errors in OpenAI's form, streams byte by byte, usage, clients that leave (S8.6)."""

import asyncio
import json
import time
from typing import Any

import httpx
import openai
import pytest
from django.db import connection

from tests.webapp.serving.double import Double
from webapp.accounts.models import User, Workspace
from webapp.accounts.services import create_key, create_workspace
from webapp.serving import accounting
from webapp.serving.models import Deployment, Health, Usage, Wanted
from webapp.serving.streams import StreamMeter

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def key(alice: User, workspace: Workspace) -> str:
    return create_key(user=alice, name="k", scopes=["inference"])[1]


@pytest.fixture
def client(web: str, key: str) -> Any:
    with openai.OpenAI(base_url=f"{web}/v1", api_key=key, max_retries=0) as made:
        yield made


def ask(**plan: Any) -> list[dict[str, str]]:
    return [{"role": "user", "content": json.dumps(plan)}]


def test_openai_client_lists_and_chats(client: Any, ready: Deployment) -> None:
    assert [model.id for model in client.models.list()] == ["shop-1"]
    assert client.models.retrieve("shop-1").owned_by == "academy"
    answer = client.chat.completions.create(model="shop-1", messages=ask(count=4))
    assert answer.choices[0].message.content == "0 1 2 3 "


def test_stream_passes_and_usage_is_hidden_unless_asked(client: Any, ready: Deployment, double: Double) -> None:
    chunks = list(client.chat.completions.create(model="shop-1", messages=ask(count=5), stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "0 1 2 3 4 "
    assert double.requests[-1]["stream_options"] == {"include_usage": True}
    asked = client.chat.completions.create(
        model="academy/shop-1", messages=ask(count=5), stream=True, stream_options={"include_usage": True}
    )
    assert list(asked)[-1].usage.completion_tokens == 5
    assert double.requests[-1]["model"] == "shop-1"


def test_usage_is_counted_by_key_and_day(client: Any, ready: Deployment) -> None:
    for stream in (False, True):
        answer = client.chat.completions.create(model="shop-1", messages=ask(count=6), stream=stream)
        list(answer) if stream else None
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="shop-1", messages=ask(error={"message": "no", "code": "x"}))
    wait_for_requests(3)
    accounting.flush()
    row = Usage.objects.get()
    assert row.key is not None
    assert (row.requests, row.errors, row.prompt_tokens, row.completion_tokens) == (3, 1, 14, 12)


def wait_for_requests(count: int) -> None:
    """The last bytes reach the client a moment before the server has counted them."""
    for _ in range(3000):
        if sum(counts.requests for counts in accounting._pending.values()) >= count:
            return
        time.sleep(0.01)
    raise AssertionError("the requests were not counted")


def test_errors_have_openai_form(client: Any, web: str, ready: Deployment) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nothing", messages=ask())
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{web}/v1", api_key="sy_x_y", max_retries=0).models.list()
    with pytest.raises(openai.APIStatusError) as embeddings:
        client.embeddings.create(model="shop-1", input="x")
    assert embeddings.value.status_code == 501
    with httpx.Client(base_url=web, headers={"Authorization": f"Bearer {client.api_key}"}, trust_env=False) as raw:
        assert raw.post("/v1/chat/completions", content="{").json()["error"]["code"] == "invalid_json"
        assert raw.post("/v1/chat/completions", json=[1]).status_code == 400
        assert raw.post("/v1/chat/completions", json={}).json()["error"]["param"] == "model"
        assert raw.get("/v1/chat/completions").status_code == 405
        assert raw.get("/v1/elsewhere").json()["error"]["code"] == "unknown_url"
    assert httpx.get(f"{web}/v1/models", trust_env=False).status_code == 401


def test_key_sees_only_its_workspace(web: str, alice: User, charlie: User, ready: Deployment, workspace: Workspace) -> None:
    other = create_workspace(user=alice, name="Other")
    for user, place, count in ((alice, other, 0), (alice, workspace, 1), (alice, None, 1), (charlie, None, 0)):
        text = create_key(user=user, name="k", scopes=["inference"], workspace=place)[1]
        with openai.OpenAI(base_url=f"{web}/v1", api_key=text, max_retries=0) as client:
            assert len(list(client.models.list())) == count
    without = create_key(user=alice, name="k", scopes=["read"])[1]
    assert httpx.get(f"{web}/v1/models", headers={"Authorization": f"Bearer {without}"}, trust_env=False).status_code == 401


def test_engine_that_is_not_ready_answers_503(client: Any, ready: Deployment, settings: Any) -> None:
    settings.ENGINE_WAIT_SECONDS = 0
    Deployment.objects.filter(pk=ready.pk).update(health=Health.STARTING)
    with pytest.raises(openai.InternalServerError) as starting:
        client.chat.completions.create(model="shop-1", messages=ask())
    assert starting.value.response.headers["retry-after"]
    Deployment.objects.filter(pk=ready.pk).update(wanted=Wanted.STOPPED)
    with pytest.raises(openai.InternalServerError, match="is stopped"):
        client.chat.completions.create(model="shop-1", messages=ask())


def test_request_waits_for_an_engine_that_is_starting(client: Any, ready: Deployment) -> None:
    import threading

    Deployment.objects.filter(pk=ready.pk).update(health=Health.STARTING)

    def start() -> None:
        Deployment.objects.filter(pk=ready.pk).update(health=Health.READY)
        connection.close()

    timer = threading.Timer(0.5, start)
    timer.start()
    answer = client.chat.completions.create(model="shop-1", messages=ask(count=2))
    timer.join()
    assert answer.choices[0].message.content == "0 1 "


def test_lost_engine_ends_the_stream_with_an_error_event(client: Any, ready: Deployment) -> None:
    with pytest.raises(openai.APIError, match="lost"):
        list(client.chat.completions.create(model="shop-1", messages=ask(count=9, break_at=4), stream=True))


@pytest.mark.parametrize("stream", [True, False])
async def test_client_that_leaves_stops_the_engine(web: str, key: str, ready: Deployment, double: Double, stream: bool) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    body = {"model": "shop-1", "messages": ask(count=400, delay=0.02), "stream": stream}
    async with httpx.AsyncClient(trust_env=False) as client:
        if stream:
            async with client.stream("POST", f"{web}/v1/chat/completions", json=body, headers=headers) as response:
                await anext(response.aiter_bytes())
        else:
            with pytest.raises(httpx.ReadTimeout):
                await client.post(f"{web}/v1/chat/completions", json=body, headers=headers, timeout=2)
    for _ in range(1000):
        if double.abandoned:
            break
        await asyncio.sleep(0.03)
    assert double.abandoned == 1


def test_session_needs_the_csrf_token(web: str, alice: User, ready: Deployment) -> None:
    from django.test import Client

    browser = Client()
    browser.force_login(alice)
    cookies = {"shuyuan_session": browser.cookies["shuyuan_session"].value}
    with httpx.Client(base_url=web, cookies=cookies, trust_env=False) as client:
        assert client.get("/v1/models").status_code == 200
        refused = client.post("/v1/chat/completions", json={"model": "shop-1", "messages": ask(count=2)})
        assert refused.json()["error"]["code"] == "csrf_failed"


def test_meter_finds_usage_however_the_bytes_are_cut() -> None:
    events = [
        b'{"choices":[{"delta":{"content":"a"}}],"usage":null}',
        b'{"choices":[],"usage":{"completion_tokens":1}}',
        b"[DONE]",
    ]
    stream = b"".join(b"data: " + event + b"\n\n" for event in events)
    for size in (1, 3, 7, 50, 1000):
        shown, hidden = StreamMeter(hide_usage=False), StreamMeter(hide_usage=True)
        cuts = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert b"".join(shown.feed(cut) for cut in cuts) == stream
        passed = b"".join(hidden.feed(cut) for cut in cuts)
        assert b"completion_tokens" not in passed
        assert passed.endswith(b"[DONE]\n\n")
        assert (hidden.usage, hidden.chunks, hidden.complete) == ({"completion_tokens": 1}, 1, True)


@pytest.mark.parametrize("usage", [None, [], {"prompt_tokens": None, "completion_tokens": None}, {"completion_tokens": "many"}])
def test_odd_usage_of_an_endpoint_spoils_neither_answer_nor_books(client: Any, ready: Deployment, usage: Any) -> None:
    """Some compatible servers send null there (S8.6)."""
    messages = ask(count=3, usage=usage)
    assert client.chat.completions.create(model="shop-1", messages=messages).choices[0].message.content == "0 1 2 "
    chunks = list(client.chat.completions.create(model="shop-1", messages=messages, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "0 1 2 "
    wait_for_requests(2)
    accounting.flush()
    assert Usage.objects.get().requests == 2


def test_usage_of_a_key_that_was_removed_meanwhile_is_the_webs(alice: User, ready: Deployment) -> None:
    """And nobody else's figures wait for it."""
    gone, _ = create_key(user=alice, name="gone", scopes=["inference"])
    number = gone.pk
    accounting.record(ready.pk, number, accounting.Counts(1, 0, 2, 3))
    accounting.record(ready.pk, None, accounting.Counts(1, 0, 20, 30))
    gone.delete()
    accounting.flush()
    row = Usage.objects.get()
    assert (row.key_id, row.requests, row.prompt_tokens, row.completion_tokens) == (None, 2, 22, 33)
