"""The optimiser loop that all methods share: packed steps, live figures, checkpoints, exact resume."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workers.program import Stopped
from workers.spec.errors import UserError
from workers.train.best import Best
from workers.train.checkpoint import Checkpoint
from workers.train.figures import Memory, Work, peak_flops
from workers.train.objective import Figures, Objective, micro_batches
from workers.train.optimizers import make_optimizer, restore_state, state_bytes, state_of
from workers.train.packing import StepPlan
from workers.train.recipe import Recipe
from workers.train.team import local, put, whole

if TYPE_CHECKING:
    from workers.train.session import Session

POINTS = 2000
"""Most points on a curve; a longer run reports every n-th step."""
LOOKS = 10
"""Times that the held-out loss and the samples are looked at during a run."""
MOST_SAVING = 0.02
"""Share of the time that checkpoints may take where their cadence is by the clock; slow disks get fewer of them."""


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
    best_held_out_loss: float | None = None
    best_step: int = 0
    looks_without_gain: int = 0


class Loop:
    def __init__(
        self,
        *,
        session: "Session",
        objective: Objective,
        recipe: Recipe,
        choices: dict[str, Any],
        look: Callable[[int], None] = lambda step: None,
    ) -> None:
        """`choices`: what was decided before the loop and must stay so after a resume; `look(step)`: make samples."""
        self.session, self.program, self.team = session, session.program, session.team
        self.objective, self.network = objective, objective.network
        self.recipe, self.store, self.saving = recipe, session.store, session.spec.saving
        self.choices, self.look = choices, look
        self.count = Counters()
        self.held_out_figures: dict[str, float] = {}
        self.best = Best(session.home / "best")
        self.parameters = {name: item for name, item in self.network.core.named_parameters() if item.requires_grad}
        self.optimizer = make_optimizer(recipe.optimizer, self.parameters, recipe.weight_decay, on_host=recipe.offload_optimizer)
        self.plan = StepPlan(objective.lengths, recipe.tokens_per_step, recipe.seed)
        self.memory = Memory(self.network.device)
        self.memory_parts: dict[str, int] = {}
        self._work = Work(self.network.core)
        self._peak = 0.0
        self._began, self._loop_began = session.began, time.monotonic()
        self._speed: deque[tuple[float, int, float]] = deque(maxlen=20)
        self._saved_at = self._loop_began
        self._saving_took = 0.0
        self._resumed_at = 0
        self._random = torch.get_rng_state()

    # Running

    def run(self) -> Counters:
        self._peak = peak_flops(self.network.device, self.network.precision) * self.team.size
        try:
            self._first_figures()
            while self.count.step < self.recipe.total_steps and not self._is_stale():
                self.team.check_stop(self.program)
                self.step()
                self._plan_time()
                self._look_and_save()
        except Stopped:
            self.optimizer.zero_grad(set_to_none=True)
            self.save()
            raise
        if self.saving.keep_best:
            self.best.take_back(self.parameters, self.count.step)
        self.count.seconds += time.monotonic() - self._began
        return self.count

    def _first_figures(self) -> None:
        if self.count.step == 0:
            self._examine()
        self._report_progress()

    def step(self) -> None:
        step, began, worked = self.count.step, time.monotonic(), time.process_time()
        chosen = self.plan.units_of(step)
        self.objective.begin(step, chosen)
        weight = float(self.objective.weights[chosen].sum()) or 1.0
        sums = self._learn(chosen, weight, first=not self.memory_parts)
        loss, rate = sums["loss"] / weight, self.recipe.rate(step)
        norm = self.team.clip(list(self.parameters.values()), self.recipe.clip_norm)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._refuse(chosen, rate)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if not self.memory_parts:
            self._measure_memory()
        self.optimizer.zero_grad(set_to_none=True)
        self.count.processor_seconds += time.process_time() - worked
        self._count(chosen, weight, loss, time.monotonic() - began)
        if (step + 1) % max(1, self.recipe.total_steps // POINTS) == 0 or step < 10:
            self._report(rate, norm, {name: total / weight for name, total in sums.items()})

    def _learn(self, chosen: np.ndarray, weight: float, first: bool) -> Figures:
        """Gradients of one step: this process's part, then the sum over all; returns the sums of all."""
        lengths, limit = self.objective.lengths, self._tokens_of_pass
        parts = self.team.share(chosen, lengths)
        rounds = max(len(micro_batches(part, lengths, limit)) for part in parts)
        sums = Figures()
        for micro in micro_batches(parts[self.team.rank], lengths, limit, rounds):
            self.team.check_stop_alone(self.program)
            # Every process makes as many passes, because weights that are shared out are exchanged in each.
            units, scale = (micro, 1 / weight) if len(micro) else (chosen[:1], 0.0)
            if first:
                with self.network.one_pass(), self.memory.counting(self.network.core):
                    found = self.objective.learn(units, scale)
            else:
                found = self.objective.learn(units, scale)
            if len(micro):
                sums.update(found)
        self.team.sum_gradients(self.parameters.values())
        names = ["loss", *self.objective.names(held_out=False)]
        return Figures(dict(zip(names, self.team.sum([float(sums[name]) for name in names]), strict=True)))

    @property
    def _tokens_of_pass(self) -> int:
        return self.recipe.micro_batch_tokens * self.team.share_of_tokens

    def _refuse(self, chosen: np.ndarray, rate: float) -> None:
        """A loss that is no number: the weights before this step are saved, and the step is named."""
        step = self.count.step
        self.optimizer.zero_grad(set_to_none=True)
        self.save()
        texts = [self.objective.show(int(unit)) for unit in chosen[:2]]
        self.program.sample("bad_step", step=step + 1, rows=texts, examples=len(chosen))
        raise UserError(
            "train.loss_not_finite",
            "At step {step} the loss was no longer a finite number (its {count} examples begin with “{text}”); the last good "
            "weights are kept in a checkpoint. Lower the learning rate (it was {rate}) and start again.",
            step=step + 1,
            count=len(chosen),
            text=texts[0],
            rate=f"{rate:.2g}",
        )

    def _measure_memory(self) -> None:
        given = [local(item.grad) for item in self.parameters.values() if item.grad is not None]
        gradients = sum(item.numel() * item.element_size() for item in given)
        self.memory_parts = self.memory.parts(self.network.core, gradients, state_bytes(self.optimizer))
        self.program.sample("memory", parts=self.memory_parts)

    def _count(self, chosen: np.ndarray, weight: float, loss: float, seconds: float) -> None:
        lengths = self.objective.sizes(chosen)
        tokens = int(lengths.sum())
        self._random = torch.get_rng_state()
        self.count.step += 1
        self.count.tokens += tokens
        self.count.training_seconds += seconds
        self.count.supervised_tokens += int(self.objective.supervised(chosen))
        self.count.final_loss = loss
        self._speed.append((seconds, tokens, self._work.flop(lengths)))

    def _report(self, rate: float, norm: float, figures: dict[str, float]) -> None:
        seconds, tokens, work = map(sum, zip(*self._speed, strict=True))
        speed = work / max(seconds, 1e-9)
        self.program.metric(
            self.count.step,
            **figures,
            learning_rate=rate,
            grad_norm=norm,
            tokens_per_second=round(tokens / max(seconds, 1e-9) / self.team.size, 1),
            teraflops=round(speed / 1e12 / self.team.size, 6),
            **({"mfu": round(speed / self._peak, 4)} if self._peak else {}),
        )
        self._report_progress()

    def _report_progress(self) -> None:
        left = self.recipe.total_steps - self.count.step
        recent = [seconds for seconds, *_ in self._speed]
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
        affordable = int(self.team.agree([affordable])[0])
        if affordable < self.recipe.total_steps:
            self.recipe = self.recipe.shortened(affordable)

    def elapsed(self) -> float:
        """Training seconds of this run, earlier attempts included."""
        return self.count.seconds + time.monotonic() - self._began

    # Looking

    def _look_and_save(self) -> None:
        step, last = self.count.step, self.count.step >= self.recipe.total_steps
        if last or step % (self.saving.evaluate_every_steps or max(1, self.recipe.total_steps // LOOKS)) == 0:
            self._examine()
        every = self.saving.every_steps
        due = time.monotonic() - self._saved_at >= max(self.saving.every_seconds, self._saving_took / MOST_SAVING)
        due = bool(self.team.agree([due])[0])
        if ((every and step % every == 0) or due) and not last:
            self.save()

    def _examine(self) -> None:
        step = self.count.step
        if len(self.objective.held_out):
            self.held_out_figures = self.held_out_means()
            self._remember(self.held_out_figures["loss"])
            self.program.metric(step, **{f"held_out_{name}": value for name, value in self.held_out_figures.items()})
        if step:
            self.look(step)

    def _remember(self, loss: float) -> None:
        count = self.count
        count.held_out_loss = loss
        if count.step == 0:
            count.first_held_out_loss = loss
        if count.best_held_out_loss is None or loss < count.best_held_out_loss:
            count.best_held_out_loss, count.best_step, count.looks_without_gain = loss, count.step, 0
            if self.saving.keep_best:
                self.best.keep(self.parameters, count.step, write=self.team.first)
        else:
            count.looks_without_gain += 1

    def _is_stale(self) -> bool:
        return self.saving.early_stop is not None and self.count.looks_without_gain >= self.saving.early_stop

    def held_out_means(self) -> dict[str, float]:
        """Means over the held-out units, without learning."""
        lengths, limit = self.objective.held_out, self._tokens_of_pass
        everything = np.arange(len(lengths))
        parts = self.team.share(everything, lengths)
        rounds = max(len(micro_batches(part, lengths, limit)) for part in parts)
        sums, weight = Figures(), 0.0
        with self.network.evaluating():
            for micro in micro_batches(parts[self.team.rank], lengths, limit, rounds):
                self.team.check_stop_alone(self.program)
                found, number = self.objective.look(micro if len(micro) else everything[:1])
                if len(micro):
                    sums.update(found)
                    weight += number
        names = ["loss", *self.objective.names(held_out=True)]
        *totals, weight = self.team.sum([*(float(sums[name]) for name in names), weight])
        return {name: total / max(weight, 1) for name, total in zip(names, totals, strict=True)}

    # Saving

    def save(self) -> None:
        """All processes bring what they hold; the first one writes."""
        began = time.monotonic()
        weights = {name: whole(item.detach()) for name, item in self.parameters.items()}
        held, values = state_of(self.optimizer, self.parameters)
        moments = {name: whole(item) for name, item in held.items()}
        random = {f"torch.{rank}": item for rank, item in enumerate(self.team.gather(self._random))}
        counters = {**vars(self.count), "seconds": self.elapsed()}
        state = {"recipe": self.recipe.as_dict(), "choices": self.choices, "counters": counters, "optimizer": values}
        if self.team.first:
            path = self.store.save(self.count.step, {"weights": weights, "optimizer": moments, "random": random}, state)
            seconds = round(time.monotonic() - began, 3)
            self.program.events.emit("checkpoint", step=self.count.step, name=path.name, seconds=seconds)
        self.team.wait()
        self._saved_at = time.monotonic()
        self._saving_took = self._saved_at - began

    def restore(self, checkpoint: Checkpoint) -> None:
        self.recipe = Recipe(**checkpoint.state["recipe"])
        self.count = Counters(**checkpoint.state["counters"])
        self._resumed_at = self.count.step
        self.plan = StepPlan(self.objective.lengths, self.recipe.tokens_per_step, self.recipe.seed)
        weights = checkpoint.tensors("weights")
        with torch.no_grad():
            for name, item in self.parameters.items():
                item.copy_(put(item, weights[name]))
        moments = {
            key: put(self.parameters[key.partition("/")[2]], value) if value.ndim else value
            for key, value in checkpoint.tensors("optimizer").items()
        }
        restore_state(self.optimizer, self.parameters, moments, checkpoint.state["optimizer"])
        random = checkpoint.tensors("random")
        self._random = random.get(f"torch.{self.team.rank}", random["torch.0"])
        torch.set_rng_state(self._random)
        self.program.events.emit("resumed", step=self.count.step)
