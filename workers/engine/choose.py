"""Which engine serves a model on this machine, and what happens when it cannot."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from workers.engine import gguf_export
from workers.engine.checkpoint import Checkpoint
from workers.engine.engines.base import Engine
from workers.spec.errors import UserError
from workers.spec.serve import EngineRun


@dataclass
class Loaded:
    """A started engine. `fallback` says in one sentence why it is not the first choice; None when it is."""

    engine: Engine
    fallback: str | None = None


def load_engine(run: EngineRun) -> Loaded:
    """Load the model into the engine that the spec names, or into the best that works here."""
    checkpoint = Checkpoint(Path(run.model_path), Path(run.adapter_path) if run.adapter_path else None)
    match run.spec.engine:
        case "lmdeploy":
            return Loaded(_lmdeploy(run, checkpoint))
        case "transformers":
            return Loaded(_transformers(run, checkpoint))
        case "openvino":
            try:
                return Loaded(_openvino(run, checkpoint))
            except (gguf_export.Unsupported, RuntimeError) as error:
                raise UserError(
                    "engine.openvino_cannot_load",
                    "OpenVINO cannot load this model: {detail}. Choose the engine auto or transformers.",
                    detail=_reason(error),
                ) from error
    return _automatic(run, checkpoint)


def _automatic(run: EngineRun, checkpoint: Checkpoint) -> Loaded:
    fallback = None
    if has_nvidia_gpu() and lmdeploy_python() is not None:
        try:
            return Loaded(_lmdeploy(run, checkpoint))
        except UserError as error:
            fallback = error.message
    crashes = CrashCount(Path(run.cache_dir), checkpoint)
    if crashes.too_many():
        fallback = "OpenVINO crashed while it loaded this model, so transformers serves it."
    else:
        try:
            with crashes:
                return Loaded(_openvino(run, checkpoint), fallback)
        except (gguf_export.Unsupported, RuntimeError) as error:
            fallback = f"OpenVINO cannot load this model ({_reason(error)}), so transformers serves it."
    return Loaded(_transformers(run, checkpoint), fallback)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200].rstrip(".")


class CrashCount:
    """Counts loads that began and never ended, for a native crash leaves nothing else to learn from.

    One may have been a kill from outside; after two, OpenVINO is not tried again with these weights.
    """

    LIMIT = 2

    def __init__(self, cache_dir: Path, checkpoint: Checkpoint) -> None:
        self._path = cache_dir / "gguf" / f"crashes-{checkpoint.quick_key()}"

    def _count(self) -> int:
        return len(self._path.read_bytes()) if self._path.exists() else 0

    def too_many(self) -> bool:
        return self._count() >= self.LIMIT

    def __enter__(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(b".")

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)


def threads(run: EngineRun) -> int:
    return run.spec.threads or max(1, len(os.sched_getaffinity(0)) - 1)


def _context_length(run: EngineRun, checkpoint: Checkpoint) -> int:
    return min(run.spec.context_length or checkpoint.context_length, checkpoint.context_length)


def _openvino(run: EngineRun, checkpoint: Checkpoint) -> Engine:
    from workers.engine.engines.openvino import OpenVINOEngine

    weights = gguf_export.choose_format(checkpoint, run.spec.weights)
    engine = OpenVINOEngine(
        gguf_export.export(checkpoint, weights, Path(run.cache_dir)),
        checkpoint,
        weights=weights,
        context_length=_context_length(run, checkpoint),
        max_concurrent=run.spec.max_concurrent,
        kv_cache_mb=run.spec.kv_cache_mb,
        threads=threads(run),
    )
    engine.try_out()
    engine.start()
    return engine


def _transformers(run: EngineRun, checkpoint: Checkpoint) -> Engine:
    from workers.engine.engines.transformers import TransformersEngine

    engine = TransformersEngine(
        checkpoint,
        context_length=_context_length(run, checkpoint),
        max_concurrent=run.spec.max_concurrent,
        kv_cache_mb=run.spec.kv_cache_mb,
        threads=threads(run),
    )
    engine.start()
    return engine


def _lmdeploy(run: EngineRun, checkpoint: Checkpoint) -> Engine:
    from workers.engine.engines.lmdeploy import start_lmdeploy

    python = lmdeploy_python()
    if python is None:
        raise UserError(
            "engine.no_lmdeploy",
            "LMDeploy is not installed here; install requirements/lmdeploy.txt into .venv-lmdeploy (or set "
            "SHUYUAN_LMDEPLOY_PYTHON), or choose another engine.",
        )
    if not has_nvidia_gpu():
        raise UserError("engine.no_gpu", "LMDeploy needs an NVIDIA GPU, and this machine shows none; choose another engine.")
    return start_lmdeploy(run, checkpoint, python, context_length=_context_length(run, checkpoint))


def lmdeploy_python() -> Path | None:
    """The interpreter of LMDeploy's own virtual environment."""
    named = os.environ.get("SHUYUAN_LMDEPLOY_PYTHON")
    candidates = [Path(named)] if named else [Path(sys.prefix).parent / ".venv-lmdeploy" / "bin" / "python"]
    return next((path for path in candidates if os.access(path, os.X_OK)), None)


def has_nvidia_gpu() -> bool:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False, timeout=20)
    return listed.returncode == 0 and "GPU" in listed.stdout
