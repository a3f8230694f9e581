import errno
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from workers.spec.errors import UserError
from workers.train.checkpoint import CheckpointStore


def store(folder: Path, digest: str = "a", keep: int = 2) -> CheckpointStore:
    return CheckpointStore(folder / "checkpoints", digest=digest, keep=keep)


def save(target: CheckpointStore, step: int) -> Path:
    return target.save(step, {"weights": {"w": torch.full((3,), float(step))}}, {"step": step})


def test_the_newest_whole_checkpoint_is_read_back(tmp_path: Path) -> None:
    written = store(tmp_path)
    for step in (1, 2, 3):
        save(written, step)
    found = store(tmp_path).latest()
    assert found is not None
    assert (found.step, found.state, found.tensors("weights")["w"].tolist()) == (3, {"step": 3}, [3.0, 3.0, 3.0])
    assert len(list((tmp_path / "checkpoints").glob("step-*"))) == 2


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, damage: str) -> None:
    written = store(tmp_path)
    save(written, 1)
    file = save(written, 2) / "weights.safetensors"
    content = file.read_bytes()
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(content[:-4] if damage == "truncate" else content[:-1] + b"\x01")
    found = store(tmp_path).latest()
    assert found is not None
    assert found.step == 1


def test_unfinished_folders_are_removed_and_never_read(tmp_path: Path) -> None:
    save(store(tmp_path), 1)
    shutil.copytree(tmp_path / "checkpoints/step-000000001", tmp_path / "checkpoints/step-000000002.tmp")
    opened = store(tmp_path)
    opened.tidy()
    found = opened.latest()
    assert found is not None
    assert found.step == 1
    assert not list((tmp_path / "checkpoints").glob("*.tmp"))


def test_another_process_of_the_run_changes_nothing_by_looking(tmp_path: Path) -> None:
    """Two processes begin at once, and the first of them clears the folder; the other is in nobody's way."""
    assert store(tmp_path).latest() is None
    assert not (tmp_path / "checkpoints").exists()
    save(store(tmp_path), 1)
    being_written = tmp_path / "checkpoints/step-000000002.tmp"
    being_written.mkdir()
    assert store(tmp_path).latest() is not None
    assert being_written.exists()


def test_a_checkpoint_of_another_spec_is_refused(tmp_path: Path) -> None:
    save(store(tmp_path, digest="a"), 1)
    with pytest.raises(UserError, match="other settings or data"):
        store(tmp_path, digest="b").latest()


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = store(tmp_path)
    save(written, 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match="No space left") as raised:
        save(written, 2)
    assert raised.value.errno == errno.ENOSPC
    found = store(tmp_path).latest()
    assert found is not None
    assert found.step == 1
    assert not list((tmp_path / "checkpoints").glob("*.tmp"))
