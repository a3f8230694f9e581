"""Keeps the weights that had the lowest held-out loss, beside the checkpoints of a run."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from workers.program import write_json
from workers.train.output import publish_folder, save_tensors
from workers.train.team import put, whole

WEIGHTS, STATE = "weights.safetensors", "state.json"


class Best:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, parameters: Mapping[str, torch.nn.Parameter], step: int, *, write: bool) -> None:
        """All processes bring their parts; the one that may `write` does."""
        weights = {name: whole(item.detach()) for name, item in parameters.items()}
        if not write:
            return
        with publish_folder(self.folder) as temporary:
            save_tensors(weights, temporary / WEIGHTS)
            write_json(temporary / STATE, {"step": step})

    def take_back(self, parameters: Mapping[str, torch.nn.Parameter], step: int) -> None:
        """Put the best weights in place of those of `step`, unless they are the same."""
        from safetensors.torch import load_file

        if not (self.folder / STATE).is_file():
            return
        if json.loads((self.folder / STATE).read_text(encoding="utf-8"))["step"] == step:
            return
        weights = load_file(self.folder / WEIGHTS)
        with torch.no_grad():
            for name, item in parameters.items():
                item.copy_(put(item, weights[name]))
