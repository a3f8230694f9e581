"""What the stand-in remembers: uploads, label tasks, a conversation whose answers stream, and open sockets."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

ANSWER = (
    "You can return a book within **30 days**. 请保留小票 😀\n\n"
    "| Case | Days |\n|---|---|\n| Damaged | 60 |\n| Changed your mind | 30 |\n\n"
    "```python\ndef refund(order):\n    return order.total if order.days <= 30 else 0\n```\n\n"
    '<img src="x" onerror="window.hacked = 1"> <script>window.hacked = 2</script> [bad](javascript:window.hacked=3)\n\n'
    + "Each parcel is checked at the counter before the money goes back. "
    * 12
)
world: dict[str, Any] = {}
connections: list["Connection"] = []
tasks_running: set[asyncio.Task[None]] = set()


def reset() -> None:
    world.clear()
    world.update(
        refuse_sockets=False,
        fetches=0,
        news={},
        fail_next=[],
        uploads={},
        calls=[],
        counter=0,
        turns={},
        leaf=None,
        next_turn=1,
        speed=0.004,
        done={},
        drafts={},
        current=0,
        skipped=[],
        skipped_from=[],
        figures=0,
        records=None,
        task_extra={},
        draft_for_all=None,
        refuse_project=None,
        project=None,
    )


@dataclass
class Connection:
    path: str
    queue: asyncio.Queue[dict[str, Any] | None]
    topics: set[str] = field(default_factory=set)
    turns: set[int] = field(default_factory=set)

    def heard(self, message: dict[str, Any]) -> None:
        world["calls"].append(["socket", message])
        if message["type"] == "subscribe" and "topic" in message:
            self.topics.add(message["topic"])
            self.queue.put_nowait({"subscribed": message["topic"]})
            if time.monotonic() - world["news"].get(message["topic"], 0) <= message["age"] / 1000:
                self.queue.put_nowait({"topic": message["topic"], "payload": {"resumed": True}})
        elif message["type"] == "unsubscribe":
            self.topics.discard(message["topic"])
        elif message["type"] == "subscribe":
            self.catch_up(message["turn"], message["after"])

    def catch_up(self, turn_id: int, after: int) -> None:
        """What the reader lacks of a streaming answer, from a character offset on (code points)."""
        turn = world["turns"][turn_id]
        self.turns.add(turn_id)
        if turn["content"][after:]:
            self.queue.put_nowait({"type": "delta", "turn": turn_id, "start": after, "text": turn["content"][after:]})
        if turn["state"] != "streaming":
            self.queue.put_nowait({"type": "end", "turn": turn})


def publish(topic: str, payload: dict[str, Any]) -> None:
    world["news"][topic] = time.monotonic()
    for connection in connections:
        if topic in connection.topics:
            connection.queue.put_nowait({"topic": topic, "payload": payload})


def say(message: dict[str, Any]) -> None:
    for connection in connections:
        if connection.path.startswith("/ws/chat/"):
            connection.queue.put_nowait(message)


def drop_sockets() -> None:
    for connection in connections:
        connection.queue.put_nowait(None)


def new_turn(role: str, content: str, parent: int | None, **more: Any) -> dict[str, Any]:
    turn = {"id": world["next_turn"], "parent": parent, "role": role, "content": content, "state": "done", **more}
    world["next_turn"] += 1
    world["turns"][turn["id"]] = turn
    world["leaf"] = turn["id"]
    return turn


def start_answer(parent: int) -> dict[str, Any]:
    turn = new_turn("assistant", "", parent, model_name="starter-sft", usage={}, feedback=None)
    turn["state"] = "streaming"
    task = asyncio.get_running_loop().create_task(stream(turn))
    tasks_running.add(task)
    task.add_done_callback(tasks_running.discard)
    return turn


async def stream(turn: dict[str, Any]) -> None:
    """Five characters at a time, as an engine would."""
    say({"type": "turn", "turn": {**turn}})
    for start in range(0, len(ANSWER), 5):
        await asyncio.sleep(world["speed"])
        if turn["state"] != "streaming":
            return
        piece = ANSWER[start : start + 5]
        turn["content"] += piece
        say({"type": "delta", "turn": turn["id"], "start": start, "text": piece})
    finish(turn, "done")


def finish(turn: dict[str, Any], ending: str) -> None:
    turn["state"] = ending
    turn["usage"] = {"prompt_tokens": 42, "completion_tokens": 180, "ttft_ms": 120, "tokens_per_second": 86.4, "total_ms": 2200}
    say({"type": "end", "turn": {**turn}})


reset()
