"""LMDeploy on NVIDIA GPUs: its server runs as a child from its own virtual environment, on the loopback.

It is fed token ids over /generate and gives token ids back, so that templates, stop strings and tool calls stay ours
and are the same as in training.
"""

import asyncio
import contextlib
import ctypes
import json
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from workers.engine.checkpoint import Checkpoint
from workers.engine.engines.base import (
    Engine,
    EngineError,
    EngineMetrics,
    EngineOverloaded,
    EngineStopping,
    Sampling,
    Scores,
    TokenEvent,
    UnsupportedOption,
)
from workers.engine.engines.stepped import WAITING_PER_RUNNING
from workers.engine.merged import merged_folder
from workers.spec.errors import UserError
from workers.spec.serve import EngineRun

START_SECONDS = 900
"""Large models take minutes to load and to compile their kernels."""
PR_SET_PDEATHSIG = 1


def start_lmdeploy(run: EngineRun, checkpoint: Checkpoint, python: Path, *, context_length: int) -> "LMDeployEngine":
    """Start the child and wait until it answers."""
    if run.spec.weights not in ("auto", "f16"):
        raise UserError(
            "engine.lmdeploy_weights",
            "LMDeploy serves the weights as the model folder has them; choose the weight format auto.",
        )
    folder = merged_folder(checkpoint, Path(run.cache_dir))
    port, key = free_port(), secrets.token_urlsafe(32)
    command = [
        *(str(python), "-m", "lmdeploy", "serve", "api_server", str(folder)),
        *("--server-name", "127.0.0.1", "--server-port", str(port), "--model-name", run.served_name),
        *("--session-len", str(context_length), "--max-batch-size", str(run.spec.max_concurrent)),
        *("--api-keys", key, "--enable-prefix-caching", "--log-level", "WARNING"),
    ]
    child = subprocess.Popen(command, preexec_fn=_die_with_parent)  # noqa: PLW1509  (no other thread runs yet)
    with contextlib.ExitStack() as undo:
        undo.callback(stop, child)
        wait_until_ready(child, f"http://127.0.0.1:{port}")
        undo.pop_all()
    return LMDeployEngine(
        child,
        f"http://127.0.0.1:{port}",
        key,
        weights=str(checkpoint.config.get("dtype") or checkpoint.config.get("torch_dtype") or "auto"),
        context_length=context_length,
        max_concurrent=run.spec.max_concurrent,
    )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(child: "subprocess.Popen[bytes]", address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise UserError(
                "engine.lmdeploy_ended",
                "LMDeploy ended with code {code} before it was ready; its log above says why.",
                code=child.returncode,
            )
        try:
            if httpx.get(f"{address}/health", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise UserError("engine.lmdeploy_slow", "LMDeploy was not ready after {seconds} seconds.", seconds=START_SECONDS)


def stop(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(20)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


class LMDeployEngine(Engine):
    name = "lmdeploy"

    def __init__(
        self,
        child: "subprocess.Popen[bytes]",
        address: str,
        key: str,
        *,
        weights: str,
        context_length: int,
        max_concurrent: int,
    ) -> None:
        self.weights = weights
        self.context_length = context_length
        self._child = child
        self._max_concurrent = max_concurrent
        self._live = 0
        self._client = httpx.AsyncClient(
            base_url=address,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(None, connect=10),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,
        )

    @property
    def failure(self) -> str | None:  # type: ignore[override]
        code = self._child.poll()
        return None if code is None else f"LMDeploy ended with code {code}."

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncIterator[TokenEvent]:
        body = request_body(prompt, sampling)
        if self._live >= self._max_concurrent * (1 + WAITING_PER_RUNNING):
            raise EngineOverloaded("Too many requests wait for this model; try again in a moment.")
        self._live += 1
        try:
            # Leaving the block closes the connection, on which LMDeploy ends the request.
            async with self._client.stream("POST", "/generate", json=body) as response:
                if response.status_code != 200:
                    detail = (await response.aread()).decode(errors="replace")[:300]
                    raise EngineError(f"LMDeploy refused the request ({response.status_code}): {detail}")
                counted = 0
                async for line in response.aiter_lines():
                    if line.startswith("data: {"):
                        event, counted = read_event(json.loads(line[6:]), sampling, counted)
                        yield event
                        if event.finish_reason is not None:
                            return
            raise EngineError("LMDeploy ended its answer without a reason.")
        except httpx.TransportError as error:
            raise EngineStopping(f"LMDeploy does not answer: {error}") from error
        finally:
            self._live -= 1

    async def score(self, tokens: Sequence[int], top: int = 0) -> Scores:
        raise UnsupportedOption("echo", "LMDeploy gives no log-probabilities of a prompt; use another engine to score texts.")

    def metrics(self) -> EngineMetrics:
        running = min(self._live, self._max_concurrent)
        return EngineMetrics(running=running, waiting=self._live - running, kv_cache_usage=0.0, kv_cache_bytes=0)

    async def close(self) -> None:
        await self._client.aclose()
        await asyncio.to_thread(stop, self._child)


def request_body(prompt: Sequence[int], sampling: Sampling) -> dict[str, Any]:
    if sampling.presence_penalty or sampling.frequency_penalty:
        option = "presence_penalty" if sampling.presence_penalty else "frequency_penalty"
        raise UnsupportedOption(option, f"LMDeploy has no {option}; use repetition_penalty.")
    if sampling.seed is not None and not sampling.greedy:
        raise UnsupportedOption("seed", "LMDeploy takes no seed here; use temperature 0 for a repeatable answer.")
    return {
        "input_ids": list(prompt),
        "stream": True,
        "max_tokens": sampling.max_tokens,
        "temperature": 1.0 if sampling.greedy else sampling.temperature,
        "top_k": 1 if sampling.greedy else sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "ignore_eos": not sampling.stop_token_ids,
        "stop_token_ids": sorted(sampling.stop_token_ids),
        "return_logprob": sampling.logprobs,
        "skip_special_tokens": False,
    }


def read_event(chunk: dict[str, Any], sampling: Sampling, counted: int) -> tuple[TokenEvent, int]:
    """One chunk as an event, and how many tokens LMDeploy has counted so far (a hidden stop token among them)."""
    if "error" in chunk:
        raise EngineError(f"LMDeploy failed: {str(chunk['error'])[:300]}")
    meta = chunk["meta_info"]
    tokens = list(chunk["output_ids"] or [])
    if tokens and tokens[-1] in sampling.stop_token_ids:
        tokens.pop()
    logprobs = [entry[0] for entry in meta.get("output_token_logprobs") or []][: len(tokens)]
    total = max(int(meta.get("completion_tokens") or 0), counted + len(tokens))
    event = TokenEvent(tokens, logprobs, counted=total - counted)
    reason = (meta.get("finish_reason") or {}).get("type")
    if reason is not None:
        if reason not in ("stop", "length"):
            raise EngineError(f"LMDeploy ended the answer: {reason}")
        event.finish_reason = reason
    return event, total
