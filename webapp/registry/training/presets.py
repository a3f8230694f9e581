"""Sizes of new models: one architecture in three sizes for a processor and three for a graphics card (S1.3, S7.5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from workers.planner.shape import ModelShape


@dataclass(frozen=True)
class Preset:
    """`settings`: fields of the form; the vocabulary is the tokenizer's."""

    name: str
    label: str | Promise
    device: str
    settings: Mapping[str, int]

    def shape(self, vocabulary: int) -> ModelShape:
        given = {key.rpartition(".")[2]: value for key, value in self.settings.items()}
        return ModelShape(
            name=self.name,
            hidden=given["hidden_size"],
            layers=given["layers"],
            heads=given["heads"],
            kv_heads=given.get("kv_heads", given["heads"]),
            intermediate=given.get("intermediate_size", 32 * round(given["hidden_size"] * 8 / 3 / 32)),
            vocabulary=vocabulary,
            tied=True,
        )


def _preset(name: str, label: str | Promise, device: str, sequence: int, context: int, **sizes: int) -> Preset:
    architecture = {f"architecture.{key}": value for key, value in {**sizes, "context_length": context}.items()}
    return Preset(name, label, device, {**architecture, "sequence_length": sequence})


PRESETS = (
    _preset("tiny", _("Tiny"), "cpu", 128, 512, hidden_size=128, layers=4, heads=4),
    _preset("small", _("Small"), "cpu", 256, 1024, hidden_size=320, layers=7, heads=5),
    _preset("medium", _("Medium"), "cpu", 512, 1024, hidden_size=512, layers=8, heads=8),
    _preset("light", _("Light (GPU)"), "cuda", 1024, 2048, hidden_size=768, layers=12, heads=12),
    _preset("middle", _("Medium (GPU)"), "cuda", 2048, 4096, hidden_size=1024, layers=24, heads=16, kv_heads=8),
    _preset(
        "heavy", _("Heavy (GPU)"), "cuda", 4096, 4096, hidden_size=2048, layers=22, heads=32, kv_heads=4, intermediate_size=5632
    ),
)


def offered(values: Mapping[str, str], vocabulary: int) -> list[dict[str, Any]]:
    """The presets as buttons: what each sets, how large the model becomes, and whether it is what the form says now."""
    return [
        {
            "label": preset.label,
            "device": preset.device,
            "parameters": preset.shape(vocabulary).parameters,
            "apply": urlencode(preset.settings),
            "chosen": all(values.get(key) == str(value) for key, value in preset.settings.items()),
        }
        for preset in PRESETS
    ]
