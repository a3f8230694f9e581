import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.workers.train import tiny
from workers.data.templates import load_template
from workers.spec.errors import UserError

# peft reads an attribute that transformers has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

Maker = Callable[..., tiny.Run]
FAST = {"learning_rate": 5e-3}


def logits(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits


def opened(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()


def test_three_fields_suffice_and_every_choice_is_recorded(sft: Maker) -> None:
    """S8.6: name, model, dataset; the rest is chosen, and the choice can be read."""
    run = sft()
    result = run.here()
    resolved = result["resolved"]
    assert (result["method"], resolved["precision"], resolved["layout"]) == ("full", "float32", "packed")
    assert resolved["epochs"] == 10
    assert resolved["learning_rate"] > 0
    assert resolved["max_length"] <= 128
    assert result["held_out_loss"] < result["first_held_out_loss"]
    assert 0 < result["supervised_tokens"] < result["tokens"]
    assert result["architecture"] == "LlamaForCausalLM"
    assert run.events("artifact")[0]["path"] == "model"
    names = {path.name for path in (run.folder / "out/model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "generation_config.json"} <= names
    assert load_template(run.folder / "out/model").hash == result["template_hash"]


def test_the_model_learns_to_answer_and_to_stop(sft: Maker) -> None:
    rows = [
        {
            "id": str(number),
            "messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "It is in Paris."}],
        }
        for number in range(40)
    ]
    run = sft(rows=rows, optimisation=FAST, sample_prompts=["Where?"])
    run.here()
    said = "It is in Paris."
    assert run.samples("answer")[-1] | {"step": 0} == {"step": 0, "prompt": "Where?", "text": said, "expected": said}
    stops = json.loads((run.folder / "out/model/generation_config.json").read_text())["eos_token_id"]
    template = load_template(run.folder / "out/model")
    assert template.end_of_turn_id in stops


def test_lora_begins_as_the_base_and_its_folder_opens_in_peft(sft: Maker, base: Path) -> None:
    """S8.1: B = 0, so that before the first step the logits are the base's."""
    untouched = sft("untouched", method="lora", epochs=0.001, optimisation={"learning_rate": 1e-12})
    assert untouched.here()["steps"] == 1
    trained = sft("trained", method="lora", optimisation=FAST, epochs=3)
    result = trained.here()
    ids = load_template(base).encode_prompt([{"role": "user", "content": "Where is the lamp?"}])
    expected = logits(opened(base), ids)
    first = logits(PeftModel.from_pretrained(opened(base), str(untouched.folder / "out/adapter")), ids)
    torch.testing.assert_close(first, expected, rtol=1e-4, atol=1e-5)
    after = logits(PeftModel.from_pretrained(opened(base), str(trained.folder / "out/adapter")), ids)
    assert (after - expected).abs().max() > 0.1
    assert result["held_out_loss"] < result["first_held_out_loss"]
    assert result["trainable_parameters"] < result["parameters"]


def test_a_new_lora_matrix_b_is_zero(base: Path) -> None:
    from workers.spec.train import Lora
    from workers.train.adapters import add_lora

    core = opened(base)
    ids = [5, 6, 7]
    expected = logits(core, ids)
    adapted = add_lora(core, Lora(), base_name="tiny", token_indices=[1, 2], seed=0)
    assert torch.equal(logits(adapted, ids), expected)
    assert all(not item.any() for name, item in adapted.named_parameters() if "lora_B" in name)


def test_chat_tokens_that_the_base_never_learnt_are_warned_of_and_learnt_by_lora(sft: Maker, base: Path) -> None:
    run = sft(method="lora", epochs=1)
    result = run.here()
    [warning] = [data for data in run.samples("warning") if data["code"] == "sft.untrained_tokens"]
    assert set(warning["tokens"]) == {"<|im_start|>", "<|im_end|>"}
    assert result["resolved"]["untrained_tokens"] == [1, 2]
    saved = load_file(run.folder / "out/adapter/adapter_model.safetensors")
    assert any("trainable_tokens_delta" in name for name in saved)


def test_a_base_that_knows_the_chat_tokens_is_not_warned_of(sft: Maker) -> None:
    first = sft("first", optimisation=FAST)
    first.here()
    again = sft("again", model=tiny.model(first.folder / "out/model"), epochs=1)
    assert again.here()["resolved"]["untrained_tokens"] == []
    assert not again.samples("warning")


def test_an_adapter_is_merged_before_its_model_is_trained_further(sft: Maker, base: Path) -> None:
    first = sft("first", method="lora", optimisation=FAST)
    done = first.here()
    model = tiny.model(base, adapter_path=str(first.folder / "out/adapter"))
    again = sft("again", model=model, rows=tiny.conversations(), epochs=1).here()
    assert again["first_held_out_loss"] == pytest.approx(done["held_out_loss"], rel=1e-4)


def test_untied_embeddings_learn_chat_tokens_where_they_are_read_and_written(sft: Maker, tokenizer: Path, tmp_path: Path) -> None:
    from workers.spec.train import Architecture
    from workers.train import models

    template = load_template(tokenizer)
    (tmp_path / "untied").mkdir()
    made = models.new_llama(Architecture(**tiny.TINY, tie_embeddings=False), template, 0)
    models.save_model(made, tmp_path / "untied", source=tokenizer, template=template)
    run = sft(model=tiny.model(tmp_path / "untied"), method="lora", epochs=1)
    run.here()
    saved = load_file(run.folder / "out/adapter/adapter_model.safetensors")
    assert sum("trainable_tokens_delta" in name for name in saved) == 2


def test_the_first_examples_are_shown_with_what_is_learnt(sft: Maker) -> None:
    """S8.3: the preview shows exactly which tokens are trained."""
    run = sft(epochs=1)
    run.here()
    spans = run.samples("rendered")[0]["spans"]
    assert [span["train"] for span in spans] == [False, True, False]
    assert spans[1]["text"].startswith("It is in ")
    assert spans[1]["text"].endswith("<|im_end|>")
    assert run.events("sample")[0]["seq"] < run.events("metric")[0]["seq"]
    assert run.events("metric")[0]["step"] == 0


def test_labelled_texts_become_questions_and_answers(sft: Maker) -> None:
    run = sft(rows=tiny.classified(), epochs=1)
    result = run.here()
    assert result["instruction"] is None
    text = "".join(span["text"] for span in run.samples("rendered")[0]["spans"])
    assert "Classify" not in text, "no sentence that the evaluation would not say too"
    assert "I love this lamp" in text


def test_multiple_choice_is_answered_by_letter(sft: Maker) -> None:
    rows = [{"id": str(i), "text": "Where?", "choices": ["Paris", "Rome"], "answer": i % 2} for i in range(30)]
    run = sft(rows=rows, epochs=1, system_prompt="Be brief.")
    run.here()
    spans = run.samples("rendered")[1]["spans"]
    assert "A. Paris\nB. Rome" in spans[0]["text"]
    assert "Be brief." in spans[0]["text"]
    assert spans[1]["text"].startswith("B")


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"id": "1", "text": "only text"}, "label"),
        ({"id": "1", "messages": [{"role": "user", "content": "hello"}]}, "assistant"),
        (
            {"id": "1", "messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": " "}]},
            "an answer that is not empty",
        ),
        ({"id": "1", "text": "Which?", "choices": ["a", "b"]}, "answer"),
        ({"id": "1"}, "messages"),
    ],
)
def test_records_that_cannot_be_learnt_are_refused_with_the_missing_field(sft: Maker, row: dict, field: str) -> None:
    with pytest.raises(UserError) as raised:
        sft(rows=[row]).here()
    assert field in raised.value.message
    assert '"id":"1"' in raised.value.message


def test_a_dataset_whose_turns_are_all_marked_unlearnt_is_refused(sft: Maker) -> None:
    rows = tiny.conversations(5)
    for row in rows:
        row["messages"][1]["train"] = False
    with pytest.raises(UserError, match="No token"):
        sft(rows=rows).here()


def test_rows_that_do_not_fit_are_counted_and_shown(sft: Maker) -> None:
    rows = tiny.conversations(40)
    rows[3]["messages"][0]["content"] = "very long " * 200
    rows[7]["messages"][1]["train"] = False
    rows[9] = {"id": "9", "text": "no label"}
    run = sft(rows=rows, epochs=1)
    result = run.here()
    assert sorted(result["dropped"].values()) == [1, 1, 1]
    shown = run.samples("dropped")
    assert {data["count"] for data in shown} == {1}
    assert any("very long" in data["row"] for data in shown)
    assert any("no label" in data["row"] for data in shown)


def test_a_time_budget_is_kept(sft: Maker) -> None:
    once = sft("once", epochs=1).here()
    result = sft("timed", epochs=1000, time_budget_seconds=3).here()
    assert 0 < result["tokens"] < 999 * once["tokens"], "it stopped before the epochs that were asked for"


def test_weights_in_pickles_and_code_in_folders_are_refused(sft: Maker, base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((base / name).read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(UserError, match="could run code"):
        sft("pickle", model=tiny.model(folder)).here()
    (folder / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config.update(model_type="secret", auto_map={"AutoConfig": "code.Secret", "AutoModelForCausalLM": "code.Model"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('code was run')")
    with pytest.raises(UserError, match="cannot be opened"):
        sft("code", model=tiny.model(folder)).here()


@pytest.mark.parametrize(("family", "method"), [("qwen3", "full"), ("internlm3", "lora")])
def test_other_families_are_fine_tuned_and_saved(sft: Maker, base: Path, tmp_path: Path, family: str, method: str) -> None:
    """S8.5: tiny random models of other families go through the same program."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from tests.workers.train.test_network import SHAPE

    torch.manual_seed(0)
    rows = load_template(base).vocabulary_size
    config = CONFIG_MAPPING[family](**{**SHAPE, "vocab_size": rows, "max_position_embeddings": 128})
    folder = tmp_path / family
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).write_bytes((base / name).read_bytes())
    run = sft(model=tiny.model(folder), method=method, epochs=2, optimisation=FAST)
    result = run.here()
    assert result["held_out_loss"] < result["first_held_out_loss"]
    assert result["resolved"]["layout"] == "packed"
    if method == "full":
        assert opened(run.folder / "out/model").config.model_type == family
