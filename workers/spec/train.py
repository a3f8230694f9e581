"""Specs of tokenizer training, pre-training and fine-tuning. None means: the program chooses and records its choice."""

from typing import Literal

from pydantic import Field

from workers.spec.base import Spec


class Optimisation(Spec):
    learning_rate: float | None = Field(None, gt=0, le=1)
    warmup_fraction: float = Field(0.03, ge=0, le=0.5)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: float = Field(0.0, ge=0, le=1)
    clip_norm: float = Field(1.0, gt=0)
    tokens_per_step: int | None = Field(None, ge=64, description="packed tokens in one optimiser step")
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="of the matrix products")


class Saving(Spec):
    every_steps: int | None = Field(None, ge=1, description="steps between checkpoints")
    every_seconds: float = Field(30.0, gt=0, description="seconds between checkpoints, when steps are slow")
    keep: int = Field(2, ge=1, le=20)


class TokenizerSpec(Spec):
    """Train a byte-level BPE tokenizer with a ChatML chat template."""

    name: str = Field(min_length=1, max_length=120)
    datasets: list[int] = Field(min_length=1)
    vocabulary: int = Field(1024, ge=300, le=256_000)
    split_digits: bool = True
    special_tokens: list[str] = Field(default_factory=list)
    seed: int = 0


class Architecture(Spec):
    """A Llama of this shape (RMSNorm, SwiGLU, RoPE, tied embeddings)."""

    hidden_size: int = Field(128, ge=16, le=8192)
    layers: int = Field(4, ge=1, le=128)
    heads: int = Field(4, ge=1, le=128)
    kv_heads: int | None = None
    intermediate_size: int | None = None
    context_length: int = Field(512, ge=64, le=131_072)
    tie_embeddings: bool = True


class PretrainSpec(Spec):
    """All tokens are learnt. From scratch (tokenizer + architecture) or continued (base_model)."""

    name: str = Field(min_length=1, max_length=120)
    datasets: list[int] = Field(min_length=1)
    base_model: int | None = Field(None, description="continue this model's pre-training")
    tokenizer: int | None = Field(None, description="model entry that holds the tokenizer")
    architecture: Architecture | None = None
    sequence_length: int = Field(128, ge=32, le=131_072)
    token_budget: int | None = Field(None, ge=1, description="stop after so many tokens")
    epochs: float | None = Field(None, gt=0)
    time_budget_seconds: float | None = Field(None, gt=0)
    held_out_fraction: float = Field(0.01, ge=0, le=0.5)
    optimisation: Optimisation = Field(default_factory=Optimisation)
    saving: Saving = Field(default_factory=Saving)
    seed: int = 0


class Lora(Spec):
    rank: int = Field(16, ge=1, le=1024)
    alpha: float | None = Field(None, description="None: twice the rank")
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: list[str] | None = Field(None, description="None: every linear layer of the blocks")


class SftSpec(Spec):
    """Loss on the assistant's tokens only. Three fields suffice: name, base_model, datasets."""

    name: str = Field(min_length=1, max_length=120)
    base_model: int
    datasets: list[int] = Field(min_length=1)
    method: Literal["auto", "full", "lora"] = "auto"
    lora: Lora = Field(default_factory=Lora)
    system_prompt: str | None = None
    instruction: str | None = Field(None, description="sentence put before the text of classification records")
    epochs: float | None = Field(None, gt=0, le=1000)
    max_length: int | None = Field(None, ge=32)
    time_budget_seconds: float | None = Field(None, gt=0)
    held_out_fraction: float = Field(0.05, ge=0, le=0.5)
    optimisation: Optimisation = Field(default_factory=Optimisation)
    saving: Saving = Field(default_factory=Saving)
    sample_prompts: list[str] = Field(default_factory=list, max_length=8)
    seed: int = 0
