"""What a prediction needs to know of a model: the sizes of its matrices, read from a Hugging Face config.json."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

PLAIN_FEED_FORWARD = {"gpt2", "gpt_neox", "opt", "phi", "falcon", "bloom", "gptj", "gpt_bigcode", "starcoder2"}
"""Architectures whose feed-forward part has two matrices; the others have three (gate, up, down)."""
HIDDEN_KEYS = ("hidden_size", "n_embd", "d_model")
LAYER_KEYS = ("num_hidden_layers", "n_layer", "num_layers")
HEAD_KEYS = ("num_attention_heads", "n_head", "num_heads")
WIDE_KEYS = ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim")
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "seq_length", "max_sequence_length")


@dataclass(frozen=True)
class ModelShape:
    """`more_weights`: weights that the sizes do not tell of (experts, biases), counted as weights of the blocks."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool = False
    head_size: int = 0
    matrices: int = 3
    context: int = 2048
    more_weights: int = 0

    @property
    def head_dim(self) -> int:
        return self.head_size or self.hidden // self.heads

    @property
    def query_width(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Numbers per token in the keys (and as many in the values) of one layer."""
        return self.kv_heads * self.head_dim

    @property
    def linear_widths(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of every linear layer of one block."""
        h, f, kv, q = self.hidden, self.intermediate, self.kv_width, self.query_width
        return [(h, q), (h, kv), (h, kv), (q, h), *[(h, f)] * (self.matrices - 1), (f, h)]

    @property
    def block_weights(self) -> int:
        """Weights of the linear layers of all blocks: what LoRA freezes and nf4 shrinks."""
        return self.layers * sum(a * b for a, b in self.linear_widths) + self.more_weights

    @property
    def embedding_weights(self) -> int:
        """Input and output embeddings: kept at 16 or 32 bit by every method."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def norm_weights(self) -> int:
        return (2 * self.layers + 1) * self.hidden

    @property
    def parameters(self) -> int:
        return self.block_weights + self.embedding_weights + self.norm_weights

    def adapter_weights(self, rank: int) -> int:
        """LoRA on every linear layer of the blocks: rank · (inputs + outputs) each (Hu et al. 2021)."""
        return self.layers * rank * sum(a + b for a, b in self.linear_widths)

    def counted(self, parameters: int) -> "ModelShape":
        """The same shape with the number of weights that its files really hold."""
        return replace(self, more_weights=max(0, parameters - replace(self, more_weights=0).parameters))


def shape_from_config(config: Mapping[str, Any], *, name: str = "", parameters: int = 0) -> ModelShape | None:
    """The shape that a config.json tells of; None when it does not tell enough. `parameters`: counted in the files, or 0."""
    inner = config.get("text_config")
    text: Mapping[str, Any] = inner if isinstance(inner, Mapping) else config

    def first(keys: tuple[str, ...]) -> int:
        return next((value for key in keys if isinstance(value := text.get(key), int) and value > 0), 0)

    hidden, layers, heads, vocabulary = first(HIDDEN_KEYS), first(LAYER_KEYS), first(HEAD_KEYS), first(("vocab_size",))
    if not (hidden and layers and heads and vocabulary):
        return None
    model_type = str(config.get("model_type", ""))
    shape = ModelShape(
        name=name or model_type,
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=first(("num_key_value_heads", "multi_query_group_num")) or heads,
        intermediate=first(WIDE_KEYS) or 4 * hidden,
        vocabulary=vocabulary,
        tied=bool(text.get("tie_word_embeddings", model_type in PLAIN_FEED_FORWARD)),
        head_size=first(("head_dim",)),
        matrices=2 if model_type in PLAIN_FEED_FORWARD else 3,
        context=first(CONTEXT_KEYS) or 2048,
    )
    return shape.counted(parameters) if parameters else shape


def _known(name: str, hidden: int, layers: int, heads: int, kv: int, wide: int, vocabulary: int, **more: Any) -> ModelShape:
    return ModelShape(name, hidden, layers, heads, kv, wide, vocabulary, **more)


KNOWN: dict[str, ModelShape] = {
    shape.name: shape
    for shape in (
        _known("Qwen2.5-0.5B", 896, 24, 14, 2, 4864, 151936, tied=True, context=32768),
        _known("Qwen2.5-1.5B", 1536, 28, 12, 2, 8960, 151936, tied=True, context=32768),
        _known("InternLM2-1.8B", 2048, 24, 16, 8, 8192, 92544, context=32768),
        _known("Qwen2.5-3B", 2048, 36, 16, 2, 11008, 151936, tied=True, context=32768),
        _known("Llama-2-7B", 4096, 32, 32, 32, 11008, 32000, context=4096),
        _known("InternLM-7B", 4096, 32, 32, 32, 11008, 103168, context=2048),
        _known("InternLM2-7B", 4096, 32, 32, 8, 14336, 92544, context=32768),
        _known("Qwen2.5-7B", 3584, 28, 28, 4, 18944, 152064, context=32768),
        _known("Llama-3-8B", 4096, 32, 32, 8, 14336, 128256, context=8192),
        _known("InternLM3-8B", 4096, 48, 32, 2, 10240, 128512, context=32768),
        _known("Llama-2-13B", 5120, 40, 40, 40, 13824, 32000, context=4096),
        _known("InternLM2-20B", 6144, 48, 48, 8, 16384, 92544, context=32768),
        _known("Qwen2.5-32B", 5120, 64, 40, 8, 27648, 152064, context=32768),
        _known("Llama-2-70B", 8192, 80, 64, 8, 28672, 32000, context=4096),
    )
}
"""Models that people ask about before they have them (sizes from their published config.json)."""
