"""The recipe that fits: one step down after another until the memory suffices, the cheapest step first.

Order: recompute activations → shorter passes → LoRA → QLoRA → chunked loss → 8-bit optimiser. Each step says what it costs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from workers.planner.cards import Verdict, verdict
from workers.planner.memory import Memory, predict_memory
from workers.planner.plan import TrainingPlan
from workers.planner.shape import ModelShape

SHORTEST_PASS = 64


@dataclass(frozen=True)
class Recipe:
    """A plan, what it takes, and the steps that led to it from the plan that was asked for."""

    plan: TrainingPlan
    memory: Memory
    verdict: Verdict
    steps: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        return bool(self.steps)


def _recompute(plan: TrainingPlan, shape: ModelShape) -> TrainingPlan | None:
    return None if plan.checkpointing else replace(plan, checkpointing=True)


def _shorter_passes(plan: TrainingPlan, shape: ModelShape) -> TrainingPlan | None:
    shortest = max(SHORTEST_PASS, -(-plan.sequence // plan.together))
    if plan.tokens <= shortest:
        return None
    tokens = max(shortest, plan.tokens // 2)
    return replace(plan, tokens=tokens, passes=-(-plan.passes * plan.tokens // tokens))


def _lora(plan: TrainingPlan, shape: ModelShape) -> TrainingPlan | None:
    return replace(plan, method="lora", references=0) if plan.method == "full" else None


def _qlora(plan: TrainingPlan, shape: ModelShape) -> TrainingPlan | None:
    return replace(plan, method="qlora", references=0) if plan.method == "lora" else None


def _chunked(plan: TrainingPlan, shape: ModelShape) -> TrainingPlan | None:
    return replace(plan, loss="chunked") if plan.loss == "whole" else None


def _small_optimizer(plan: TrainingPlan, shape: ModelShape) -> TrainingPlan | None:
    """States that lie in the host's memory or are shared out are those of plain AdamW."""
    if plan.optimizer != "adamw" or plan.paged or plan.sharding != "none":
        return None
    return replace(plan, optimizer="adamw_8bit")


def _shorter_examples(plan: TrainingPlan, shape: ModelShape) -> TrainingPlan | None:
    if plan.sequence <= 256:
        return None
    sequence = plan.sequence // 2
    return replace(plan, sequence=sequence, tokens=min(plan.tokens, max(SHORTEST_PASS, -(-sequence // plan.together))))


Step = Callable[[TrainingPlan, ModelShape], TrainingPlan | None]
LADDER: dict[str, Step] = {
    "recompute": _recompute,
    "shorter_passes": _shorter_passes,
    "lora": _lora,
    "qlora": _qlora,
    "chunked_loss": _chunked,
    "optimizer_8bit": _small_optimizer,
    "shorter_examples": _shorter_examples,
}


def downwards(shape: ModelShape, plan: TrainingPlan, allowed: frozenset[str] | None = None) -> Iterator[tuple[str, TrainingPlan]]:
    """(step, plan after it), one rung after another; a rung may be taken several times. `allowed`: rungs that can be run."""
    for name, step in LADDER.items():
        if allowed is not None and name not in allowed:
            continue
        while (lower := step(plan, shape)) is not None:
            plan = lower
            yield name, plan


def judge(shape: ModelShape, plan: TrainingPlan, usable: float) -> Recipe:
    memory = predict_memory(shape, plan)
    return Recipe(plan, memory, verdict(memory.total, usable))


def fitting_recipe(shape: ModelShape, plan: TrainingPlan, usable: float, allowed: frozenset[str] | None = None) -> Recipe | None:
    """The first recipe, going down from `plan`, that fits into `usable` bytes; None when none does."""
    found = judge(shape, plan, usable)
    if found.verdict == "fits":
        return found
    steps: list[str] = []
    for name, lower in downwards(shape, plan, allowed):
        steps.append(name)
        found = judge(shape, lower, usable)
        if found.verdict == "fits":
            return _without_idle_steps(shape, plan, found, steps, usable)
    return None


def _without_idle_steps(shape: ModelShape, plan: TrainingPlan, found: Recipe, steps: list[str], usable: float) -> Recipe:
    """Leave out rungs that the last ones made needless (recomputing, when QLoRA alone does it)."""
    needed = list(dict.fromkeys(steps))
    for name in list(needed):
        rest = [other for other in needed if other != name]
        tried = _apply(shape, plan, rest, steps)
        if tried is not None and (lighter := judge(shape, tried, usable)).verdict == "fits":
            needed, found = rest, lighter
    return replace(found, steps=tuple(needed))


def _apply(shape: ModelShape, plan: TrainingPlan, names: list[str], counts: list[str]) -> TrainingPlan | None:
    for name in names:
        for _ in range(counts.count(name)):
            plan = LADDER[name](plan, shape) or plan
    return plan


def next_down(shape: ModelShape, plan: TrainingPlan, allowed: frozenset[str] | None = None) -> Recipe | None:
    """After running out of memory: the nearest recipe that takes at most three quarters of what this one was said to.

    What every run takes before it has a model does not count. Where no recipe goes down so far, the lightest; None when
    none is lighter.
    """
    before = _moving(predict_memory(shape, plan))
    steps: list[str] = []
    best: Recipe | None = None
    for name, lower in downwards(shape, plan, allowed):
        steps.append(name)
        memory = predict_memory(shape, lower)
        if _moving(memory) < (before if best is None else _moving(best.memory)):
            best = Recipe(lower, memory, "tight", tuple(dict.fromkeys(steps)))
            if _moving(memory) <= 0.75 * before:
                break
    return best


def _moving(memory: Memory) -> float:
    return memory.total - memory.parts["fixed"]


def changed_settings(before: TrainingPlan, after: TrainingPlan) -> dict[str, Any]:
    """Fields of the plan that differ."""
    return {name: value for name, value in vars(after).items() if getattr(before, name) != value}
