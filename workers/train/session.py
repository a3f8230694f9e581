"""What pre-training and fine-tuning do alike around the loop: device, checkpoints of this very run, and the result."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel

from workers.data.templates import ChatTemplate
from workers.data.token_identity import fingerprint
from workers.program import Program, write_json
from workers.spec.base import Spec
from workers.spec.errors import UserError
from workers.spec.run import RunFile
from workers.spec.train import Parallel
from workers.train import kernels
from workers.train.checkpoint import Checkpoint, CheckpointStore
from workers.train.figures import weights_of
from workers.train.fused import speed_up, speed_up_gates
from workers.train.inputs import datasets_of, recorded
from workers.train.liger import speed_up_on_gpu
from workers.train.loop import Loop
from workers.train.machine import describe
from workers.train.models import context_length
from workers.train.network import Network
from workers.train.offload import check_offload, keep_activations_on_host
from workers.train.output import folder_digest
from workers.train.recipe import must_offload, must_recompute
from workers.train.sequence import check_sequence
from workers.train.side_by_side import PASSES, SideBySide, pays
from workers.train.team import Team, gather, share_out

FINISHED = "finished.json"


class Session:
    """One run: begun at `began` (monotonic seconds), perhaps going on from a checkpoint."""

    def __init__(self, program: Program, spec: Any) -> None:
        self.program, self.spec = program, spec
        self.began = time.monotonic()
        self.team = Team(program.run.device)
        self.home = self.team.home(program.run.run_dir)
        self.digest = run_digest(program.run, spec)
        self.store = CheckpointStore(self.home / "checkpoints", digest=self.digest, keep=spec.saving.keep)
        torch.set_num_threads(max(program.run.threads, 1))
        self.device = self.team.device
        check_offload(spec.optimisation, self.device)
        if (parallel := getattr(spec, "parallel", None)) is not None:
            self.team.divide(parallel.sequence)
        self.checkpoint = self._find_checkpoint()

    def _find_checkpoint(self) -> Checkpoint | None:
        """The first process clears what an earlier attempt left, before any other looks."""
        goes_on = self.program.run.attempt > 1
        if self.team.first and goes_on:
            self.store.tidy()
        elif self.team.first:
            self.store.clear()
            shutil.rmtree(self.home / "best", ignore_errors=True)
            for name in (FINISHED, "pissa.safetensors"):
                (self.home / name).unlink(missing_ok=True)
        self.team.wait()
        return self.store.latest() if goes_on else None

    def finished(self) -> Mapping[str, Any] | None:
        """The result of an attempt that was killed after it had written everything."""
        path = self.home / FINISHED
        if not path.is_file():
            return None
        done = json.loads(path.read_text(encoding="utf-8"))
        return done["result"] if done["digest"] == self.digest else None

    def shape(self, network: Network, choices: dict[str, Any], longest: int) -> None:
        """Before the optimiser is made: recompute, compile and share out as the spec and the memory ask."""
        given = self.spec.optimisation
        longest = self._arrange(network, choices, longest)
        if "recompute" not in choices:
            asked = given.gradient_checkpointing
            choices["recompute"] = asked == "on" or (asked == "auto" and must_recompute(network.core, longest, self.device))
        if choices["recompute"]:
            network.recompute_activations()
        if self.device.type == "cpu":
            speed_up(network.core)
        kernels.switch_off()
        if given.compile == "on":
            kernels.choose_cache(self.home / "compiled")
        if given.compile == "on" and self.device.type == "cpu":
            if not (kernels.has_compiler() and kernels.switch_on()):
                raise UserError(
                    "train.no_compiler",
                    "To compile the model this machine needs a C++ compiler (g++); install one, or switch “compile” off.",
                )
            speed_up_gates(network.core)
        elif given.compile == "on":
            network.compile_feed_forward()
        elif self._may_run_side_by_side(network):
            network.side_by_side = SideBySide(self.program.run.threads)
        parallel = getattr(self.spec, "parallel", None)
        if parallel is not None and parallel.shard != "none" and self.team.size > 1:
            if given.optimizer != "adamw":
                raise UserError(
                    "train.optimizer_not_shared",
                    "Weights that are shared out among processes are learnt with adamw only; choose it, or “none” for sharing.",
                )
            share_out(network.core, parallel, self.team)

    def _may_run_side_by_side(self, network: Network) -> bool:
        """Not products in 32 bits, whose library has one number of threads for the whole process."""
        plain = self.device.type == "cpu" and self.team.size == 1 and network.packed and network.precision == "bfloat16"
        return plain and pays(network.core, self.program.run.threads)

    def _arrange(self, network: Network, choices: dict[str, Any], longest: int) -> int:
        """Whose kernels, where activations wait, and who shares a sequence; returns the longest stretch of one process."""
        given = self.spec.optimisation
        choices["kernels"] = speed_up_on_gpu(network, given.kernels)
        if self.team.sequence is not None:
            check_sequence(self.program.run.kind, network.core, network.packed, self.team.sequence.size)
            network.sequence = self.team.sequence
        longest //= self.team.share_of_tokens
        if "offload_activations" not in choices:
            asked, too_long = given.offload_activations, must_offload(network.core, longest, self.device)
            choices["offload_activations"] = asked == "on" or (asked == "auto" and too_long)
        if choices["offload_activations"]:
            keep_activations_on_host(network.core)
        return longest

    def run_loop(self, loop: Loop) -> None:
        if self.checkpoint is not None:
            loop.restore(self.checkpoint)
        self.program.phase("training")
        loop.run()

    @contextmanager
    def writing(self, core: PreTrainedModel) -> Iterator[bool]:
        """Bring weights that are shared out together; whether this process is the one that writes."""
        gather(core)
        yield self.team.first
        self.team.wait()

    def result(self, loop: Loop, *, method: str, folder: Path, template: ChatTemplate, **more: Any) -> dict[str, Any]:
        """The record of the run, from which it can be repeated. Written to disk before the checkpoints are removed."""
        count, core = loop.count, loop.network.core
        if not self.team.first:
            return {}
        result = {
            "method": method,
            "steps": count.step,
            "tokens": count.tokens,
            "supervised_tokens": count.supervised_tokens,
            "final_loss": count.final_loss,
            "held_out_loss": count.held_out_loss,
            "first_held_out_loss": count.first_held_out_loss,
            "best_step": count.best_step,
            **{f"held_out_{name}": value for name, value in loop.held_out_figures.items() if name != "loss"},
            "memory": loop.memory_parts,
            "seconds": round(count.seconds, 3),
            "tokens_per_second": round(count.tokens / max(count.training_seconds, 1e-9), 1),
            "processor_seconds": round(count.processor_seconds, 2),
            "parameters": parameter_count(core),
            "trainable_parameters": sum(item.numel() for item in loop.parameters.values()),
            "architecture": type(core).__name__,
            "context_length": context_length(core),
            "spec": self.spec.model_dump(mode="json"),
            "resolved": {
                **loop.recipe.as_dict(),
                **loop.choices,
                "precision": loop.network.precision,
                "layout": "packed" if loop.network.packed else "padded",
                "device": str(self.device),
                "processes": self.team.size,
                "passes_at_once": 1 if loop.network.side_by_side is None else PASSES,
                "versions": describe(),
                "datasets": [{"name": item.name, "sha256": item.sha256} for item in datasets_of(self.program.run)],
                "models": recorded(self.program.run),
            },
            "template_hash": template.hash,
            "weights_sha256": folder_digest(folder, "*.safetensors"),
            "token_identity": {"template_hash": template.hash, "fingerprint": fingerprint(template)},
            **more,
        }
        write_json(self.home / FINISHED, {"digest": self.digest, "result": result})
        self.store.clear()
        shutil.rmtree(self.home / "best", ignore_errors=True)
        return result


class TrainingJob(Protocol):
    """What a method that trains a model brings; a new one (DPO, …) is another class of this shape."""

    session: Session
    network: Network
    choices: dict[str, Any]

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""

    def prepare(self) -> None: ...

    def loop(self) -> Loop: ...

    def save(self, loop: Loop) -> dict[str, Any]: ...


def run_job(job: TrainingJob) -> Mapping[str, Any]:
    if (done := job.session.finished()) is not None:
        return done
    job.prepare()
    job.session.shape(job.network, job.choices, job.longest)
    loop = job.loop()
    job.session.run_loop(loop)
    result = job.save(loop)
    job.session.team.close()
    return result


ADDED = ("lora_", "trainable_tokens")


def parameter_count(core: PreTrainedModel) -> int:
    """Weights of the model itself; adapters put into it are not counted."""
    return sum(weights_of(item) for name, item in core.named_parameters() if not any(part in name for part in ADDED))


def run_digest(run: RunFile, spec: Spec) -> str:
    """Names what is trained: kind, settings and data. A checkpoint belongs to exactly one, however many processes share it."""
    if "parallel" in type(spec).model_fields:
        spec = spec.model_copy(update={"parallel": Parallel()})
    parts = [run.kind, spec.digest(), *(item.sha256 for item in datasets_of(run))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
