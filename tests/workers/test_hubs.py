"""S8.6: datasets and models come from Hugging Face, ModelScope or a mirror of them."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workers.hub_double import REPOSITORY, hub_double
from tests.workers.models.tiny import run_program, write_model
from workers.data.fetching import chosen, fetch_dataset
from workers.hubs import HubFile, Repository, safe_path
from workers.program import Program
from workers.spec.data import FetchDatasetSpec
from workers.spec.errors import UserError
from workers.spec.run import RunFile

VARIABLES = {"huggingface": "HF_ENDPOINT", "modelscope": "MODELSCOPE_ENDPOINT"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[str]]]:
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with hub_double(folder) as (address, asked):
        for variable in VARIABLES.values():
            monkeypatch.setenv(variable, address)
        yield folder, asked


def fetched(tmp_path: Path, **spec: Any) -> tuple[Path, dict[str, Any]]:
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "run").mkdir(exist_ok=True)
    run = RunFile(
        job=1,
        kind="fetch_dataset",
        spec={"upload": 1, "hub_id": REPOSITORY, **spec},
        run_dir=tmp_path / "run",
        output_dir=tmp_path / "out",
    )
    program = Program(run)
    try:
        result = dict(fetch_dataset(program))
    finally:
        program.events._file.close()
    return tmp_path / "out" / result["file"], result


@pytest.mark.parametrize("name", VARIABLES)
def test_all_data_files_of_the_main_format_become_one(name: str, tmp_path: Path, hub: tuple[Path, list[str]]) -> None:
    folder, _ = hub
    (folder / "data").mkdir()
    (folder / "README.md").write_text("about")
    (folder / "dataset_infos.json").write_text("{}" * 500)
    (folder / "data/train.jsonl").write_text('{"text": "one"}\n' * 9)
    (folder / "data/test.jsonl").write_text('{"text": "two"}\n')
    (folder / "small.csv").write_text("text\nthree\n")
    made, result = fetched(tmp_path, hub=name)
    assert result["files"] == ["data/test.jsonl", "data/train.jsonl"]
    with zipfile.ZipFile(made) as archive:
        assert archive.read("data/train.jsonl") == (folder / "data/train.jsonl").read_bytes()
    made, result = fetched(tmp_path, hub=name, file="small.csv")
    assert made.read_text() == "text\nthree\n"
    assert not (tmp_path / "out" / ".incoming").exists()


@pytest.mark.parametrize("name", VARIABLES)
def test_what_a_broken_attempt_left_is_gone_on_from(name: str, tmp_path: Path, hub: tuple[Path, list[str]]) -> None:
    folder, asked = hub
    (folder / "a.jsonl").write_text('{"text": "0123456789"}\n')
    part = tmp_path / "out" / ".incoming" / "a.jsonl.part"
    part.parent.mkdir(parents=True)
    part.write_bytes((folder / "a.jsonl").read_bytes()[:10])
    made, _ = fetched(tmp_path, hub=name)
    assert made.read_bytes() == (folder / "a.jsonl").read_bytes()
    assert asked[-1].endswith("bytes=10-")


def test_a_file_that_arrives_damaged_is_refused(tmp_path: Path, hub: tuple[Path, list[str]]) -> None:
    folder, _ = hub
    (folder / "a.jsonl").write_text('{"text": "right"}\n')
    part = tmp_path / "out" / ".incoming" / "a.jsonl.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"wrong")
    with pytest.raises(UserError, match="did not arrive") as told:
        fetched(tmp_path, hub="modelscope")
    assert told.value.code == "hub.damaged"
    assert not part.exists(), "the next attempt begins anew"


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"hub_id": "no/such"}, "hub.no_repository"),
        ({"revision": "v9"}, "hub.no_repository"),
        ({"hub_id": "closed/data"}, "hub.closed"),
        ({"hub_id": "odd/data"}, "hub.odd_answer"),
        ({"hub_id": "../etc"}, "hub.bad_name"),
        ({"hub_id": "a/b?x=1"}, "hub.bad_name"),
        ({"file": "no.csv"}, "hub.no_data"),
        ({}, "hub.no_data"),
    ],
)
def test_a_hub_that_says_no_is_told_in_one_sentence(
    spec: dict[str, str], code: str, tmp_path: Path, hub: tuple[Path, list[str]]
) -> None:
    (hub[0] / "model.bin").write_bytes(b"x")
    with pytest.raises(UserError) as told:
        fetched(tmp_path, **spec)
    assert told.value.code == code


def test_a_hub_that_is_away_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="MODELSCOPE_ENDPOINT"):
        fetched(tmp_path, hub="modelscope")


def test_names_that_leave_the_folder_are_not_taken() -> None:
    for path in ("../a.csv", "/etc/a.csv", "a/../../b.csv", "a\\b.csv", "a\nb.csv", ""):
        assert not safe_path(path)
    spec = FetchDatasetSpec(upload=1, hub_id=REPOSITORY)
    with pytest.raises(UserError, match="no data file"):
        chosen([HubFile("../a.csv", 5)], spec)
    assert Repository("modelscope", "models", REPOSITORY, "main").version == "master", "each hub has its own first branch"


def test_a_model_comes_from_modelscope(tmp_path: Path, hub: tuple[Path, list[str]]) -> None:
    folder, _ = hub
    write_model(folder)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "modeling.py").write_text("print('never')")
    address = {"MODELSCOPE_ENDPOINT": Repository("modelscope", "models", REPOSITORY).address, "NO_PROXY": "127.0.0.1"}
    spec = {"name": "Imported", "model": 1, "hub_id": REPOSITORY, "hub": "modelscope"}
    code, result, _ = run_program(tmp_path / "a", "import_model", spec, {}, **address)
    assert code == 0, result
    names = {path.name for path in (tmp_path / "a" / "output" / "model").iterdir()}
    assert names == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    (folder / "model.safetensors").unlink()
    code, error, _ = run_program(tmp_path / "b", "import_model", spec, {}, **address)
    assert (code, error["code"]) == (2, "model.pickle_refused")
