"""Writes a Hugging Face checkpoint as one GGUF file (F16, Q8_0 or Q4_0) that openvino_genai reads directly.

Tensor by tensor, with an adapter merged on the way, into a cache named by the digest of everything that went in.
GGUF stores Llama's q and k rows in the order of the interleaved rotary embedding (pairs 2i, 2i+1), Hugging Face in
the order of the half-split one (i, i + head/2); the rows are permuted accordingly. Qwen keeps the half-split order.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Quantization

from workers.engine.cache import filled
from workers.engine.checkpoint import Checkpoint, head_size, rope_parameters
from workers.engine.vocabulary import Vocabulary
from workers.spec.errors import UserError
from workers.spec.serve import WeightFormat

EXPORTER_VERSION = 1
LARGE_MODEL = 100_000_000
"""From here on, `auto` stores eight-bit weights: half the memory traffic, which is what bounds decoding."""

FILE_TYPES = {"f16": 1, "q8_0": 7, "q4_0": 2}
FAMILIES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
}
LAYER_TENSORS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
OPTIONAL = ("self_attn.q_norm", "self_attn.k_norm")


class Unsupported(Exception):
    """The checkpoint is sound but GGUF (or its reader) cannot say it; another engine must serve it."""


@dataclass(frozen=True)
class Entry:
    """One tensor of the file: its name there, its name in the checkpoint, and how it is stored."""

    name: str
    source: str
    shape: tuple[int, ...]
    storage: Quantization
    heads: int = 0
    """More than zero: rows are permuted head by head into the interleaved rotary order."""

    @property
    def nbytes(self) -> int:
        block, size = gguf.GGML_QUANT_SIZES[self.storage]
        return int(np.prod(self.shape)) // block * size


def choose_format(checkpoint: Checkpoint, wanted: WeightFormat) -> str:
    if wanted != "auto":
        return wanted
    return "q8_0" if checkpoint.parameters >= LARGE_MODEL else "f16"


def family(checkpoint: Checkpoint) -> str:
    """The GGUF architecture of a checkpoint, or Unsupported with the reason."""
    config = checkpoint.config
    name = FAMILIES.get(checkpoint.architecture)
    if name is None:
        raise Unsupported(f"{checkpoint.architecture} is not in the Llama or Qwen families")
    rope = rope_parameters(config)
    if rope.get("rope_type", rope.get("type", "default")) != "default" or rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise Unsupported("its rotary embedding is scaled")
    if "quantization_config" in config:
        raise Unsupported("its weights are quantised already")
    if config.get("hidden_act", "silu") != "silu":
        raise Unsupported(f"its activation is {config['hidden_act']}")
    sliding = config.get("use_sliding_window", name == "llama") and config.get("sliding_window")
    if sliding and sliding < checkpoint.context_length:
        raise Unsupported("it attends through a sliding window")
    if checkpoint.adapter and not checkpoint.adapter.mergeable:
        raise Unsupported("its adapter is of a kind that plain sums do not merge")
    # GGUF's llama has rotary rows interleaved but biases are not reordered by the reader: qwen2 says the same model.
    return "qwen2" if name == "llama" and "model.layers.0.self_attn.q_proj.bias" in checkpoint else name


def export(checkpoint: Checkpoint, weights: str, cache_dir: Path) -> Path:
    """The path of the GGUF file for this checkpoint, written now unless the cache has it."""
    architecture = family(checkpoint)
    key = hashlib.sha256(f"{checkpoint.digest()} {weights} {EXPORTER_VERSION}".encode()).hexdigest()[:32]
    folder = filled(
        cache_dir / "gguf" / key, lambda temporary: _write(checkpoint, architecture, weights, temporary / "model.gguf")
    )
    return folder / "model.gguf"


def _write(checkpoint: Checkpoint, architecture: str, weights: str, path: Path) -> None:
    writer = gguf.GGUFWriter(path, architecture)
    entries = list(_entries(checkpoint, architecture, weights))
    _add_metadata(writer, checkpoint, weights)
    add_vocabulary(writer, checkpoint)
    for entry in entries:
        storage = np.dtype({Quantization.F32: np.float32, Quantization.F16: np.float16}.get(entry.storage, np.float32))
        writer.add_tensor_info(entry.name, entry.shape, storage, entry.nbytes, raw_dtype=entry.storage)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for entry in entries:
        writer.write_tensor_data(_stored(checkpoint, entry))
    writer.close()


def _stored(checkpoint: Checkpoint, entry: Entry) -> np.ndarray:
    weight = checkpoint.read(entry.source)
    if weight.shape != entry.shape:
        raise UserError(
            "engine.wrong_shape",
            "{name} has the shape {found} where the model's config says {expected}; copy or train the model again.",
            name=entry.source,
            found=str(weight.shape),
            expected=str(entry.shape),
        )
    if entry.heads:
        weight = interleave(weight, entry.heads)
    if entry.storage == Quantization.F16 and np.abs(weight).max(initial=0) > np.finfo(np.float16).max:
        raise Unsupported(f"{entry.source} does not fit into 16-bit floats")
    stored: np.ndarray = gguf.quants.quantize(np.ascontiguousarray(weight), entry.storage)
    return stored


def interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head from (first half, second half) to (pair by pair)."""
    head = weight.shape[0] // heads
    return weight.reshape(heads, 2, head // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def _entries(checkpoint: Checkpoint, architecture: str, weights: str) -> Iterator[Entry]:
    # The embedding and the head are looked up and summed over the whole vocabulary: four bits would cost most there.
    outer = "q8_0" if weights == "q4_0" else weights
    yield _entry(checkpoint, "token_embd.weight", "model.embed_tokens.weight", outer)
    yield _entry(checkpoint, "output_norm.weight", "model.norm.weight", weights)
    if "lm_head.weight" in checkpoint and not checkpoint.config.get("tie_word_embeddings"):
        yield _entry(checkpoint, "output.weight", "lm_head.weight", outer)
    heads = checkpoint.config["num_attention_heads"]
    rotary = {
        "self_attn.q_proj": heads,
        "self_attn.k_proj": checkpoint.config.get("num_key_value_heads") or heads,
    }
    for layer in range(checkpoint.config["num_hidden_layers"]):
        for module, target in LAYER_TENSORS.items():
            source = f"model.layers.{layer}.{module}"
            if module in OPTIONAL and f"{source}.weight" not in checkpoint:
                continue
            permuted = rotary.get(module, 0) if architecture == "llama" else 0
            yield _entry(checkpoint, f"blk.{layer}.{target}.weight", f"{source}.weight", weights, permuted)
            if f"{source}.bias" in checkpoint:
                yield _entry(checkpoint, f"blk.{layer}.{target}.bias", f"{source}.bias", weights)


def _entry(checkpoint: Checkpoint, name: str, source: str, weights: str, heads: int = 0) -> Entry:
    if source not in checkpoint:
        checkpoint.read(source)  # says which tensor is missing
    shape = checkpoint.tensors[source].shape
    storage = Quantization.F32
    if len(shape) == 2:
        storage = {"f16": Quantization.F16, "q8_0": Quantization.Q8_0, "q4_0": Quantization.Q4_0}[weights]
        if shape[1] % gguf.GGML_QUANT_SIZES[storage][0]:
            storage = Quantization.F16
    return Entry(name, source, shape, storage, heads)


def _add_metadata(writer: gguf.GGUFWriter, checkpoint: Checkpoint, weights: str) -> None:
    config = checkpoint.config
    heads = config["num_attention_heads"]
    size = head_size(config)
    writer.add_name(checkpoint.folder.name)
    writer.add_file_type(FILE_TYPES[weights])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(checkpoint.context_length)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(float(rope_parameters(config)["rope_theta"]))
    writer.add_layer_norm_rms_eps(float(config.get("rms_norm_eps", 1e-6)))


def add_vocabulary(writer: gguf.GGUFWriter, checkpoint: Checkpoint) -> None:
    config = checkpoint.config
    vocabulary = Vocabulary(checkpoint.folder, config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges or ["a b"])
    for name, add in (("bos_token_id", writer.add_bos_token_id), ("pad_token_id", writer.add_pad_token_id)):
        if isinstance(config.get(name), int):
            add(config[name])
    end = config.get("eos_token_id")
    end = end[0] if isinstance(end, list) and end else end
    writer.add_eos_token_id(end if isinstance(end, int) else 0)
