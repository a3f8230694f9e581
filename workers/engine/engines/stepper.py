"""The computing side of an engine: one loop that owns a model and computes one step for all requests at a time.

It runs in a process of its own (`child`), for OpenVINO holds Python's lock while it computes: in the server's process
every HTTP write would wait for a step. Commands come in over a connection; the tokens of a step go back in one message.
"""

import abc
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from workers.engine.engines.base import EngineError, RequestRefused, Sampling, Scores, TokenEvent

Outcome = TokenEvent | EngineError


@dataclass(eq=False)
class Request:
    """One sequence on its way through the engine."""

    id: int
    prompt: list[int]
    sampling: Sampling


@dataclass(frozen=True)
class Facts:
    """What a loaded engine tells about itself, once."""

    name: str
    weights: str
    context_length: int
    streams_alternatives: bool
    supports_grammar: bool


@dataclass(frozen=True)
class Load:
    """How full the KV cache is (share, bytes)."""

    kv_cache_usage: float = 0.0
    kv_cache_bytes: int = 0


class Stepper(abc.ABC):
    """One loaded model. All but `score` and `prepare` are called by the loop's thread alone."""

    name: str
    weights: str
    context_length: int
    vocabulary_size: int
    streams_alternatives = False
    supports_grammar = False
    scores_beside_steps = False
    """Whether `score` may run while a step does; otherwise it runs between two."""

    @abc.abstractmethod
    def admit(self, request: Request) -> None: ...

    @abc.abstractmethod
    def drop(self, request: Request) -> None:
        """Forget a request that was cancelled, and free what it holds."""

    @abc.abstractmethod
    def step(self) -> list[tuple[Request, Outcome]]:
        """Compute the next tokens of whatever is admitted."""

    @abc.abstractmethod
    def has_work(self) -> bool: ...

    @abc.abstractmethod
    def score(self, tokens: list[int], top: int) -> Scores: ...

    @abc.abstractmethod
    def load(self) -> Load: ...

    def prepare(self, sampling: Sampling) -> None:
        """Refuse settings that would hurt others, before a request is admitted. May take a while; runs beside steps."""
        return

    def check_vocabulary(self, tokens: list[int]) -> None:
        if max(tokens) >= self.vocabulary_size or min(tokens) < 0:
            raise RequestRefused("The prompt holds a token id outside the model's vocabulary.")

    @property
    def facts(self) -> Facts:
        return Facts(self.name, self.weights, self.context_length, self.streams_alternatives, self.supports_grammar)


class StepperLoop:
    """Serves one stepper over one connection until the other end closes it."""

    def __init__(self, connection: Connection, stepper: Stepper) -> None:
        self._connection = connection
        self._stepper = stepper
        self._requests: dict[int, Request] = {}
        self._beside = ThreadPoolExecutor(2, thread_name_prefix="beside")
        self._sending = threading.Lock()

    def run(self) -> None:
        try:
            while True:
                busy = self._stepper.has_work()
                while self._connection.poll(0 if busy else None):
                    self._obey(self._connection.recv())
                    busy = self._stepper.has_work()
                if busy:
                    self._step()
        except (EOFError, OSError):
            return  # the server has gone, or closes us
        finally:
            self._beside.shutdown(wait=False, cancel_futures=True)

    def _step(self) -> None:
        outcomes = self._stepper.step()
        for request, outcome in outcomes:
            if isinstance(outcome, EngineError) or outcome.finish_reason is not None:
                self._requests.pop(request.id, None)
        if outcomes:
            self._send([(request.id, outcome) for request, outcome in outcomes])

    def _send(self, outcomes: list[tuple[int, Any]]) -> None:
        with self._sending:
            self._connection.send((outcomes, self._stepper.load()))

    def _obey(self, command: tuple[Any, ...]) -> None:
        match command:
            case ("admit", Request() as request):
                self._attempt(request.id, lambda: self._admit(request))
            case ("drop", int() as number):
                request = self._requests.pop(number, None)
                if request is not None:
                    self._stepper.drop(request)
                self._send([])
            case ("close",):
                raise EOFError
            case ("prepare", int() as number, Sampling() as sampling):
                self._beside.submit(self._attempt, number, lambda: self._reply(number, self._stepper.prepare(sampling)))
            case ("score", int() as number, list() as tokens, int() as top):
                run = self._beside.submit if self._stepper.scores_beside_steps else _now
                run(self._attempt, number, lambda: self._reply(number, self._score(tokens, top)))

    def _admit(self, request: Request) -> None:
        self._stepper.check_vocabulary(request.prompt)
        self._stepper.admit(request)
        self._requests[request.id] = request

    def _score(self, tokens: list[int], top: int) -> Scores:
        self._stepper.check_vocabulary(tokens)
        return self._stepper.score(tokens, top)

    def _reply(self, number: int, result: Any) -> None:
        self._send([(number, result)])

    def _attempt(self, number: int, action: Any) -> None:
        """Run `action`; what goes wrong is told to the request alone."""
        try:
            action()
        except EngineError as error:
            self._send([(number, error)])
        except OSError:
            return  # nobody listens any more
        except Exception as error:  # noqa: BLE001  (one odd request must not stop the others)
            traceback.print_exc()
            self._send([(number, RequestRefused(f"The engine refused the request: {first_line(error)}"))])


def _now(function: Any, *arguments: Any) -> None:
    function(*arguments)


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]
