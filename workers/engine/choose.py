"""Which engine serves a model on this machine, and what happens when it cannot."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from workers.engine.checkpoint import Checkpoint
from workers.engine.engines.base import Engine
from workers.engine.engines.child import LoadFailed, Recipe, start_child
from workers.spec.errors import UserError
from workers.spec.serve import EngineRun


@dataclass
class Loaded:
    """A started engine. `fallback` says in one sentence why it is not the first choice; None when it is."""

    engine: Engine
    fallback: str | None = None


def load_engine(run: EngineRun) -> Loaded:
    """Load the model into the engine that the spec names, or into the best that works here."""
    if run.spec.engine == "lmdeploy":
        return Loaded(_lmdeploy(run))
    if run.spec.engine == "auto":
        return _automatic(run)
    try:
        return Loaded(start_child(recipe_of(run, run.spec.engine)))
    except LoadFailed as error:
        raise UserError(
            "engine.cannot_load",
            "The engine {engine} cannot load this model: {detail}. Choose the engine auto or another model.",
            engine=run.spec.engine,
            detail=str(error),
        ) from error


def _automatic(run: EngineRun) -> Loaded:
    fallback = None
    if has_nvidia_gpu() and lmdeploy_python() is not None:
        try:
            return Loaded(_lmdeploy(run))
        except UserError as error:
            fallback = error.message
    try:
        return Loaded(start_child(recipe_of(run, "openvino")), fallback)
    except LoadFailed as error:
        fallback = f"OpenVINO cannot load this model ({error}), so transformers serves it."
    try:
        return Loaded(start_child(recipe_of(run, "transformers")), fallback)
    except LoadFailed as error:
        raise UserError("engine.none_loads", "No engine here can load this model: {detail}.", detail=str(error)) from error


def threads(run: EngineRun) -> int:
    return run.spec.threads or max(1, len(os.sched_getaffinity(0)) - 1)


def recipe_of(run: EngineRun, engine: str) -> Recipe:
    return Recipe(
        engine=engine,
        model_path=Path(run.model_path),
        adapter_path=Path(run.adapter_path) if run.adapter_path else None,
        cache_dir=Path(run.cache_dir),
        weights=run.spec.weights,
        context_length=run.spec.context_length,
        max_concurrent=run.spec.max_concurrent,
        kv_cache_mb=run.spec.kv_cache_mb,
        threads=threads(run),
    )


def _lmdeploy(run: EngineRun) -> Engine:
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
    checkpoint = Checkpoint(Path(run.model_path), Path(run.adapter_path) if run.adapter_path else None)
    context_length = min(run.spec.context_length or checkpoint.context_length, checkpoint.context_length)
    return start_lmdeploy(run, checkpoint, python, context_length=context_length)


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
