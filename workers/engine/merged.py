"""Writes a checkpoint with its adapter merged as a plain model folder, for engines that cannot do it themselves."""

import shutil
from pathlib import Path

from workers.engine.cache import filled
from workers.engine.checkpoint import Checkpoint, read_safetensors_index


def merged_folder(checkpoint: Checkpoint, cache_dir: Path) -> Path:
    """The model folder to load: the checkpoint's own when it has no adapter, else a merged copy from the cache."""
    if checkpoint.adapter is None:
        return checkpoint.folder

    def write(temporary: Path) -> None:
        for path in sorted(checkpoint.folder.iterdir()):
            if path.suffix == ".safetensors":
                _write_shard(checkpoint, path, temporary / path.name)
            elif path.suffix in (".json", ".jinja", ".txt", ".model"):
                shutil.copy2(path, temporary / path.name)

    return filled(cache_dir / "merged" / checkpoint.digest()[:32], write)


def _write_shard(checkpoint: Checkpoint, source: Path, target: Path) -> None:
    import torch
    from safetensors.torch import save_file

    types = {"BF16": torch.bfloat16, "F16": torch.float16}
    tensors = {
        name: torch.from_numpy(checkpoint.read(name)).to(types.get(entry.dtype, torch.float32))
        for name, entry in read_safetensors_index(source).items()
    }
    save_file(tensors, target, metadata={"format": "pt"})
