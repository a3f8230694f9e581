"""Answering turns: claim, generate, stream the text to the browser, keep it, end.

All turns of a worker process run in one event loop (see `threads`); the Celery task only waits. The text lives here first:
a stream that cannot be written (Redis restarts) is caught up later, and the row is saved every half second.
"""

import asyncio
import contextlib
import logging
import time

from django.db import DatabaseError
from redis.exceptions import RedisError

from webapp.chat import leases, turn_stream
from webapp.chat.generation import Generation, messages_of
from webapp.chat.models import Turn, TurnState
from webapp.chat.services import tell
from webapp.chat.threads import database, in_thread, loop
from webapp.core.errors import UserError
from webapp.serving import accounting
from webapp.serving.connections import redis_client

logger = logging.getLogger(__name__)
FRAMES_PER_SECOND = 30
FRAMES_AT_ONCE = 2
SAVE_SECONDS = 0.5
STOP_SECONDS = 0.08
REDIS_RETRY_SECONDS = 0.25
END_TRIES = 20


def answer(turn_id: int) -> None:
    """Answer a turn if it still waits; returns when the answer has ended."""
    turn = leases.claim(turn_id)
    if turn is not None:
        asyncio.run_coroutine_threadsafe(_answer(turn), loop()).result()


async def _answer(turn: Turn) -> None:
    async with database().kept_open():
        await Answer(turn).run()


class StopWatch:
    """Asks once per round, for all running turns of the process together, whether somebody wants them stopped."""

    def __init__(self) -> None:
        self._events: dict[int, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None

    def watch(self, turn_id: int) -> asyncio.Event:
        self._events[turn_id] = asyncio.Event()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look())
        return self._events[turn_id]

    def forget(self, turn_id: int) -> None:
        self._events.pop(turn_id, None)

    async def _look(self) -> None:
        while self._events:
            await asyncio.sleep(STOP_SECONDS)
            try:
                stopped = await in_thread(leases.stops_requested, list(self._events))
            except DatabaseError as error:
                logger.warning("nobody could be asked whether to stop: %s", error)
                continue
            for turn_id in stopped & self._events.keys():
                self._events[turn_id].set()


stop_watch = StopWatch()


class Answer:
    """One attempt at one turn."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.lost = asyncio.Event()
        self._sent = 0
        self._saved = ""
        self._news = asyncio.Event()
        self._save_now = asyncio.Event()
        self._closing = asyncio.Event()

    async def run(self) -> None:
        self._writer = turn_stream.TurnWriter(redis_client(), self.turn.pk)
        text = await self._text_so_far()
        self._sent = len(text) if self.turn.attempt > 1 else 0
        self._generation = Generation(self.turn, await in_thread(messages_of, self.turn), text)
        stop = stop_watch.watch(self.turn.pk)
        helpers = [asyncio.create_task(self._send()), asyncio.create_task(self._keep())]
        work = asyncio.create_task(self._generate())
        ends = [work, asyncio.create_task(stop.wait()), asyncio.create_task(self.lost.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop_watch.forget(self.turn.pk)
            await _cancelled(*[task for task in ends if not task.done()])
            await self._close(helpers)
        if not self.lost.is_set():
            await self._end(work)

    async def _text_so_far(self) -> str:
        """What earlier attempts wrote: the row, and beyond it the stream."""
        saved = self.turn.content
        if self.turn.attempt == 1:
            return saved
        try:
            return turn_stream.longest_text(saved, await turn_stream.read_all(redis_client(), self.turn.pk))
        except (RedisError, OSError):
            return saved

    async def _generate(self) -> None:
        async with contextlib.aclosing(self._generation.pieces()) as pieces:  # type: ignore[type-var]
            async for _ in pieces:
                self._news.set()

    async def _send(self) -> None:
        """To the stream: each piece at once while they come slower than frames may, else what gathered until the next frame.

        Frames are credits that grow back; a fixed pause after each would delay pieces that come just a little faster.
        """
        credit, at = float(FRAMES_AT_ONCE), time.monotonic()
        while not self._closing.is_set():
            await self._news.wait()
            self._news.clear()
            credit, at = _grown(credit, at), time.monotonic()
            if credit < 1:
                await self._gather((1 - credit) / FRAMES_PER_SECOND)
                credit, at = _grown(credit, at), time.monotonic()
            credit -= 1
            if not await self._write_stream():
                self._save_now.set()
                await self._pause(REDIS_RETRY_SECONDS)
                self._news.set()

    async def _gather(self, seconds: float) -> None:
        """Wait until there may be a frame, then for the next piece: a frame that goes with a piece holds all others for less
        time than one between two pieces, as frames and pieces come at rates of their own. An engine that pauses is not
        waited for longer than a frame.
        """
        await self._pause(seconds)
        if not self._closing.is_set():
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), 1 / FRAMES_PER_SECOND)
        self._news.clear()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    async def _close(self, helpers: "list[asyncio.Task[None]]") -> None:
        """Let the helpers end by themselves: a Redis client that connects swallows a cancellation."""
        self._closing.set()
        self._news.set()
        self._save_now.set()
        await asyncio.gather(*helpers, return_exceptions=True)

    async def _write_stream(self) -> bool:
        """Write what the stream lacks; False when Redis is away."""
        text = self._generation.text
        if len(text) == self._sent:
            return True
        try:
            await self._writer.text(self._sent, text[self._sent :])
        except (RedisError, OSError) as error:
            logger.info("the stream of turn %s waits: %s", self.turn.pk, error)
            return False
        self._sent = len(text)
        return True

    async def _keep(self) -> None:
        """To the row: the text every half second while it grows, and the lease in any case."""
        renewed_at = time.monotonic()
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._save_now.wait(), SAVE_SECONDS)
            self._save_now.clear()
            if self._closing.is_set():
                return
            text = self._generation.text
            now = time.monotonic()
            if text == self._saved and now - renewed_at < leases.LEASE.total_seconds() / 4:
                continue
            try:
                ours = await in_thread(leases.save, self.turn, content=text, usage=dict(self._generation.usage))
            except DatabaseError as error:
                logger.warning("turn %s could not be saved: %s", self.turn.pk, error)
                continue
            self._saved, renewed_at = text, now
            if not ours:
                self.lost.set()

    async def _end(self, work: "asyncio.Task[None]") -> None:
        state, error = _outcome(self.turn, work)
        generation = self._generation
        usage = {**generation.usage, "finish_reason": generation.finish_reason} if state == TurnState.DONE else generation.usage
        for number in range(END_TRIES):
            try:
                ended = await in_thread(leases.end, self.turn, state, content=generation.text, usage=usage, error=error)
                break
            except DatabaseError:
                logger.exception("turn %s could not be ended, try %s", self.turn.pk, number + 1)
                await asyncio.sleep(1)
        else:
            return
        if not ended:
            return
        if await self._write_stream():
            with contextlib.suppress(RedisError, OSError):
                await self._writer.end(len(generation.text))
        await in_thread(self._account, failed=state == TurnState.FAILED)

    def _account(self, *, failed: bool) -> None:
        tell(self.turn.conversation_id, self.turn.pk)
        if self.turn.deployment_id:
            usage = self._generation.usage
            counts = accounting.Counts(1, int(failed), usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))
            accounting.record(self.turn.deployment_id, None, counts)


def _grown(credit: float, since: float) -> float:
    """Credit for frames, with what has grown back since then."""
    return min(FRAMES_AT_ONCE, credit + (time.monotonic() - since) * FRAMES_PER_SECOND)


def _outcome(turn: Turn, work: "asyncio.Task[None]") -> tuple[str, UserError | None]:
    if work.cancelled():
        return TurnState.STOPPED, None
    error = work.exception()
    if error is None:
        return TurnState.DONE, None
    if isinstance(error, UserError):
        return TurnState.FAILED, error
    logger.error("turn %s failed", turn.pk, exc_info=error)
    detail = f"{type(error).__name__}: {error}"[:300]
    return TurnState.FAILED, UserError("chat.crashed", "The answer could not be written: {detail}", detail=detail)


async def _cancelled(*tasks: "asyncio.Task[object]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
