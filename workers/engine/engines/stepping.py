"""The loop that engines in this process share: one thread owns the model and computes one step for all at a time.

Requests come in from asyncio through a mailbox; the tokens of a step go back in one hop to the event loop,
however many requests they belong to.
"""

import abc
import asyncio
import itertools
import threading
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from workers.engine.engines.base import (
    Engine,
    EngineError,
    EngineOverloaded,
    EngineStopping,
    RequestRefused,
    Sampling,
    TokenEvent,
)

Result = TypeVar("Result")
WAITING_PER_RUNNING = 4
"""How many requests may wait for each that may run; beyond that the caller is told to come back later."""


@dataclass(eq=False)
class Request:
    """One sequence on its way through the engine; `events` is read on the event loop `home`."""

    id: int
    prompt: list[int]
    sampling: Sampling
    home: asyncio.AbstractEventLoop
    events: asyncio.Queue[TokenEvent | EngineError] = field(default_factory=asyncio.Queue)
    cancelled: bool = False


class SteppingEngine(Engine):
    """Subclasses say how to admit, drop and step; all three run on the engine's own thread."""

    def __init__(self, max_concurrent: int) -> None:
        self.max_concurrent = max_concurrent
        self._ids = itertools.count(1)
        self._mailbox: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._live: dict[int, Request] = {}
        self._thread = threading.Thread(target=self._run, name=f"{type(self).__name__} steps", daemon=True)

    def start(self) -> None:
        self._thread.start()

    # What a subclass says

    @abc.abstractmethod
    def _admit(self, request: Request) -> None: ...

    @abc.abstractmethod
    def _drop(self, request: Request) -> None:
        """Forget a cancelled request and free what it holds."""

    @abc.abstractmethod
    def _step(self) -> list[tuple[Request, TokenEvent | EngineError]]:
        """Compute the next tokens of whatever is admitted."""

    @abc.abstractmethod
    def _has_work(self) -> bool: ...

    # What the server calls, on the event loop

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncIterator[TokenEvent]:
        request = self._submit(list(prompt), sampling)
        try:
            while True:
                event = await request.events.get()
                if isinstance(event, EngineError):
                    raise event
                yield event
                if event.finish_reason is not None:
                    return
        finally:
            self._cancel(request)

    def _submit(self, prompt: list[int], sampling: Sampling) -> Request:
        if self._closing:
            raise EngineStopping(self.failure or "The model is being stopped; try again in a moment.")
        if len(self._live) >= self.max_concurrent * (1 + WAITING_PER_RUNNING):
            raise EngineOverloaded("Too many requests wait for this model; try again in a moment.")
        request = Request(next(self._ids), prompt, sampling, asyncio.get_running_loop())
        self._live[request.id] = request
        self._post(lambda: self._admit_safely(request))
        return request

    def _cancel(self, request: Request) -> None:
        if self._live.pop(request.id, None) is not None:
            request.cancelled = True
            self._post(lambda: self._drop(request))

    async def _call(self, function: Callable[[], Result]) -> Result:
        """Run `function` on the engine's thread, between two steps."""
        future: Future[Result] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001  (goes to the caller, not to the loop)
                future.set_exception(error)

        self._post(run)
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    # The thread

    def _post(self, action: Callable[[], None]) -> None:
        with self._wake:
            self._mailbox.append(action)
            self._wake.notify()

    def _run(self) -> None:
        try:
            self._loop()
        except Exception as error:  # noqa: BLE001  (the thread's boundary: nobody may wait for tokens that never come)
            traceback.print_exc()
            self.failure = f"The engine failed: {first_line(error)}"
        self._closing = True
        message = self.failure or "The model is being stopped."
        self._deliver([(request, EngineStopping(message)) for request in list(self._live.values())])

    def _loop(self) -> None:
        while True:
            with self._wake:
                while not (self._mailbox or self._closing or self._has_work()):
                    self._wake.wait()
                if self._closing:
                    return
                actions = list(self._mailbox)
                self._mailbox.clear()
            for action in actions:
                action()
            if self._has_work():
                self._deliver(self._step())

    def _admit_safely(self, request: Request) -> None:
        if request.cancelled:
            return
        try:
            self._admit(request)
        except EngineError as error:
            self._deliver([(request, error)])
        except Exception as error:  # noqa: BLE001  (one odd request must not stop the others)
            traceback.print_exc()
            self._deliver([(request, RequestRefused(f"The engine refused the request: {first_line(error)}"))])

    def _deliver(self, results: Sequence[tuple[Request, TokenEvent | EngineError]]) -> None:
        by_home: dict[asyncio.AbstractEventLoop, list[Any]] = {}
        for request, event in results:
            if isinstance(event, EngineError) or event.finish_reason is not None:
                self._live.pop(request.id, None)
            by_home.setdefault(request.home, []).append((request, event))
        for home, batch in by_home.items():
            home.call_soon_threadsafe(_hand_over, batch)


def _hand_over(batch: list[tuple[Request, TokenEvent | EngineError]]) -> None:
    for request, event in batch:
        request.events.put_nowait(event)


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]
