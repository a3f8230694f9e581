"""The server's side of an engine that steps elsewhere: queues on the event loop, and one thread that reads tokens."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from typing import Any

from workers.engine.engines.base import (
    Engine,
    EngineError,
    EngineMetrics,
    EngineOverloaded,
    EngineStopping,
    Sampling,
    Scores,
    TokenEvent,
)
from workers.engine.engines.stepper import Facts, Load, Request, Stepper, StepperLoop

WAITING_PER_RUNNING = 4
"""How many requests may wait for each that may run; beyond that the caller is told to come back later."""


@dataclass(eq=False)
class _Mailbox:
    """Where the outcomes of one request arrive, on the event loop that asked."""

    home: asyncio.AbstractEventLoop
    outcomes: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)


class SteppedEngine(Engine):
    """Talks to a StepperLoop over `connection`; `end` stops whatever runs it and returns when it has ended."""

    def __init__(self, connection: Connection, facts: Facts, max_concurrent: int, end: Callable[[], None]) -> None:
        self.name, self.weights, self.context_length = facts.name, facts.weights, facts.context_length
        self.streams_alternatives, self.supports_grammar = facts.streams_alternatives, facts.supports_grammar
        self._connection = connection
        self._max_concurrent = max_concurrent
        self._end = end
        self._numbers = itertools.count(1)
        self._mailboxes: dict[int, _Mailbox] = {}
        self._running: set[int] = set()
        self._load = Load()
        self._closing = False
        self._reader = threading.Thread(target=self._read, name="engine reader", daemon=True)
        self._reader.start()

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncIterator[TokenEvent]:
        if len(self._running) >= self._max_concurrent * (1 + WAITING_PER_RUNNING):
            raise EngineOverloaded("Too many requests wait for this model; try again in a moment.")
        if sampling.grammar is not None:
            await self._ask("prepare", sampling)
        number, mailbox = self._open()
        self._running.add(number)
        try:
            self._send(("admit", Request(number, list(prompt), sampling)))
            while True:
                event = await mailbox.outcomes.get()
                if isinstance(event, EngineError):
                    raise event
                yield event
                if event.finish_reason is not None:
                    return
        finally:
            self._running.discard(number)
            if self._mailboxes.pop(number, None) is not None and not self._closing:
                self._send(("drop", number))

    async def score(self, tokens: Sequence[int], top: int = 0) -> Scores:
        scores: Scores = await self._ask("score", list(tokens), top)
        return scores

    async def _ask(self, command: str, *arguments: Any) -> Any:
        number, mailbox = self._open()
        try:
            self._send((command, number, *arguments))
            outcome = await mailbox.outcomes.get()
        finally:
            self._mailboxes.pop(number, None)
        if isinstance(outcome, EngineError):
            raise outcome
        return outcome

    def _open(self) -> tuple[int, _Mailbox]:
        if self._closing or self.failure:
            raise EngineStopping(self.failure or "The model is being stopped; try again in a moment.")
        number, mailbox = next(self._numbers), _Mailbox(asyncio.get_running_loop())
        self._mailboxes[number] = mailbox
        return number, mailbox

    def _send(self, command: tuple[Any, ...]) -> None:
        try:
            self._connection.send(command)
        except OSError:
            if not self._closing:
                self._fail()

    def metrics(self) -> EngineMetrics:
        running = min(len(self._running), self._max_concurrent)
        waiting = len(self._running) - running
        usage = self._load.kv_cache_usage if running else 0.0
        return EngineMetrics(running, waiting, usage, self._load.kv_cache_bytes)

    async def close(self) -> None:
        self._closing = True
        await asyncio.to_thread(self._end)
        await asyncio.to_thread(self._reader.join)
        self._connection.close()

    # On the reader's thread

    def _read(self) -> None:
        try:
            while True:
                outcomes, self._load = self._connection.recv()
                self._deliver(outcomes)
        except (EOFError, OSError):
            self._fail()

    def _fail(self) -> None:
        if not self._closing:
            self.failure = "The engine's process ended unexpectedly."
        stopping = EngineStopping(self.failure or "The model is being stopped.")
        self._deliver([(number, stopping) for number in list(self._mailboxes)])

    def _deliver(self, outcomes: list[tuple[int, Any]]) -> None:
        by_home: dict[asyncio.AbstractEventLoop, list[tuple[_Mailbox, Any]]] = {}
        for number, outcome in outcomes:
            mailbox = self._mailboxes.get(number)
            if mailbox is None:
                continue  # cancelled meanwhile
            if isinstance(outcome, TokenEvent) and outcome.finish_reason is not None:
                self._mailboxes.pop(number, None)
            by_home.setdefault(mailbox.home, []).append((mailbox, outcome))
        for home, batch in by_home.items():
            if not home.is_closed():
                home.call_soon_threadsafe(_hand_over, batch)


def _hand_over(batch: list[tuple[_Mailbox, Any]]) -> None:
    for mailbox, outcome in batch:
        mailbox.outcomes.put_nowait(outcome)


def run_in_thread(stepper: Stepper, max_concurrent: int) -> SteppedEngine:
    """The engine in this very process: for comparisons, and where a process of its own is not worth its start."""
    ours, theirs = Pipe()
    thread = threading.Thread(target=StepperLoop(theirs, stepper).run, name="engine steps", daemon=True)
    thread.start()

    def end() -> None:
        # The loop sees the end of the connection, then closes its own end, which ends our reader.
        ours.send(("close",))
        thread.join()
        theirs.close()

    return SteppedEngine(ours, stepper.facts, max_concurrent, end)
