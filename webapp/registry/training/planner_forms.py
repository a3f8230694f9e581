"""The planner's questions as they come from a page or the API: every field has a meaning of its own and a default."""

from collections.abc import Mapping
from typing import Annotated, Literal

from django.utils.translation import gettext_noop as noop
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from workers.planner.plan import TrainingPlan
from workers.planner.serving import ServingPlan

Bits = Annotated[Literal[16, 8, 4], BeforeValidator(lambda given: int(given) if str(given).isdigit() else given)]
BITS = (16, 8, 4)


class TrainingQuestion(BaseModel):
    """A training run that somebody thinks of."""

    model_config = ConfigDict(extra="ignore")

    model: str = "known:InternLM2-7B"
    method: Literal["full", "lora", "qlora"] = "qlora"
    sequence: int = Field(2048, ge=16, le=1_048_576)
    tokens: int = Field(2048, ge=16, le=1_048_576, description="tokens of one pass on one device")
    passes: int = Field(8, ge=1, le=4096)
    checkpointing: bool = True
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    loss: Literal["chunked", "whole"] = "chunked"
    rank: int = Field(16, ge=1, le=1024)
    devices: int = Field(1, ge=1, le=4096)
    sharding: Literal["none", "zero2", "zero3"] = "none"
    million_tokens: float = Field(10, gt=0, le=10_000_000)

    def plan(self) -> TrainingPlan:
        return TrainingPlan(
            method=self.method,
            sequence=self.sequence,
            tokens=max(self.tokens, self.sequence),
            passes=self.passes,
            checkpointing=self.checkpointing,
            optimizer=self.optimizer,
            loss=self.loss,
            rank=self.rank,
            devices=self.devices,
            sharding=self.sharding,
        )


class ServingQuestion(BaseModel):
    """A deployment that somebody thinks of."""

    model_config = ConfigDict(extra="ignore")

    model: str = "known:InternLM2-7B"
    weight_bits: Bits = 16
    kv_bits: Bits = 16
    context: int = Field(2048, ge=16, le=1_048_576)
    batch: int = Field(8, ge=1, le=4096)
    devices: int = Field(1, ge=1, le=4096)

    def plan(self) -> ServingPlan:
        return ServingPlan(self.weight_bits, self.kv_bits, self.context, self.batch, devices=self.devices)


PARTS = {
    "weights": noop("weights"),
    "gradients": noop("gradients"),
    "optimizer": noop("optimiser"),
    "activations": noop("activations"),
    "logits": noop("logits"),
    "workspace": noop("work space"),
    "kv_cache": noop("key-value cache"),
    "fixed": noop("program"),
    "products": noop("matrix products"),
    "attention": noop("attention"),
    "moving": noop("moving data"),
}
SHORT_STEPS = {
    "recompute": noop("recompute"),
    "shorter_passes": noop("shorter passes"),
    "lora": "LoRA",
    "qlora": "QLoRA",
    "chunked_loss": noop("chunked loss"),
    "optimizer_8bit": noop("8-bit optimiser"),
    "shorter_examples": noop("shorter examples"),
}
STEPS = {
    "recompute": noop("compute activations again instead of keeping them (a third slower)"),
    "shorter_passes": noop("fewer tokens in one pass (the step stays the same)"),
    "lora": noop("LoRA: train small matrices beside frozen weights"),
    "qlora": noop("QLoRA: the frozen weights in 4 bits"),
    "chunked_loss": noop("make the logits in chunks"),
    "optimizer_8bit": noop("8-bit optimiser states"),
    "shorter_examples": noop("shorter examples; longer ones are left out and counted"),
}


def asked(values: Mapping[str, str]) -> dict[str, str | bool]:
    """Query values for a question: an unticked box of a form that was sent is a no."""
    given: dict[str, str | bool] = {name: value for name, value in values.items() if value != ""}
    for box in ("checkpointing",):
        if "sent" in values or box in values:
            given[box] = values.get(box) in {"on", "true", "1", "True"}
    return given
