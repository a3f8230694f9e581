"""The optimiser loop that pre-training and fine-tuning share: packed steps, live figures, checkpoints, exact resume."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from workers.program import Program, Stopped
from workers.spec.errors import UserError
from workers.spec.train import Saving
from workers.train.checkpoint import Checkpoint, CheckpointStore
from workers.train.network import Network
from workers.train.packing import Documents, StepPlan, split_by_tokens
from workers.train.recipe import Recipe

POINTS = 2000
"""Most points on a curve; a longer run reports every n-th step."""
LOOKS = 10
"""Times that the held-out loss and the samples are looked at during a run."""


@dataclass
class Counters:
    step: int = 0
    tokens: int = 0
    supervised_tokens: int = 0
    seconds: float = 0.0
    training_seconds: float = 0.0
    processor_seconds: float = 0.0
    final_loss: float | None = None
    held_out_loss: float | None = None
    first_held_out_loss: float | None = None


class Loop:
    def __init__(
        self,
        *,
        program: Program,
        network: Network,
        documents: Documents,
        held_out: Documents,
        recipe: Recipe,
        store: CheckpointStore,
        saving: Saving,
        choices: dict[str, Any],
        began: float,
        look: Callable[[int], None] = lambda step: None,
    ) -> None:
        """`choices`: what was decided before the loop and must stay so after a resume; `began`: when the process
        began (monotonic seconds); `look(step)`: make samples."""
        self.program, self.network = program, network
        self.documents, self.held_out = documents, held_out
        self.recipe, self.store, self.saving = recipe, store, saving
        self.choices, self.look = choices, look
        self.count = Counters()
        self.parameters = {name: item for name, item in network.core.named_parameters() if item.requires_grad}
        self.optimizer = self._make_optimizer()
        self.plan = StepPlan(documents, recipe.tokens_per_step, recipe.seed)
        self._supervised = documents.supervised()
        self._began, self._loop_began = began, time.monotonic()
        self._speed: deque[tuple[float, int]] = deque(maxlen=20)
        self._saved_at = self._loop_began
        self._resumed_at = 0
        self._random = torch.get_rng_state()

    def _make_optimizer(self) -> torch.optim.AdamW:
        matrices = [item for item in self.parameters.values() if item.ndim >= 2]
        vectors = [item for item in self.parameters.values() if item.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": self.recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW([group for group in groups if group["params"]], lr=1e-3, betas=(0.9, 0.95), fused=True)

    # Running

    def run(self) -> Counters:
        try:
            self._first_figures()
            while self.count.step < self.recipe.total_steps:
                self.program.check_stop()
                self.step()
                self._plan_time()
                self._look_and_save()
        except Stopped:
            self.optimizer.zero_grad(set_to_none=True)
            self.save()
            raise
        self.count.seconds += time.monotonic() - self._began
        return self.count

    def _first_figures(self) -> None:
        if self.count.step == 0:
            self._examine()
        self._report_progress()

    def step(self) -> None:
        step, began, worked = self.count.step, time.monotonic(), time.process_time()
        chosen = self.plan.documents_of(step)
        supervised = int(self._supervised[chosen].sum())
        total = 0.0
        for micro in split_by_tokens(chosen, self.documents.lengths, self.recipe.micro_batch_tokens):
            self.program.check_stop()
            total += self.network.learn(self.documents, micro, 1 / max(supervised, 1))
        loss, rate = total / max(supervised, 1), self.recipe.rate(step)
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.recipe.clip_norm, foreach=True))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise UserError(
                "train.loss_not_finite",
                "At step {step} the loss was no longer a finite number; lower the learning rate (it was {rate}) and start again.",
                step=step + 1,
                rate=f"{rate:.2g}",
            )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.count.processor_seconds += time.process_time() - worked
        self._count(chosen, supervised, loss, time.monotonic() - began)
        if (step + 1) % max(1, self.recipe.total_steps // POINTS) == 0 or step < 10:
            self._report(loss, rate, norm)

    def _count(self, chosen: np.ndarray, supervised: int, loss: float, seconds: float) -> None:
        tokens = int(self.documents.lengths[chosen].sum())
        self._random = torch.get_rng_state()
        self.count.step += 1
        self.count.tokens += tokens
        self.count.training_seconds += seconds
        self.count.supervised_tokens += supervised
        self.count.final_loss = loss
        self._speed.append((seconds, tokens))

    def _report(self, loss: float, rate: float, norm: float) -> None:
        seconds, tokens = map(sum, zip(*self._speed, strict=True))
        self.program.metric(
            self.count.step,
            loss=loss,
            learning_rate=rate,
            grad_norm=norm,
            tokens_per_second=round(tokens / max(seconds, 1e-9), 1),
        )
        self._report_progress()

    def _report_progress(self) -> None:
        left = self.recipe.total_steps - self.count.step
        recent = [seconds for seconds, _ in self._speed]
        eta = left * sum(recent) / len(recent) if recent else None
        self.program.progress(self.count.step, self.recipe.total_steps, unit="steps", eta_seconds=eta and round(eta, 1))

    def _plan_time(self) -> None:
        """With a time budget: as many steps as the speed so far allows; never more than the epochs asked for."""
        budget = self.recipe.time_budget_seconds
        step = self.count.step
        if budget is None or step < 3 or (step % max(1, self.recipe.total_steps // 20) and step != 3):
            return
        spent = self.elapsed()
        per_step = (time.monotonic() - self._loop_began) / max(1, step - self._resumed_at)
        affordable = step + max(0, int((budget * 0.97 - spent) / per_step))
        if affordable < self.recipe.total_steps:
            self.recipe = self.recipe.shortened(affordable)

    def elapsed(self) -> float:
        """Training seconds of this run, earlier attempts included."""
        return self.count.seconds + time.monotonic() - self._began

    # Looking

    def _look_and_save(self) -> None:
        step, last = self.count.step, self.count.step >= self.recipe.total_steps
        if last or step % max(1, self.recipe.total_steps // LOOKS) == 0:
            self._examine()
        every = self.saving.every_steps
        due = time.monotonic() - self._saved_at >= self.saving.every_seconds
        if ((every and step % every == 0) or due) and not last:
            self.save()

    def _examine(self) -> None:
        step = self.count.step
        if len(self.held_out):
            loss = self.network_loss(self.held_out)
            self.count.held_out_loss = loss
            if step == 0:
                self.count.first_held_out_loss = loss
            self.program.metric(step, held_out_loss=loss)
        if step:
            self.look(step)

    def network_loss(self, documents: Documents) -> float:
        """Mean loss of the learnt tokens, without learning."""
        total, count = 0.0, 0
        with self.network.evaluating():
            for micro in split_by_tokens(np.arange(len(documents)), documents.lengths, self.recipe.micro_batch_tokens):
                self.program.check_stop()
                loss, number = self.network.loss_sum(documents, micro)
                total, count = total + float(loss), count + number
        return total / max(count, 1)

    # Saving

    def save(self) -> None:
        weights = {name: item.detach() for name, item in self.parameters.items()}
        moments: dict[str, torch.Tensor] = {}
        for name, item in self.parameters.items():
            for key, value in self.optimizer.state.get(item, {}).items():
                moments[f"{key}/{name}"] = value
        counters = {**vars(self.count), "seconds": self.elapsed()}
        state = {"recipe": self.recipe.as_dict(), "choices": self.choices, "counters": counters}
        tensors = {"weights": weights, "optimizer": moments, "random": {"torch": self._random}}
        path = self.store.save(self.count.step, tensors, state)
        self._saved_at = time.monotonic()
        self.program.events.emit("checkpoint", step=self.count.step, name=path.name)

    def restore(self, checkpoint: Checkpoint) -> None:
        self.recipe = Recipe(**checkpoint.state["recipe"])
        self.count = Counters(**checkpoint.state["counters"])
        self._resumed_at = self.count.step
        self.plan = StepPlan(self.documents, self.recipe.tokens_per_step, self.recipe.seed)
        weights = checkpoint.tensors("weights")
        with torch.no_grad():
            for name, item in self.parameters.items():
                item.copy_(weights[name])
        for key, value in checkpoint.tensors("optimizer").items():
            kind, _, name = key.partition("/")
            parameter = self.parameters[name]
            self.optimizer.state[parameter][kind] = value.to(parameter.device)
        self._random = checkpoint.tensors("random")["torch"]
        torch.set_rng_state(self._random)
        self.program.events.emit("resumed", step=self.count.step)
