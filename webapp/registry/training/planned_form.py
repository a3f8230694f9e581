"""From the training form to the planner: what the run would choose for what is left open, and settings that make it fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from webapp.accounts.models import User, Workspace
from webapp.core.errors import UserError, translate
from webapp.datasets.files import version_path
from webapp.datasets.models import DatasetVersion
from webapp.registry.access import access_ready_model
from webapp.registry.models import Model
from webapp.registry.services import TRAINABLE
from webapp.registry.training import bars, planning
from webapp.registry.training.checks import missing_field, rendered_pair, what_is_needed
from webapp.registry.training.left_open import LeftOpen, open_limit, pass_tokens, stretch
from webapp.registry.training.previews import template_of
from webapp.registry.training.services import TOKENIZER_SOURCES, usable_version
from workers.data.records import as_messages, as_text, read_records
from workers.data.templates import ChatTemplate
from workers.planner.cards import CARDS
from workers.planner.memory import trained_weights
from workers.planner.plan import TrainingPlan
from workers.planner.shape import ModelShape
from workers.spec.record import Record

LOOKED_AT = 200
LONG_TEXT = 20_000
"""Characters of a text that a page takes the time to tokenise."""
FULL_BELOW = 50_000_000
"""Weights below which the method «automatic» trains all of them (workers.train.recipe)."""
SHOWN_CARDS = ("RTX 2080", "RTX 3060", "RTX 4090", "A100 80G")


@dataclass(frozen=True)
class Refused:
    """Records that the chat template refuses: how many, and its sentence about the first of them."""

    count: int
    template: str
    params: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        return translate(self.template, dict(self.params))


class Lengths:
    """Tokens of a dataset's records, from its first ones; training leaves out what the template refuses."""

    def __init__(self, lengths: list[int], count: int, refused: Refused | None = None) -> None:
        self.refused = refused
        ordered = sorted(lengths) or [128]
        self.mean = sum(ordered) / len(ordered)
        self.longest = ordered[-1]
        self.count = count

    @property
    def total(self) -> float:
        return self.mean * self.count


@lru_cache(maxsize=64)
def _lengths(path: Path, _sha256: str, model_id: int, changed: str, kind: str) -> tuple[tuple[int, ...], Refused | None]:
    template = template_of(Model.objects.select_related("base").get(pk=model_id))
    found: list[int] = []
    refused: list[UserError] = []
    for record in read_records(path):
        if len(found) + len(refused) >= LOOKED_AT:
            break
        if kind == "pretrain":
            text = as_text(record) or "\n".join(message.content for message in record.messages or [])
            found += [_text_tokens(template, text)] if text else []
        elif not missing_field(record, kind):
            try:
                found.append(_tokens(template, record, kind))
            except UserError as error:
                refused.append(error)
    if not refused:
        return tuple(found), None
    if not found:
        raise refused[0]
    return tuple(found), Refused(len(refused), refused[0].template, refused[0].params)


def _text_tokens(template: ChatTemplate, text: str) -> int:
    """Tokens of a text; of a very long one its beginning is counted and the rest reckoned."""
    head = text[:LONG_TEXT]
    return round(len(template.encode_texts([head])[0]) * len(text) / len(head))


def _tokens(template: ChatTemplate, record: Record, kind: str) -> int:
    """Tokens that one record is learnt with: of a preference both answers, each after the conversation."""
    if kind in {"preference", "reward", "kto"}:
        return sum(sum(piece["tokens"] for piece in answer) for answer in rendered_pair(template, record, None))
    return len(template.encode(as_messages(record) or [], record.tools).token_ids)


def lengths_of(version: DatasetVersion, model: Model, kind: str) -> Lengths:
    found, refused = _lengths(version_path(version), version.sha256, model.pk, model.weights_sha256, kind)
    return Lengths(list(found), version.count, refused)


def number(values: Mapping[str, str], name: str) -> float | None:
    try:
        found = float(values.get(name, ""))
    except ValueError:
        return None
    return found if 0 < found < 1e15 else None


def whole(values: Mapping[str, str], name: str) -> int | None:
    found = number(values, name)
    return None if found is None else int(found)


def model_of(user: User, workspace: Workspace, kind: str, values: Mapping[str, str]) -> Model:
    """The base model, or for a new model the entry whose tokenizer it takes."""
    if (base := whole(values, "base_model")) is not None:
        return access_ready_model(user, workspace, base, kinds=TRAINABLE)
    if kind == "pretrain" and (tokenizer := whole(values, "tokenizer")) is not None:
        return access_ready_model(user, workspace, tokenizer, kinds=TOKENIZER_SOURCES)
    raise UserError("planner.no_model", "Choose a model; then its memory and time can be predicted.")


def shape_for(model: Model, kind: str, values: Mapping[str, str]) -> ModelShape:
    """The base's shape, or that of the new model which the form describes."""
    if kind == "pretrain" and not values.get("base_model"):
        heads = whole(values, "architecture.heads") or 4
        hidden = whole(values, "architecture.hidden_size") or 128
        return ModelShape(
            name="new",
            hidden=hidden,
            layers=whole(values, "architecture.layers") or 4,
            heads=heads,
            kv_heads=whole(values, "architecture.kv_heads") or heads,
            intermediate=whole(values, "architecture.intermediate_size") or 32 * round(hidden * 8 / 3 / 32),
            vocabulary=model.vocabulary or 1024,
            tied="advanced" not in values or bool(values.get("architecture.tie_embeddings")),
        )
    shape = planning.shape_of(model)
    if shape is None:
        raise UserError("planner.no_shape", "The config.json of “{name}” does not tell its shape.", name=model.name)
    return shape


def planned(kind: str, values: Mapping[str, str], shape: ModelShape, lengths: Lengths) -> tuple[TrainingPlan, LeftOpen, float]:
    """(plan, what the trainer will settle on its device, tokens to be trained in all)."""
    method = values.get("method") or "auto"
    if kind == "pretrain":
        method = "full"
    elif method == "auto":
        method = "full" if shape.parameters < FULL_BELOW else "lora"
    pieces = whole(values, "sequence_length") or 128
    longest = pieces if kind == "pretrain" else min(whole(values, "max_length") or shape.context, lengths.longest, shape.context)
    per_step = whole(values, "optimisation.tokens_per_step")
    if per_step is None:
        wanted = 16 * pieces if kind == "pretrain" else 32 * lengths.mean
        per_step = int(min(max(min(wanted, lengths.total / 16), 64), 16_384))
    processes, together = _processes(values)
    per_step = max(1, per_step * together // processes)
    given = whole(values, "optimisation.micro_batch_tokens")
    tokens = pass_tokens(per_step, longest, (given or open_limit(per_step, "cpu", per_step)) * together)
    plan = TrainingPlan(
        method=method,  # type: ignore[arg-type]
        sequence=longest,
        tokens=stretch(tokens, together),
        passes=max(1, round(per_step / tokens)),
        checkpointing=values.get("optimisation.gradient_checkpointing") == "on",
        optimizer=planning.optimizer_of(values.get("optimisation.optimizer")),  # type: ignore[arg-type]
        paged=values.get("optimisation.offload_optimizer") == "on",
        offload=values.get("optimisation.offload_activations") == "on",
        rank=whole(values, "lora.rank") or 16,
        dropout=(number(values, "lora.dropout") or 0) > 0,
        typical=min(longest, round(lengths.mean)),
        devices=processes,
        together=together,
        sharding=values.get("parallel.shard") or "none",  # type: ignore[arg-type]
        group=whole(values, "parallel.shard_group"),
        references=1 if kind == "grpo" and method == "full" and number(values, "beta") else 0,
        stored_bytes=4 if shape.parameters < 10**9 else 2,
    )
    left_open = LeftOpen(
        per_step=0 if given else per_step,
        recompute=values.get("optimisation.gradient_checkpointing", "auto") in {"", "auto"},
        offload=values.get("optimisation.offload_activations", "auto") in {"", "auto"},
    )
    return plan, left_open, _budget(kind, values, shape, lengths)


def _processes(values: Mapping[str, str]) -> tuple[int, int]:
    """(processes, how many of them share each sequence); groups that do not come out even are refused when the run starts."""
    processes = whole(values, "parallel.processes") or 1
    together = whole(values, "parallel.sequence") or 1
    return processes, together if processes % together == 0 else 1


def _budget(kind: str, values: Mapping[str, str], shape: ModelShape, lengths: Lengths) -> float:
    epochs = number(values, "epochs")
    if kind == "pretrain":
        if (given := number(values, "token_budget")) is not None:
            return given
        if epochs is not None:
            return epochs * lengths.total
        continued = bool(values.get("base_model"))
        return lengths.total if continued else min(max(lengths.total, 20 * shape.parameters), 4 * lengths.total)
    return (epochs or min(10, max(1, round(36_000 / max(lengths.count, 1))))) * lengths.total


def panel(user: User, workspace: Workspace, kind: str, values: Mapping[str, str]) -> dict[str, Any]:
    """For `planner/_panel.html`: the devices here and a few cards, each with its verdict, and the time."""
    if kind == "tokenizer":
        return {}
    model = model_of(user, workspace, kind, values)
    version_id = whole(values, "datasets")
    if version_id is None:
        raise UserError("planner.no_dataset", "Choose a dataset; then memory and time can be predicted.")
    version = usable_version(user, workspace, version_id)
    shape = shape_for(model, kind, values)
    lengths = lengths_of(version, model, what_is_needed(kind, values.get("loss", "")))
    plan, left_open, tokens = planned(kind, values, shape, lengths)
    shown = [device for device in planning.devices() if device.own] + [CARDS[name] for name in SHOWN_CARDS]
    precision = values.get("optimisation.precision") or "auto"
    scale = planning.learned_scale(workspace)
    rows = planning.rows(shape, plan, tokens=tokens, precision=precision, scale=scale, kind=kind, only=shown, left_open=left_open)
    drawn = bars.drawn(rows)
    for facts, row in zip(drawn, rows, strict=True):
        if row.recipe is not None:
            facts["recipe"]["apply"] = urlencode(settings_for(row.plan, row.recipe.plan, kind))
    limit = number(values, "time_budget_seconds")
    return {
        "rows": drawn,
        "here": drawn[0],
        "plan": plan,
        "shape": shape,
        "refused": lengths.refused,
        "tokens": tokens,
        "trained": trained_weights(shape, plan),
        "limit": limit if limit is not None and limit < drawn[0]["seconds"] else None,
        "stop": round(100 * limit / drawn[0]["seconds"], 2) if limit is not None and limit < drawn[0]["seconds"] else None,
        "measured": planning.measured_speed() is not None,
    }


def settings_for(before: TrainingPlan, after: TrainingPlan, kind: str = "sft") -> dict[str, str]:
    """The fields of the form that turn one plan into the other."""
    found: dict[str, str] = {}
    if after.method != before.method:
        found["method"] = after.method
    if after.checkpointing and not before.checkpointing:
        found["optimisation.gradient_checkpointing"] = "on"
    if after.tokens != before.tokens:
        found["optimisation.micro_batch_tokens"] = str(after.tokens)
    if after.optimizer != before.optimizer:
        found["optimisation.optimizer"] = after.optimizer
    if after.sequence != before.sequence:
        found["sequence_length" if kind == "pretrain" else "max_length"] = str(after.sequence)
    return found
