"""Will it fit? The planner's questions answered for this workspace: its models, its machine, its earlier runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from django.utils.translation import gettext

from webapp.accounts.access import access_workspace
from webapp.accounts.models import User, Workspace
from webapp.core.errors import UserError
from webapp.jobs.leases import threads_per_job
from webapp.jobs.models import Job, State
from webapp.registry.access import access_ready_model
from webapp.registry.inputs import model_folder
from webapp.registry.models import Model, ModelKind
from webapp.registry.queries import ready_models
from webapp.registry.services import TRAINABLE
from webapp.registry.training.left_open import LeftOpen, passes_at_once
from workers.data.template_files import read_json
from workers.planner.cards import CARDS, Device, Verdict
from workers.planner.host import has_large_pages, host_memory, own_cards, own_processor
from workers.planner.memory import OPTIMIZER_BYTES, Memory, predict_memory
from workers.planner.plan import TrainingPlan
from workers.planner.recipes import Recipe, fitting_recipe, judge
from workers.planner.serving import ServingPlan, predict_serving, requests_at_once
from workers.planner.shape import KNOWN, ModelShape, shape_from_config
from workers.planner.timing import TYPICAL, Duration, Speed, predict_time

OFFERED = 100
EARLIER_RUNS = 5
MILLION = 1_000_000
SETTLED = LeftOpen()
GOOD_GAIN = 1.5
"""How much faster 16-bit products must be before the trainer takes them (workers.train.recipe)."""


@dataclass(frozen=True)
class Row:
    """One device: what the plan takes there, and the recipe that fits where it does not."""

    device: Device
    plan: TrainingPlan
    memory: Memory
    verdict: Verdict
    time: Duration
    recipe: Recipe | None
    recipe_time: Duration | None

    @property
    def share(self) -> float:
        return self.memory.total / self.device.usable


# Models


@lru_cache(maxsize=64)
def _shape(folder: Path, name: str, parameters: int) -> ModelShape | None:
    return shape_from_config(read_json(folder / "config.json"), name=name, parameters=parameters)


def shape_of(model: Model) -> ModelShape | None:
    """The shape of a registered model (of an adapter: of its base); None when its config does not tell."""
    base = model.base if model.kind == ModelKind.ADAPTER and model.base is not None else model
    try:
        return _shape(model_folder(base), model.name, base.parameters)
    except UserError:
        return None


def offered_models(workspace: Workspace) -> list[tuple[str, str]]:
    """(value, label): models of the workspace by number, then well-known ones by name."""
    own = [(str(model.pk), model.name) for model in ready_models(workspace, TRAINABLE)[:OFFERED]]
    return [*own, *((f"known:{name}", name) for name in KNOWN)]


def find_shape(user: User, workspace: Workspace, wanted: str) -> ModelShape | None:
    """A shape by what `offered_models` calls it; strangers' models are not found."""
    if wanted.startswith("known:"):
        return KNOWN.get(wanted.removeprefix("known:"))
    if wanted.isdigit() and len(wanted) < 18:
        return shape_of(access_ready_model(user, workspace, int(wanted), kinds=TRAINABLE))
    return None


# Devices and their speed


def devices() -> list[Device]:
    """The user's own first, then the cards that people ask about."""
    return [*own_cards(), own_processor(gettext("this machine's processor")), *CARDS.values()]


def own_device(kind: str) -> Device:
    """A card of this machine (the first), or its processor."""
    found = own_cards() if kind == "cuda" else ()
    return found[0] if found else own_processor(gettext("this machine's processor"))


def machine_memory() -> dict[str, float]:
    total, free = host_memory()
    return {"total": total, "free": free}


def measured_speed() -> Speed | None:
    """The newest measurement of this machine's processor."""
    jobs = Job.objects.filter(kind="measure", state=State.DONE).order_by("-pk")[:10]
    result = next((job.result for job in jobs if job.result and job.result.get("device") == "cpu"), None)
    if result is None:
        return None
    rate = threads_per_job() / max(1, int(result.get("threads", 1)))
    figures = {name: float(result[name]) * (1 if name == "bandwidth" else rate) for name in ("float32", "bfloat16", "bandwidth")}
    return Speed(**figures, measured=True)


def processor_speed() -> Speed:
    found = measured_speed()
    if found is not None:
        return found
    threads = threads_per_job()
    return replace(TYPICAL, float32=TYPICAL.float32 * threads, bfloat16=TYPICAL.bfloat16 * threads)


def speed_of(device: Device, scale: float) -> Speed:
    return replace(processor_speed(), scale=scale) if device.kind == "cpu" else Speed.of_card(device)


def learned_scale(workspace: Workspace) -> float:
    """Tokens per second of this workspace's newest runs on a processor over what was predicted for them; 1 without runs."""
    ratios = []
    runs = Job.objects.filter(workspace=workspace, kind__in=["sft", "pretrain"], state=State.DONE, resource="cpu")
    for job in runs.order_by("-pk")[:EARLIER_RUNS]:
        found = plan_of_run(job)
        measured = (job.result or {}).get("tokens_per_second")
        if found is None or not measured:
            continue
        shape, plan = found
        ratios.append(float(measured) / predict_time(shape, plan, processor_speed(), MILLION).tokens_per_second)
    return min(10.0, max(0.1, median(ratios))) if ratios else 1.0


def plan_of_run(job: Job) -> tuple[ModelShape, TrainingPlan] | None:
    """What a finished run was, as the planner sees it."""
    result = job.result or {}
    made = Model.objects.select_related("base").filter(job=job).first()
    shape = shape_of(made) if made is not None else None
    resolved: Mapping[str, Any] = result.get("resolved") or {}
    if shape is None or not resolved:
        return None
    asked = job.spec.get("optimisation", {})
    per_step = int(resolved.get("tokens_per_step") or 512)
    tokens = min(per_step, int(resolved.get("micro_batch_tokens") or per_step))
    method = str(result.get("method") or "full")
    lora = job.spec.get("lora") or {}
    epochs = float(resolved.get("epochs") or 1)
    examples, tokens_seen = int(result.get("examples") or 0), float(result.get("tokens") or 0) / epochs
    device = "cuda" if str(resolved.get("device", "cpu")).startswith("cuda") else "cpu"
    plan = TrainingPlan(
        method=method if method in {"lora", "qlora"} else "full",  # type: ignore[arg-type]
        sequence=int(resolved.get("max_length") or job.spec.get("sequence_length") or 512),
        tokens=tokens,
        passes=max(1, round(per_step / tokens)),
        precision="bfloat16" if resolved.get("precision") == "bfloat16" else "float32",
        checkpointing=bool(resolved.get("recompute")),
        optimizer=optimizer_of(asked.get("optimizer")),  # type: ignore[arg-type]
        rank=int(lora.get("rank") or 16),
        dropout=bool(lora.get("dropout")),
        typical=int(tokens_seen / examples) if examples and tokens_seen else 0,
        new_tokens=bool(resolved.get("untrained_tokens")),
        device=device,  # type: ignore[arg-type]
        paged=bool(resolved.get("offload_optimizer")),
        offload=bool(resolved.get("offload_activations")),
        at_once=int(resolved.get("passes_at_once") or 1),
        large_pages=has_large_pages(),
        stored_bytes=4 if shape.parameters < 10**9 else 2,
    )
    return shape, plan


# Plans


def optimizer_of(given: Any) -> str:
    return str(given) if given in OPTIMIZER_BYTES else "adamw"


def chosen_precision(given: str, shape: ModelShape, device: Device) -> str:
    """As the trainer chooses: 16 bit where it is much faster, 32 bit for very small models."""
    if given in {"float32", "bfloat16"}:
        return given
    if device.kind == "cuda":
        return "bfloat16" if device.half else "float32"
    speed = processor_speed()
    return "bfloat16" if shape.parameters >= 2 * MILLION and speed.bfloat16 >= GOOD_GAIN * speed.float32 else "float32"


def on_device(
    plan: TrainingPlan, device: Device, shape: ModelShape, precision: str = "auto", left_open: LeftOpen = SETTLED
) -> TrainingPlan:
    """The plan as it would run on this device."""
    precise = chosen_precision(precision, shape, device)
    here = replace(plan, device=device.kind, precision=precise, large_pages=has_large_pages())  # type: ignore[arg-type]
    here = replace(here, at_once=passes_at_once(here, shape, threads_per_job()))
    return left_open.chosen(here, device, shape)


def allowed_steps(kind: str) -> frozenset[str]:
    """Rungs of the ladder that a kind of run can take."""
    common = {"recompute", "shorter_passes", "optimizer_8bit", "shorter_examples"}
    return frozenset(common | {"pretrain": set(), "tokenizer": set(), "reward": {"lora"}}.get(kind, {"lora", "qlora"}))


def rows(
    shape: ModelShape,
    plan: TrainingPlan,
    *,
    tokens: float,
    precision: str = "auto",
    scale: float = 1.0,
    kind: str = "sft",
    only: list[Device] | None = None,
    left_open: LeftOpen = SETTLED,
) -> list[Row]:
    """The plan on every device; `tokens`: to be trained in all."""
    found = []
    for device in devices() if only is None else only:
        here = on_device(plan, device, shape, precision, left_open)
        judged = judge(shape, here, device.usable)
        speed = speed_of(device, scale)
        recipe = None if judged.verdict == "fits" else fitting_recipe(shape, here, device.usable, allowed_steps(kind))
        found.append(
            Row(
                device=device,
                plan=here,
                memory=judged.memory,
                verdict=judged.verdict,
                time=predict_time(shape, here, speed, tokens),
                recipe=recipe,
                recipe_time=predict_time(shape, recipe.plan, speed, tokens) if recipe else None,
            )
        )
    return found


@dataclass(frozen=True)
class ServingRow:
    device: Device
    parts: Mapping[str, float]
    total: float
    verdict: Verdict
    requests: int


def serving_rows(shape: ModelShape, plan: ServingPlan) -> list[ServingRow]:
    from workers.planner.cards import verdict

    found = []
    for device in devices():
        here = replace(plan, device=device.kind)
        memory = predict_serving(shape, here)
        judged = verdict(memory.total, device.usable)
        found.append(ServingRow(device, memory.parts, memory.total, judged, requests_at_once(shape, here, device.usable)))
    return found


def predicted_for_run(job: Job) -> Memory | None:
    """What was to be expected of a finished run, to show beside what was measured."""
    found = plan_of_run(job)
    return predict_memory(*found) if found else None


def measure_machine(*, user: User, slug: str) -> Job:
    """Queue the two-second measurement that makes times trustworthy."""
    from webapp.accounts.models import Role
    from webapp.jobs.services import submit_job
    from workers.spec.planner import MeasureSpec

    workspace = access_workspace(user, slug, role=Role.ANNOTATOR)
    return submit_job(user=user, workspace=workspace, kind="measure", spec=MeasureSpec(), name=gettext("Speed of this machine"))
