"""Checkpoints that survive a crash at any moment.

Files are written to a temporary folder, synced, listed with their SHA-256 in a manifest, and renamed; the pointer
`latest` moves last. Tensors are safetensors, the rest is JSON: nothing in a checkpoint can run code.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.program import write_json
from workers.spec.errors import UserError
from workers.train.output import file_digest, fsync_path, save_tensors

if TYPE_CHECKING:
    import torch

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Checkpoint:
    """`tensors`: file stem → name → tensor; `state`: the numbers and choices needed to go on."""

    step: int
    state: dict[str, Any]
    folder: Path

    def tensors(self, stem: str) -> "dict[str, torch.Tensor]":
        from safetensors.torch import load_file

        return load_file(self.folder / f"{stem}.safetensors")


class CheckpointStore:
    """Who only reads changes nothing: of several processes on one folder, the one that writes calls tidy() or clear()."""

    def __init__(self, folder: Path, *, digest: str, keep: int) -> None:
        """`digest` names what is trained; a checkpoint of something else is refused."""
        self.folder = folder
        self._digest = digest
        self._keep = keep

    def tidy(self) -> None:
        """Remove what a killed process left unfinished."""
        for unfinished in self.folder.glob("*.tmp"):
            shutil.rmtree(unfinished, ignore_errors=True)

    def save(self, step: int, tensors: "Mapping[str, Mapping[str, torch.Tensor]]", state: Mapping[str, Any]) -> Path:
        name = f"step-{step:09d}"
        target, temporary = self.folder / name, self.folder / f"{name}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            for stem, group in tensors.items():
                save_tensors(group, temporary / f"{stem}.safetensors")
            write_json(temporary / "state.json", dict(state))
            files = sorted(temporary.iterdir())
            for file in files:
                fsync_path(file)
            listed = {file.name: {"sha256": file_digest(file), "bytes": file.stat().st_size} for file in files}
            write_json(temporary / MANIFEST, {"step": step, "digest": self._digest, "files": listed})
            fsync_path(temporary)
            shutil.rmtree(target, ignore_errors=True)
            temporary.rename(target)
            fsync_path(self.folder)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        write_json(self.folder / "latest", {"name": name})
        fsync_path(self.folder)
        for old in self._finished()[: -self._keep]:
            shutil.rmtree(old, ignore_errors=True)
        return target

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint whose files are all as they were written."""
        for folder in reversed(self._finished()):
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if manifest["digest"] != self._digest:
                raise UserError(
                    "train.checkpoint_of_other_spec",
                    "The checkpoint {name} was written with other settings or data; start a new run instead of going on.",
                    name=folder.name,
                )
            if all(_is_whole(folder / name, facts) for name, facts in manifest["files"].items()):
                state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
                return Checkpoint(manifest["step"], state, folder)
        return None

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _finished(self) -> list[Path]:
        return sorted(path.parent for path in self.folder.glob(f"step-*/{MANIFEST}") if path.parent.suffix != ".tmp")


def _is_whole(path: Path, facts: Mapping[str, Any]) -> bool:
    return path.is_file() and path.stat().st_size == facts["bytes"] and file_digest(path) == facts["sha256"]
