"""N3 where it is used: in training, at the next training, and when an engine starts."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workers.models.tiny import write_adapter
from tests.workers.train import tiny
from workers.data.templates import load_template
from workers.engine.__main__ import open_template
from workers.spec.errors import UserError
from workers.spec.serve import EngineRun, ServeSpec

TWO_WAYS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant: ' }}{% endif %}"
)


@pytest.fixture
def two_ways(base: Path, tmp_path: Path) -> Path:
    """The base with a template that serving would open otherwise than training."""
    folder = tmp_path / "two-ways"
    shutil.copytree(base, folder)
    (folder / "chat_template.jinja").write_text(TWO_WAYS, encoding="utf-8")
    return folder


def test_a_run_records_what_it_compared_and_what_it_began_with(sft: Callable[..., tiny.Run], base: Path) -> None:
    hash_ = load_template(base).hash
    run = sft(epochs=1, model=tiny.model(base, sha256="ab" * 32, template_hash=hash_))
    result = run.here()
    assert result["token_identity"]["conversations"] == 16
    assert result["token_identity"]["template_hash"] == result["template_hash"] == hash_
    assert run.samples("identity")[0]["sha256"] == result["token_identity"]["sha256"]
    assert result["resolved"]["models"]["base_model"] == {"name": "tiny", "sha256": "ab" * 32, "template_hash": hash_}


def test_fine_tuning_stops_where_serving_would_ask_otherwise(sft: Callable[..., tiny.Run], two_ways: Path) -> None:
    run = sft(model=tiny.model(two_ways))
    with pytest.raises(UserError, match="opens answers in two ways"):
        run.here()
    assert not run.curve("loss")


def test_preferences_stop_too(preference: Callable[..., tiny.Run], two_ways: Path) -> None:
    run = preference()
    run.inputs["base_model"] = tiny.model(two_ways)
    with pytest.raises(UserError, match="opens answers in two ways"):
        run.here()


def test_a_base_whose_template_was_changed_is_not_trained(sft: Callable[..., tiny.Run], two_ways: Path, base: Path) -> None:
    with pytest.raises(UserError, match="not the one that was recorded"):
        sft(model=tiny.model(two_ways, template_hash=load_template(base).hash)).here()


def test_an_engine_serves_the_recorded_tokens_only(two_ways: Path, base: Path, tmp_path: Path) -> None:
    def engine(folder: Path, adapter: Path | None = None) -> EngineRun:
        return EngineRun(
            deployment=1,
            served_name="Shop",
            model_path=str(folder),
            adapter_path=str(adapter) if adapter else None,
            cache_dir=str(tmp_path),
            ready_file=str(tmp_path / "ready.json"),
            spec=ServeSpec(model=1),
            template_hash=load_template(base).hash,
        )

    assert open_template(engine(base)).hash == load_template(base).hash
    adapter = write_adapter(tmp_path / "adapter")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(base / name, adapter / name)
    assert open_template(engine(two_ways, adapter)).hash == load_template(base).hash, "the adapter brings its own"
    with pytest.raises(UserError, match="“Shop” is not the one that was recorded"):
        open_template(engine(two_ways))
