"""Reads a model folder (config.json, *.safetensors, a LoRA adapter beside it) with numpy alone.

Weights come out as float32 arrays one at a time, adapters already merged, so that a conversion never holds the
whole model. The digest names the exact bytes; whatever is derived from a checkpoint is cached under it.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from workers.spec.errors import UserError

FLOAT_TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
LORA_PREFIX = "base_model.model."


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            "engine.missing_file",
            "The model folder {folder} has no {name}; export the model again or choose another folder.",
            folder=path.parent.name,
            name=path.name,
        ) from None
    except ValueError as error:
        raise UserError(
            "engine.broken_file",
            "{name} of the model is no valid JSON ({detail}); import the model again.",
            name=path.name,
            detail=str(error),
        ) from None
    assert isinstance(content, dict)
    return content


@dataclass(frozen=True)
class Tensor:
    """Where one array lies in a safetensors file: `start` is counted from the beginning of the file."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int

    def read(self) -> np.ndarray:
        """The array as float32 (bfloat16 is the upper half of a float32)."""
        if self.dtype not in FLOAT_TYPES:
            raise UserError(
                "engine.unsupported_dtype",
                "{name} holds numbers of type {dtype}, which cannot be served; save the model as float16 or bfloat16.",
                name=self.path.name,
                dtype=self.dtype,
            )
        if math.prod(self.shape) == 0:
            return np.zeros(self.shape, np.float32)
        raw = np.memmap(self.path, FLOAT_TYPES[self.dtype], "r", self.start, self.shape)
        if self.dtype == "BF16":
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(np.float32)


def read_safetensors_index(path: Path) -> dict[str, Tensor]:
    """The tensors of one safetensors file: an 8-byte header length, a JSON header, then the data."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            if length > size - 8:
                raise ValueError("the file is shorter than its header says")
            header = json.loads(file.read(length))
        except ValueError as error:
            raise _broken(path, str(error)) from None
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        if 8 + length + end > size:
            raise _broken(path, "the file is shorter than its header says")
        tensors[name] = Tensor(path, entry["dtype"], tuple(entry["shape"]), 8 + length + begin)
    return tensors


def _broken(path: Path, detail: str) -> UserError:
    return UserError(
        "engine.broken_weights",
        "{name} cannot be read ({detail}); copy or train the model again.",
        name=path.name,
        detail=detail,
    )


class Adapter:
    """A LoRA folder of PEFT: low-rank updates W + scale · B·A, and whole replacements from `modules_to_save`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = read_json(folder / "adapter_config.json")
        self.tensors = read_safetensors_index(folder / "adapter_model.safetensors")

    @property
    def mergeable(self) -> bool:
        """Whether plain matrix sums merge it: no DoRA, no embeddings' own LoRA, no transposed layers."""
        plain = self.config.get("peft_type", "LORA") == "LORA" and not self.config.get("use_dora")
        return plain and not self.config.get("fan_in_fan_out") and not any("lora_embedding" in key for key in self.tensors)

    @property
    def targets(self) -> set[str]:
        """Names of the base's tensors that the adapter changes or replaces."""
        names = {re.sub(r"\.lora_[AB]\.weight$", ".weight", name) for name in self.tensors}
        return {name.removeprefix(LORA_PREFIX) for name in names}

    def _scale(self, module: str, rank: int) -> float:
        alpha = _by_pattern(self.config.get("alpha_pattern"), module, self.config["lora_alpha"])
        return float(alpha / (math.sqrt(rank) if self.config.get("use_rslora") else rank))

    def merge(self, name: str, weight: np.ndarray) -> np.ndarray:
        """The tensor `name` of the base with this adapter's share added."""
        replacement = self.tensors.get(LORA_PREFIX + name)
        if replacement is not None:
            return replacement.read()
        module = name.removesuffix(".weight")
        down = self.tensors.get(f"{LORA_PREFIX}{module}.lora_A.weight")
        up = self.tensors.get(f"{LORA_PREFIX}{module}.lora_B.weight")
        if down is None or up is None:
            return weight
        merged: np.ndarray = weight + self._scale(module, down.shape[0]) * (up.read() @ down.read())
        return merged


def _by_pattern(patterns: dict[str, float] | None, module: str, default: float) -> float:
    for pattern, value in (patterns or {}).items():
        if module == pattern or module.endswith("." + pattern):
            return value
    return default


class Checkpoint:
    """A Hugging Face model folder with safetensors weights, and the adapter to be merged into it."""

    def __init__(self, folder: Path, adapter: Path | None = None) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise UserError(
                "engine.no_model_folder",
                "The model folder {folder} is gone; import or train the model again.",
                folder=folder.name,
            )
        self.config = read_json(folder / "config.json")
        self.adapter = Adapter(adapter) if adapter else None

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        files = sorted(self.folder.glob("*.safetensors"))
        if not files:
            raise UserError(
                "engine.no_weights",
                "The model folder {folder} has no safetensors weights; other formats are not loaded because they can run code.",
                folder=self.folder.name,
            )
        return {name: tensor for path in files for name, tensor in read_safetensors_index(path).items()}

    @property
    def architecture(self) -> str:
        return str((self.config.get("architectures") or ["unknown"])[0])

    @property
    def context_length(self) -> int:
        return int(self.config.get("max_position_embeddings") or 2048)

    @cached_property
    def parameters(self) -> int:
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def read(self, name: str) -> np.ndarray:
        if name not in self.tensors:
            raise UserError("engine.missing_tensor", "The model's weights lack {name}; copy or train the model again.", name=name)
        weight = self.tensors[name].read()
        return self.adapter.merge(name, weight) if self.adapter else weight

    def digest(self) -> str:
        """SHA-256 (hex) over every file that shapes the output: weights, config, tokenizer, adapter."""
        digest = hashlib.sha256()
        for path in self._files():
            digest.update(f"\0{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    def _files(self) -> Iterator[Path]:
        for folder in [self.folder, *([self.adapter.folder] if self.adapter else [])]:
            names = ["config.json", "tokenizer.json", "tokenizer_config.json", "adapter_config.json"]
            yield from (folder / name for name in names if (folder / name).is_file())
            yield from sorted(folder.glob("*.safetensors"))


def rope_parameters(config: dict[str, Any]) -> dict[str, Any]:
    """Rotary settings from either spelling: `rope_parameters` (new) or `rope_theta` with `rope_scaling` (old)."""
    old = {"rope_theta": config.get("rope_theta", 10000.0), **(config.get("rope_scaling") or {})}
    return old | (config.get("rope_parameters") or {})


def head_size(config: dict[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])
