"""Specs of tokenizer training, pre-training, fine-tuning and preferences. None: the program chooses and records its choice."""

from typing import Literal

from pydantic import Field

from workers.spec.base import Spec

Switch = Literal["auto", "on", "off"]


class Optimisation(Spec):
    learning_rate: float | None = Field(
        None, gt=0, le=1, description="largest step size; left open: chosen by the model's size and the method"
    )
    warmup_fraction: float = Field(0.03, ge=0, le=0.5, description="share of the steps in which the step size grows from zero")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="how the step size falls after the warm-up")
    weight_decay: float = Field(0.0, ge=0, le=1, description="how strongly matrices are drawn to zero")
    clip_norm: float = Field(1.0, gt=0, description="longer gradients are shortened to this length")
    tokens_per_step: int | None = Field(None, ge=64, description="packed tokens in one optimiser step")
    micro_batch_tokens: int | None = Field(
        None, ge=32, description="tokens of one forward pass; gradients add up exactly to the step. Smaller needs less memory"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="of the matrix products")
    optimizer: Literal["adamw", "adamw_8bit", "adafactor"] = Field(
        "adamw",
        description="adamw keeps two 32-bit numbers per trained weight, adamw_8bit two 8-bit ones, adafactor next to nothing",
    )
    gradient_checkpointing: Switch = Field(
        "auto", description="compute activations again in the backward pass: a third slower, far less memory"
    )
    offload_activations: Switch = Field(
        "auto",
        description="keep what the backward pass needs in the host's memory; auto: where computing it again is not enough",
    )
    offload_optimizer: Literal["off", "on"] = Field(
        "off",
        description="keep the state of adamw in the host's memory and step there: slower, 8 bytes less per trained weight",
    )
    kernels: Literal["auto", "off"] = Field(
        "auto", description="auto: Liger's fused layers on a GPU, where they are installed and know the model's family"
    )
    compile: Literal["off", "on"] = Field(
        "off", description="let torch.compile fuse the feed-forward layers: pays in long runs; the first steps take a minute"
    )


class Saving(Spec):
    every_steps: int | None = Field(None, ge=1, description="steps between checkpoints")
    every_seconds: float = Field(
        30.0, gt=0, description="seconds between checkpoints; more where they would take over 2 % of the time"
    )
    keep: int = Field(2, ge=1, le=20, description="newest checkpoints kept during the run")
    evaluate_every_steps: int | None = Field(
        None, ge=1, description="steps between looks at the held-out loss; left open: ten looks a run"
    )
    keep_best: bool = Field(
        False, description="the finished model is the one with the lowest held-out loss, not the one of the last step"
    )
    early_stop: int | None = Field(
        None, ge=1, le=1000, description="stop after so many looks in a row without a better held-out loss"
    )


class Parallel(Spec):
    """Several processes share each step and make the same update as one process (up to rounding)."""

    processes: int = Field(1, ge=1, le=64, description="processes that share each step: one for each GPU, or for a few cores")
    shard: Literal["none", "zero2", "zero3"] = Field(
        "none",
        description="none: each process holds all weights; zero2: gradients and optimiser state of the blocks are shared out; "
        "zero3: their weights, too. Less memory for more exchange",
    )
    shard_group: int | None = Field(
        None,
        ge=1,
        description="processes among which weights are shared out; between the groups they are copied (hybrid). "
        "Left open: all processes",
    )
    sequence: int = Field(
        1,
        ge=1,
        le=64,
        description="processes that share each sequence, for documents whose activations one GPU cannot hold; "
        "a divisor of the processes and of the model's attention heads",
    )


class TrainingRun(Spec):
    """What every run has that trains a model."""

    name: str = Field(min_length=1, max_length=120, description="name of the new model")
    datasets: list[int] = Field(min_length=1, description="versions of datasets that are learnt")
    time_budget_seconds: float | None = Field(None, gt=0, description="finish within so many seconds")
    optimisation: Optimisation = Field(default_factory=Optimisation)
    saving: Saving = Field(default_factory=Saving)
    seed: int = Field(0, description="number from which every random choice follows")


class SharedRun(TrainingRun):
    """A run that goes through its records in epochs and that several processes can share."""

    epochs: float | None = Field(None, gt=0, le=1000, description="times that each record is learnt")
    parallel: Parallel = Field(default_factory=Parallel)


class TokenizerSpec(Spec):
    """Train a byte-level BPE tokenizer with a ChatML chat template."""

    name: str = Field(min_length=1, max_length=120, description="name of the new tokenizer")
    datasets: list[int] = Field(min_length=1, description="versions of datasets whose texts are read")
    vocabulary: int = Field(1024, ge=300, le=256_000, description="tokens to learn at most")
    split_digits: bool = Field(True, description="every digit is a token of its own")
    special_tokens: list[str] = Field(default_factory=list, description="more tokens that are never split")
    seed: int = Field(0, description="number from which every random choice follows")


class Architecture(Spec):
    """A Llama of this shape (RMSNorm, SwiGLU, RoPE, tied embeddings)."""

    hidden_size: int = Field(128, ge=16, le=8192, description="numbers that stand for one token")
    layers: int = Field(4, ge=1, le=128, description="blocks of attention and feed-forward")
    heads: int = Field(4, ge=1, le=128, description="attention heads of a block")
    kv_heads: int | None = Field(None, description="heads of keys and values; left open: as many as attention heads")
    intermediate_size: int | None = Field(None, description="width of the feed-forward part; left open: 8/3 of the hidden size")
    context_length: int = Field(512, ge=64, le=131_072, description="tokens that the model can look back on")
    tie_embeddings: bool = Field(True, description="one table of embeddings for reading and for writing")


class PretrainSpec(SharedRun):
    """All tokens are learnt. From scratch (tokenizer + architecture) or continued (base_model)."""

    datasets: list[int] = Field(min_length=1, description="versions of datasets whose texts are learnt")
    base_model: int | None = Field(None, description="continue this model's pre-training")
    tokenizer: int | None = Field(None, description="model entry that holds the tokenizer")
    architecture: Architecture | None = None
    sequence_length: int = Field(128, ge=32, le=131_072, description="longer documents are cut into pieces of so many tokens")
    token_budget: int | None = Field(None, ge=1, description="stop after so many tokens")
    epochs: float | None = Field(None, gt=0, description="times that each document is learnt")
    held_out_fraction: float = Field(0.01, ge=0, le=0.5, description="share of the documents kept aside to measure the loss on")


class Lora(Spec):
    """Low-rank matrices beside the frozen linear layers. The first answer is always the base's own."""

    rank: int = Field(16, ge=1, le=1024, description="inner width of the adapter matrices")
    alpha: float | None = Field(None, gt=0, description="strength of the adapter; left open: twice the rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the adapter's inputs that is dropped at random")
    targets: list[str] | None = Field(None, description="layers to adapt; left open: every linear layer of the blocks")
    variant: Literal["none", "rslora", "dora", "pissa"] = Field(
        "none",
        description="rslora: strength divided by the square root of the rank, for large ranks; dora: direction and length "
        "of the weights are learnt apart; pissa: starts from the largest singular values of the weights",
    )


Method = Literal["auto", "full", "lora", "qlora"]
METHOD_HELP = "full: all weights; lora: small matrices beside frozen weights; qlora: the same, the frozen weights in 4 bits (nf4)"


class Tuning(TrainingRun):
    """A run that begins with a model and teaches it, whole or by an adapter."""

    base_model: int = Field(description="model to start from")
    method: Method = Field("auto", description=METHOD_HELP)
    lora: Lora = Field(default_factory=Lora)
    system_prompt: str | None = Field(None, description="system message put before conversations that have none")
    max_length: int | None = Field(None, ge=32, description="longer records are left out, counted and shown")


class Sampled(TrainingRun):
    """A run that shows what its model answers meanwhile."""

    sample_prompts: list[str] = Field(
        default_factory=list, max_length=8, description="questions answered again and again during the run"
    )


class SftSpec(Sampled, SharedRun, Tuning):
    """Loss on the assistant's tokens only. Three fields suffice: name, base_model, datasets."""

    instruction: str | None = Field(None, description="sentence put before the text of classification records")
    held_out_fraction: float = Field(0.05, ge=0, le=0.5, description="share of the examples kept aside to measure the loss on")


PreferenceLoss = Literal["dpo", "orpo", "kto", "simpo"]


class PreferenceSpec(Sampled, SharedRun, Tuning):
    """Learn which of two answers is better (`chosen`, `rejected`) or, with kto, whether an answer is good (`desirable`)."""

    base_model: int = Field(description="model to start from, best one that answers well already")
    datasets: list[int] = Field(min_length=1, description="versions of datasets with preferences")
    loss: PreferenceLoss = Field(
        "dpo",
        description="dpo: chosen against rejected, close to the base; orpo: fine-tuning and preference in one, no base needed; "
        "kto: single answers marked good or bad; simpo: by the mean probability of a token, no base needed",
    )
    beta: float | None = Field(
        None, gt=0, le=100, description="strength of the preference; left open: 0.1 (dpo, orpo, kto) or 2 (simpo)"
    )
    margin: float = Field(1.0, ge=0, le=100, description="simpo: by how much the chosen answer has to lead")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="dpo: share of preferences that may be the wrong way round")
    sft_weight: float = Field(0.0, ge=0, le=100, description="dpo, simpo: weight of the plain loss on the chosen answer")
    desirable_weight: float = Field(1.0, gt=0, le=100, description="kto: weight of good answers")
    undesirable_weight: float = Field(1.0, gt=0, le=100, description="kto: weight of bad answers")
    held_out_fraction: float = Field(0.05, ge=0, le=0.5, description="share of the preferences kept aside to measure on")


class RewardSpec(SharedRun, Tuning):
    """A model that gives an answer one number, learnt from chosen and rejected answers (Bradley–Terry)."""

    datasets: list[int] = Field(min_length=1, description="versions of datasets with chosen and rejected answers")
    method: Literal["auto", "full", "lora"] = Field("auto", description="full: all weights; lora: a LoRA, added in at the end")
    centre: float = Field(0.01, ge=0, le=10, description="how strongly the two rewards of a pair are drawn to a sum of zero")
    held_out_fraction: float = Field(0.1, ge=0, le=0.5, description="share of the preferences kept aside to measure on")


class GrpoSpec(Sampled, Tuning):
    """Reinforcement with verifiable rewards: answers are drawn, scored as in an evaluation, and the better ones made likelier."""

    base_model: int = Field(description="model to start from, one that sometimes answers right already")
    datasets: list[int] = Field(min_length=1, description="versions of datasets with questions and reference answers")
    reward: Literal["exact", "contains", "tool_call"] = Field(
        "exact", description="which answers count as right: equal to the reference, containing it, or the same tool calls"
    )
    ignore_case: bool = Field(False, description="capital letters do not count")
    answers: int = Field(8, ge=2, le=64, description="answers to each question; they are compared with each other")
    questions_per_step: int = Field(4, ge=1, le=1024, description="questions asked before each step")
    steps: int | None = Field(None, ge=1, le=1_000_000, description="optimiser steps; left open: each question once, at most 500")
    temperature: float = Field(1.0, gt=0, le=5, description="how boldly answers are drawn")
    max_new_tokens: int = Field(64, ge=1, le=8192, description="longest answer in tokens")
    beta: float = Field(0.0, ge=0, le=10, description="how strongly the model is held to the base")
    instruction: str | None = Field(None, description="sentence put before the text of classification records")
    held_out_fraction: float = Field(0.1, ge=0, le=0.5, description="share of the questions kept aside to measure on")
    parallel: Parallel = Field(default_factory=Parallel)
