"""What a model folder is told to be, and what is refused (issue «Bad input»: pickles, missing files)."""

import json
from pathlib import Path

import pytest

from tests.workers.models.tiny import write_adapter, write_model
from workers.data.templates import load_template
from workers.models.folder import check_folder, file_digest, inspect, is_known_type
from workers.spec.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny")


def code_of(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        check_folder(folder)
    return caught.value.code


def test_inspect_counts_parameters_and_digests(folder: Path) -> None:
    facts = inspect(folder)
    vocabulary = load_template(folder).vocabulary_size
    assert facts.kind == "model"
    assert facts.architecture == "LlamaForCausalLM"
    assert facts.parameters == vocabulary * 32 + 32 + 2 * (4 * 32 * 32 + 3 * 64 * 32 + 2 * 32)
    assert (facts.context_length, facts.vocabulary, facts.dtype) == (256, vocabulary, "F32")
    assert facts.weights_sha256 == file_digest(folder / "model.safetensors")
    assert facts.template_hash == load_template(folder).hash
    assert facts.bytes == sum(entry["bytes"] for entry in facts.files)


def test_inspect_reads_licence_and_languages_from_the_readme(folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nlanguage:\n- zh\n- en\n---\n# Tiny\n")
    facts = inspect(folder)
    assert (facts.licence, facts.languages) == ("apache-2.0", ["zh", "en"])


def test_inspect_takes_a_broken_readme_as_none(folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: [\n---\n")
    assert inspect(folder).licence == ""


def test_adapter_and_tokenizer_folders_are_recognised(tmp_path: Path, folder: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter")
    assert check_folder(adapter) == "adapter"
    assert inspect(adapter).base_name == "tiny"
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
    assert inspect(folder).kind == "tokenizer"
    assert inspect(folder).weights_sha256 == file_digest(folder / "tokenizer.json")


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "model.pt", "weights.pth", "model.pkl", "last.ckpt"])
def test_pickles_alone_are_refused(folder: Path, pickle: str) -> None:
    (folder / "model.safetensors").rename(folder / pickle)
    assert code_of(folder) == "model.pickle_refused"


def test_missing_parts_are_named(tmp_path: Path, folder: Path) -> None:
    assert code_of(tmp_path / "nothing") == "model.no_folder"
    (folder / "model.safetensors").unlink()
    assert code_of(folder) == "model.no_weights"
    (folder / "config.json").write_text("{")
    assert code_of(folder) == "model.broken_config"
    (folder / "config.json").unlink()
    (folder / "tokenizer.json").unlink()
    assert code_of(folder) == "model.no_config"


def test_missing_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        inspect(folder)


def test_missing_shard_is_named(folder: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="model-00001-of-00002"):
        check_folder(folder)


@pytest.mark.parametrize("damage", [b"", b"\x00" * 4, b"\xff" * 64, None])
def test_damaged_weights_are_refused(folder: Path, damage: bytes | None) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5] if damage is None else damage)
    assert code_of(folder) == "model.broken_weights"


def test_code_beside_the_weights_is_refused_unless_the_architecture_is_known(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    own = {**config, "model_type": "baichuan", "auto_map": {"AutoModelForCausalLM": "modeling.Own"}}
    (folder / "config.json").write_text(json.dumps(own))
    assert code_of(folder) == "model.remote_code"
    (folder / "config.json").write_text(json.dumps({**own, "model_type": "internlm3"}))
    assert check_folder(folder) == "model"
    del config["model_type"]
    (folder / "config.json").write_text(json.dumps(config))
    assert code_of(folder) == "model.no_type"


def test_known_types_take_no_path_for_a_name() -> None:
    assert is_known_type("llama")
    assert not is_known_type("../llama")
    assert not is_known_type("")
