"""Compiled kernels: where their code is kept, and what is told where they cannot be made."""

import getpass
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workers.train import tiny
from workers.spec.errors import UserError
from workers.train import kernels

Maker = Callable[..., tiny.Run]
PLACE = "TORCHINDUCTOR_CACHE_DIR"


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A temporary folder of the machine's own; nothing is chosen yet."""
    monkeypatch.setenv(PLACE, "")  # so that what is chosen is forgotten after the test
    monkeypatch.delenv(PLACE)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def nameless() -> str:
    raise KeyError("getpwuid(): uid not found: 12345")


def test_compiled_code_is_kept_for_later_runs(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")
    kernels.choose_cache(tmp_path / "run")
    assert Path(os.environ[PLACE]).parent == place
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", [KeyError("uid"), OSError("no name")])
def test_a_user_without_a_name_gets_a_folder_in_the_run(
    error: Exception, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getuser() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", getuser)
    kernels.choose_cache(tmp_path / "run")
    assert Path(os.environ[PLACE]) == tmp_path / "run"
    assert (tmp_path / "run").is_dir()
    assert not list(place.iterdir())


def test_a_folder_of_somebody_else_is_left_alone(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")
    (place / "torchinductor_ann").write_text("not a folder")
    kernels.choose_cache(tmp_path / "run")
    assert Path(os.environ[PLACE]) == tmp_path / "run"


def test_the_folder_that_the_machine_names_is_taken(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", nameless)
    monkeypatch.setenv(PLACE, str(tmp_path / "named"))
    kernels.choose_cache(tmp_path / "run")
    assert Path(os.environ[PLACE]) == tmp_path / "named"


def test_a_run_chooses_it_before_it_compiles(sft: Maker, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where there is no compiler the run says so."""
    monkeypatch.setattr(getpass, "getuser", nameless)
    monkeypatch.setattr(kernels, "has_compiler", lambda: False)
    run = sft(method="lora", epochs=1, optimisation={"compile": "on"})
    with pytest.raises(UserError, match="needs a C\\+\\+ compiler"):
        run.here()
    assert Path(os.environ[PLACE]) == run.folder / "compiled"
