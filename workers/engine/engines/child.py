"""The process that computes: `python -m workers.engine.engines FD`, started by `start_child` and by nobody else.

It reads its recipe from the connection, loads the model, says that it is ready (or why not), and steps until the
server's end closes. A native crash ends this process alone; the server sees it and can turn to another engine.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from workers.engine.checkpoint import Checkpoint
from workers.engine.engines.stepped import SteppedEngine
from workers.engine.engines.stepper import Facts, Stepper, StepperLoop, first_line
from workers.spec.errors import UserError
from workers.spec.serve import WeightFormat

PR_SET_PDEATHSIG = 1
NICENESS = 5
"""Computing gives way to whatever passes its tokens on: the engine's server, the worker, the web."""


@dataclass(frozen=True)
class Recipe:
    """All that a stepper is made from. `context_length` None: the model's own."""

    engine: str
    model_path: Path
    adapter_path: Path | None
    cache_dir: Path
    weights: WeightFormat
    context_length: int | None
    max_concurrent: int
    kv_cache_mb: int
    threads: int


class LoadFailed(Exception):
    """The engine cannot load this model, for a reason that another engine may not share."""


def make_stepper(recipe: Recipe) -> Stepper:
    checkpoint = Checkpoint(recipe.model_path, recipe.adapter_path)
    context_length = min(recipe.context_length or checkpoint.context_length, checkpoint.context_length)
    if recipe.engine == "transformers":
        from workers.engine.engines.transformers import TransformersStepper

        return TransformersStepper(
            checkpoint,
            context_length=context_length,
            max_concurrent=recipe.max_concurrent,
            kv_cache_mb=recipe.kv_cache_mb,
            threads=recipe.threads,
        )
    from workers.engine import gguf_export
    from workers.engine.engines.openvino import OpenVINOStepper

    try:
        weights = gguf_export.choose_format(checkpoint, recipe.weights)
        return OpenVINOStepper(
            gguf_export.export(checkpoint, weights, recipe.cache_dir),
            checkpoint,
            weights=weights,
            context_length=context_length,
            max_concurrent=recipe.max_concurrent,
            kv_cache_mb=recipe.kv_cache_mb,
            threads=recipe.threads,
        )
    except gguf_export.Unsupported as error:
        raise LoadFailed(str(error)) from error


def start_child(recipe: Recipe) -> SteppedEngine:
    """Start the process and wait until the model is loaded. Raises LoadFailed, or the UserError of a broken model."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-m", "workers.engine.engines", str(theirs.fileno())]
        child = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    connection = Connection(ours.detach())
    try:
        connection.send(recipe)
        told = connection.recv()
    except (EOFError, OSError):
        connection.close()
        raise LoadFailed(f"its process ended with code {child.wait()} while it loaded the model") from None
    if not isinstance(told, Facts):
        connection.close()
        child.wait()
        if isinstance(told, LoadFailed):
            raise told
        code, template, params = told
        raise UserError(code, template, **params)

    def end() -> None:
        with contextlib.suppress(OSError):  # it may have ended by itself
            connection.send(("close",))
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    engine = SteppedEngine(connection, told, recipe.max_concurrent, end)
    engine.pids = [child.pid]
    return engine


def main(descriptor: int) -> None:
    # The server decides when we end; its own end, however sudden, is ours.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    connection = Connection(descriptor)
    try:
        stepper = make_stepper(connection.recv())
    except UserError as error:
        connection.send((error.code, error.template, error.params))
        return
    except (EOFError, ConnectionError):
        return
    except LoadFailed as error:
        connection.send(error)
        return
    except Exception as error:  # noqa: BLE001  (the process boundary; the server tells the user)
        traceback.print_exc()
        connection.send(LoadFailed(first_line(error).rstrip(".")))
        return
    connection.send(stepper.facts)
    StepperLoop(connection, stepper).run()
    # Native threads may still be busy; nothing is left to save.
    sys.stdout.flush()
    os._exit(0)
