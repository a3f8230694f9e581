"""What every child program shares: its run file, numbered events, a stop flag set by SIGTERM, a result, and exit codes."""

import contextlib
import ctypes
import errno
import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from workers.politeness import give_way
from workers.spec.errors import UserError
from workers.spec.run import RunFile

PR_SET_PDEATHSIG = 1
EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
WANT_OF_MEMORY = ("out of memory", "allocate memory", "not enough memory", "std::bad_alloc")
EXIT_DISK_FULL = 74
"""The disk is so full that not even the error could be written (sysexits' EX_IOERR)."""
EXIT_STOPPED = 75
"""The program was told to stop, saved what it needs to go on, and can be resumed (sysexits' EX_TEMPFAIL)."""


class Stopped(Exception):
    """Raised by `Program.check_stop` after SIGTERM; the program saves its state and ends with EXIT_STOPPED."""


class EventLog:
    """Appends numbered JSON lines to `events.jsonl`; a line torn by a crash is cut off when the file is opened again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seq = self._mend()
        self._file = path.open("ab")

    def _mend(self) -> int:
        if not self.path.exists():
            return 0
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.path, whole)
        last = content[:whole].splitlines()[-1:]
        return int(json.loads(last[0])["seq"]) if last else 0

    def emit(self, type_: str, **fields: Any) -> None:
        """Write one event. Floats that JSON cannot say (NaN, infinity) become null."""
        self.seq += 1
        event = {"seq": self.seq, "t": round(time.time(), 3), "type": type_, **_finite(fields)}
        line = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        self._file.write(line.encode("utf-8", "replace") + b"\n")  # input may hold halves of characters
        self._file.flush()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


class Program:
    """The running program's hands: `run` (what was asked), events out, `should_stop` in."""

    def __init__(self, run: RunFile) -> None:
        self.run = run
        run.run_dir.mkdir(parents=True, exist_ok=True)
        run.output_dir.mkdir(parents=True, exist_ok=True)
        self.events = EventLog(run.run_dir / "events.jsonl")
        self.should_stop = False

    def phase(self, name: str) -> None:
        """Say what the program does now: `loading`, `tokenising`, `training`, `saving` …"""
        self.events.emit("phase", name=name)

    def progress(self, done: float, total: float, *, unit: str = "", eta_seconds: float | None = None) -> None:
        self.events.emit("progress", done=done, total=total, unit=unit, eta_seconds=eta_seconds)

    def metric(self, step: int, **values: float) -> None:
        """One point on each named curve, e.g. metric(10, loss=2.1, tokens_per_second=9000.0)."""
        self.events.emit("metric", step=step, values=values)

    def sample(self, name: str, **data: Any) -> None:
        """An example to look at: a generated answer, a record that was refused."""
        self.events.emit("sample", name=name, data=data)

    def artifact(self, name: str, path: Path, **details: Any) -> None:
        """A file or folder below `output_dir` that the product keeps."""
        self.events.emit("artifact", name=name, path=str(path.relative_to(self.run.output_dir)), **details)

    def check_stop(self) -> None:
        if self.should_stop:
            raise Stopped

    def _on_term(self, signum: int, frame: FrameType | None) -> None:
        self.should_stop = True


def write_json(path: Path, value: Any) -> None:
    """Write a small JSON file so that a crash leaves the old one or the new one, never half of one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(_finite(value), file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def die_with_parent() -> None:
    """On Linux: be killed when the supervising thread is gone, so that no program outlives its lease; and yield to the web."""
    parent = int(os.environ.get("SHUYUAN_PARENT", "0"))
    if parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(EXIT_FAILED)
    give_way(int(os.environ.get("SHUYUAN_NICE") or 0))


def main(body: Callable[[Program], Mapping[str, Any]], argv: list[str] | None = None) -> None:
    """Run `body(program)`; its return value becomes `result.json`. Ends the process with the right exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    die_with_parent()
    run = RunFile.model_validate_json(Path(arguments[0]).read_text(encoding="utf-8"))
    program = Program(run)
    signal.signal(signal.SIGTERM, program._on_term)
    try:
        result = dict(body(program))
        write_json(run.run_dir / "result.json", result)
        program.events.emit("result", result=result)
    except Stopped:
        program.events.emit("stopped")
        sys.exit(EXIT_STOPPED)
    except UserError as error:
        _end(program, error, EXIT_BAD_INPUT)
    except OSError as error:
        _fail(program, _system_error(error))
    except MemoryError:
        _fail(program, out_of_memory())
    except Exception as error:  # noqa: BLE001  (the process boundary: record what happened, then end)
        _fail(
            program,
            out_of_memory()
            if _is_want_of_memory(error)
            else UserError(
                "job.crashed",
                "The program stopped with {kind} ({detail}); its log says where. Press Retry to run it again.",
                kind=type(error).__name__,
                detail=str(error)[:300],
            ),
        )
    sys.exit(EXIT_DONE)


def out_of_memory() -> UserError:
    return UserError(
        "job.out_of_memory", "The machine has too little memory for this job; choose a smaller model or shorter texts."
    )


def _is_want_of_memory(error: Exception) -> bool:
    """Libraries tell it by the text of an exception of another kind."""
    said = str(error).lower()
    return type(error).__name__ == "OutOfMemoryError" or any(words in said for words in WANT_OF_MEMORY)


def _system_error(error: OSError) -> UserError:
    if error.errno == errno.ENOMEM:
        return out_of_memory()
    if error.errno == 28:
        return UserError("job.disk_full", "The disk is full; free some space and press Retry: the job goes on where it stopped.")
    return UserError(
        "job.system_error", "The system refused the program ({detail}); mend that, then press Retry.", detail=str(error)[:300]
    )


def _fail(program: Program, error: UserError) -> None:
    with contextlib.suppress(OSError):
        traceback.print_exc()
    _end(program, error, EXIT_FAILED)


def _end(program: Program, error: UserError, code: int) -> None:
    """Tell the error and end; on a full disk the exit code is all that can be told."""
    try:
        program.events.emit("error", **error.payload())
        print(error.message, flush=True)
    except OSError:
        os._exit(EXIT_DISK_FULL)  # at once: what waits in buffers cannot be written and would change the exit code
    sys.exit(code)
