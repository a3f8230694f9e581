"""The engines' cache: whole folders only, and nothing left of writers that were killed."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from workers.engine import cache


def write_text(folder: Path) -> None:
    (folder / "weights").write_text("whole")


def write_and_hang(root: str, told: str) -> None:
    def write(folder: Path) -> None:
        (folder / "weights").write_text("half")
        Path(told).touch()
        time.sleep(600)

    cache.filled(Path(root) / "gguf" / "key", write)


def old(folder: Path) -> Path:
    (folder / "weights").write_text("half")
    long_ago = time.time() - 2 * cache.FRESH_SECONDS
    os.utime(folder, (long_ago, long_ago))
    return folder


def test_folder_is_written_once_and_whole(tmp_path: Path) -> None:
    folder = cache.filled(tmp_path / "gguf" / "key", write_text)
    assert (folder / "weights").read_text() == "whole"
    assert cache.filled(folder, lambda _: pytest.fail("written twice")) == folder


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write_text(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        cache.filled(tmp_path / "gguf" / "key", fail)
    assert list((tmp_path / "gguf").iterdir()) == []


def test_writer_that_comes_second_takes_what_the_first_wrote(tmp_path: Path) -> None:
    folder = tmp_path / "gguf" / "key"

    def overtaken(temporary: Path) -> None:
        write_text(temporary)
        cache.filled(folder, write_text)

    assert (cache.filled(folder, overtaken) / "weights").read_text() == "whole"
    assert [path.name for path in folder.parent.iterdir()] == ["key"]


def test_leftover_of_a_killed_writer_is_swept_and_a_living_one_s_folder_is_not(tmp_path: Path) -> None:
    told = tmp_path / "told"
    writer = multiprocessing.get_context("spawn").Process(target=write_and_hang, args=(str(tmp_path), str(told)), daemon=True)
    writer.start()
    while not told.exists():
        assert writer.is_alive()
        time.sleep(0.01)
    (unfinished,) = (tmp_path / "gguf").iterdir()
    old(unfinished)
    assert cache.sweep(tmp_path) == []
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    assert cache.sweep(tmp_path) == [unfinished]
    assert list((tmp_path / "gguf").iterdir()) == []


def test_folder_that_was_just_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "gguf" / f"{cache.PREFIX}x").mkdir(parents=True)
    assert cache.sweep(tmp_path) == []
