"""Answers over everything that may happen to them: stop, crash of the engine, death of a worker, restart of Redis (S10.2)."""

import asyncio
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.webapp.chat.conftest import InBackground, RedisServer, Send, answered
from tests.webapp.serving.double import Double
from webapp.accounts.models import User
from webapp.chat import leases, queries, services, threads, turn_stream
from webapp.chat.models import Turn, TurnState
from webapp.core import processes
from webapp.core.events import may_listen
from webapp.serving import accounting
from webapp.serving.connections import redis_client
from webapp.serving.models import Deployment, Health, Usage, Wanted

pytestmark = pytest.mark.django_db(transaction=True)


def plan(**what: Any) -> str:
    return json.dumps(what)


def counted(count: int) -> str:
    return "".join(f"{number} " for number in range(count))


def in_loop(work: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(work, threads.loop()).result(60)


async def entries(turn_id: int) -> list[turn_stream.Entry]:
    return await turn_stream.read_all(redis_client(), turn_id)


def wait_until(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def saved(turn: Turn) -> str:
    return Turn.objects.values_list("content", flat=True).get(pk=turn.pk)


def test_answer_is_streamed_kept_and_counted(send: Send, double: Double, ready: Deployment) -> None:
    turn = answered(send(plan(count=30, delay=0.005)))
    assert (turn.state, turn.content) == (TurnState.DONE, counted(30))
    assert (turn.usage["completion_tokens"], turn.usage["prompt_tokens"]) == (30, 7)
    assert turn.usage["ttft_ms"] > 0
    assert turn.usage["tokens_per_second"] > 0
    assert (turn.lease_owner, turn.error) == ("", {})
    streamed = in_loop(entries(turn.pk))
    assert "".join(entry.text for entry in streamed) == turn.content
    assert [entry.start for entry in streamed] == [len("".join(e.text for e in streamed[:n])) for n in range(len(streamed))]
    assert streamed[-1].ended
    accounting.flush()
    assert Usage.objects.get(key=None).completion_tokens == 30


def test_frames_are_at_most_thirty_a_second_and_the_first_comes_at_once(send: Send) -> None:
    turn = answered(send(plan(count=200, delay=0.003)))
    streamed = in_loop(entries(turn.pk))
    seconds = (int(streamed[-1].id.split("-")[0]) - int(streamed[0].id.split("-")[0])) / 1000
    assert len(streamed) <= 30 * seconds + 5
    assert streamed[0].text.startswith("0 ")
    assert len(streamed[0].text) < len(turn.content) / 2, "it did not wait for the others"


def test_branch_and_system_prompt_reach_the_engine(send: Send, alice: User, double: Double, conversation: Any) -> None:
    services.update_conversation(user=alice, conversation_id=conversation.pk, system_prompt="Count.")
    answered(send("one"))
    answered(send("two"))
    assert [message["content"] for message in double.requests[-1]["messages"]] == ["Count.", "one", "0 1 2 ", "two"]
    assert double.requests[-1]["max_tokens"] == 1024


def test_stop_ends_the_answer_quickly_and_frees_the_engine(send: Send, alice: User, double: Double) -> None:
    turn = send(plan(count=1000, delay=0.02))
    with InBackground(turn):
        wait_until(lambda: saved(turn))
        services.stop_turn(user=alice, turn_id=turn.pk)
    assert "999" not in turn.content, "it was stopped long before its end"
    assert turn.state == TurnState.STOPPED
    assert turn.content
    wait_until(lambda: double.abandoned == 1)


def test_crash_of_the_engine_in_the_middle_loses_nothing(send: Send, double: Double) -> None:
    turn = answered(send(plan(count=40, delay=0.002, break_at=17)))
    assert (turn.state, turn.content) == (TurnState.DONE, counted(40))
    assert turn.usage["completion_tokens"] == 40
    again = double.requests[-1]
    assert again["continue_final_message"] is True
    assert again["messages"][-1] == {"role": "assistant", "content": counted(17)}
    assert again["max_tokens"] == 1024 - 17


def test_answer_waits_while_the_engine_starts(send: Send, ready: Deployment) -> None:
    Deployment.objects.filter(pk=ready.pk).update(health=Health.STARTING, port=None)
    turn = send()
    with InBackground(turn):
        time.sleep(0.4)
        assert Turn.objects.get(pk=turn.pk).state == TurnState.STREAMING
        Deployment.objects.filter(pk=ready.pk).update(health=Health.READY, port=ready.port)
    assert turn.state == TurnState.DONE


@pytest.mark.parametrize(
    ("change", "words"),
    [({"wanted": Wanted.STOPPED}, "is stopped"), ({"health": Health.FAILED}, "could not be started")],
)
def test_hopeless_deployment_is_told_at_once(send: Send, ready: Deployment, change: dict[str, str], words: str) -> None:
    turn = send()
    Deployment.objects.filter(pk=ready.pk).update(**change)
    assert answered(turn).state == TurnState.FAILED
    assert words in turn.error["message"]


def test_refusal_of_the_engine_is_told(send: Send) -> None:
    turn = answered(send(plan(error={"message": "no tools here", "code": "unsupported"})))
    assert turn.state == TurnState.FAILED
    assert turn.error["message"] == "“shop-1” could not answer (no tools here); try again or choose another model."
    shown = queries.error_data(turn.error)
    assert shown is not None
    assert "no tools here" not in shown["sentence"]
    assert shown["technical"] == "no tools here"


def test_long_conversation_forgets_its_beginning(send: Send, double: Double) -> None:
    for text in ("one", "two", "three"):
        answered(send(text))
    turn = answered(send(plan(count=2, longest=3)))
    assert (turn.state, turn.content) == (TurnState.DONE, "0 1 ")
    assert [message["content"] for message in double.requests[-1]["messages"]] == ["three", "0 1 2 ", plan(count=2, longest=3)]
    assert turn.usage["forgotten_messages"] == 4


def test_turn_of_a_dead_worker_goes_on_where_it_was(send: Send, called: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The row has less than the stream; the next worker takes up both, and the text is whole."""
    monkeypatch.setattr(leases, "call_worker", called.append)
    turn = send(plan(count=20))
    dead = f"{processes.host()}:999999:1.0"
    later = timezone.now() + timedelta(seconds=60)
    Turn.objects.filter(pk=turn.pk).update(
        state=TurnState.STREAMING, attempt=1, content="0 1 2 ", lease_owner=dead, lease_expires_at=later
    )

    async def streamed() -> None:
        writer = turn_stream.TurnWriter(redis_client(), turn.pk)
        await writer.text(0, "0 1 ")
        await writer.text(4, "2 3 4 ")

    in_loop(streamed())
    leases.return_lost_turns()
    turn.refresh_from_db()
    assert (turn.state, called[-1]) == (TurnState.QUEUED, turn.pk)
    assert answered(turn).content == counted(20)
    assert turn.attempt == 2
    assert in_loop(entries(turn.pk))[2].start == len("0 1 2 3 4 ")


def test_turn_of_a_living_worker_is_left_to_it(send: Send) -> None:
    turn = send()
    leases.claim(turn.pk)
    leases.return_lost_turns()
    turn.refresh_from_db()
    assert turn.state == TurnState.STREAMING
    assert leases.claim(turn.pk) is None


def test_turn_lost_again_and_again_is_given_up(send: Send) -> None:
    turn = send()
    past = timezone.now() - timedelta(seconds=1)
    Turn.objects.filter(pk=turn.pk).update(
        state=TurnState.STREAMING, attempt=leases.MAXIMUM_ATTEMPTS, lease_owner="x:1:1", lease_expires_at=past
    )
    leases.return_lost_turns()
    turn.refresh_from_db()
    assert (turn.state, turn.error["code"]) == (TurnState.FAILED, "chat.lost_too_often")


def test_waiting_turn_calls_a_worker_again_when_the_call_was_lost(
    send: Send, called: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "call_worker", called.append)
    turn = send()
    leases.return_lost_turns()
    assert called == [turn.pk]
    Turn.objects.filter(pk=turn.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    leases.return_lost_turns()
    leases.return_lost_turns()
    assert called == [turn.pk, turn.pk]


def test_restart_of_redis_in_the_middle_loses_nothing(send: Send, redis: RedisServer) -> None:
    turn = send(plan(count=120, delay=0.02))
    with InBackground(turn):
        wait_until(lambda: saved(turn))
        redis.kill()
        time.sleep(0.3)
        redis.start()
    assert (turn.state, turn.content) == (TurnState.DONE, counted(120))
    streamed = in_loop(entries(turn.pk))
    assert streamed[-1].ended
    begin = streamed[0].start
    assert "".join(entry.text for entry in streamed) == turn.content[begin:]


def test_answer_ends_without_redis_too(send: Send, redis: RedisServer) -> None:
    redis.kill()
    turn = answered(send(plan(count=10)))
    assert (turn.state, turn.content) == (TurnState.DONE, counted(10))


def test_answer_whose_conversation_is_deleted_ends_quietly(send: Send, alice: User, double: Double) -> None:
    turn = send(plan(count=400, delay=0.02))
    turn_id = turn.pk
    worker = InBackground(turn)
    worker.thread.start()
    wait_until(lambda: saved(turn))
    services.delete_conversation(user=alice, conversation_id=turn.conversation_id)
    worker.thread.join(60)
    assert not worker.thread.is_alive()
    assert not Turn.objects.filter(pk=turn_id).exists()
    wait_until(lambda: double.abandoned == 1)


def test_many_turns_run_at_once(send: Send, alice: User, conversation: Any) -> None:
    first = answered(send(plan(count=50, delay=0.01)))
    turns = []
    for _ in range(8):
        other = services.create_conversation(user=alice, workspace=conversation.workspace.slug)
        turns.append(services.send_message(user=alice, conversation_id=other.pk, content=plan(count=50, delay=0.01))[1])
    workers = [InBackground(turn) for turn in turns]
    for worker in workers:
        worker.thread.start()
    for worker in workers:
        worker.thread.join(60)
    assert {saved(turn) for turn in turns} == {first.content}


def test_only_the_holder_hears_of_a_conversation(send: Send, alice: User, bob: User, conversation: Any) -> None:
    assert may_listen(alice, f"conversation.{conversation.pk}")
    assert not may_listen(bob, f"conversation.{conversation.pk}")
    assert may_listen(bob, f"chats.{bob.pk}")
    assert not may_listen(bob, f"chats.{alice.pk}")


@pytest.mark.parametrize("usage", [{"prompt_tokens": None, "completion_tokens": None}, {"completion_tokens": "many"}])
def test_odd_usage_of_an_endpoint_does_not_spoil_its_answer(send: Send, usage: Any) -> None:
    turn = answered(send(plan(count=5, usage=usage, last_choices=[None])))
    assert (turn.state, turn.content, turn.error) == (TurnState.DONE, counted(5), {})
    assert (turn.usage["completion_tokens"], turn.usage["prompt_tokens"]) == (5, 0)
