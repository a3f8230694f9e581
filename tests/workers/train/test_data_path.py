"""From records to tokens: tool use, turns that are not learnt, the cache, and what is refused (S8.2, S8.3, N3)."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.workers.train import tiny
from workers.data.templates import load_template
from workers.program import Stopped
from workers.spec.errors import UserError
from workers.spec.train import SftSpec
from workers.train import checkpoint
from workers.train.loop import Loop
from workers.train.sft import SftJob

Maker = Callable[..., tiny.Run]
QUICK: dict[str, Any] = {"method": "full", "epochs": 1}
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather", "parameters": {"type": "object", "properties": {}}},
}


def asking_a_tool(number: int) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}
    return {
        "id": str(number),
        "tools": [WEATHER],
        "messages": [
            {"role": "user", "content": f"Is it cold in Oslo? ({number})"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "minus seven degrees"},
            {"role": "assistant", "content": "Yes, it is."},
        ],
    }


def learnt_text(run: tiny.Run, learnt: bool = True) -> str:
    return "".join(span["text"] for span in run.samples("rendered")[0]["spans"] if span["train"] == learnt)


def copy_of(base: Path, folder: Path, **config: Any) -> Path:
    folder.mkdir()
    for file in base.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(facts | config), encoding="utf-8")
    return folder


def test_calls_are_learnt_and_observations_are_not(sft: Maker, base: Path, tmp_path: Path) -> None:
    """S8.2: tools stand in the prompt, the call and the answer are learnt, what the tool said is not."""
    long = copy_of(base, tmp_path / "long", max_position_embeddings=1024)
    run = sft(model=tiny.model(long), rows=[asking_a_tool(number) for number in range(12)], **QUICK)
    run.here()
    learnt, rest = learnt_text(run), learnt_text(run, learnt=False)
    assert '"get_weather"' in learnt
    assert '"Oslo"' in learnt.replace("\\", "")
    assert "Yes, it is." in learnt
    assert "minus seven degrees" in rest
    assert "minus seven degrees" not in learnt
    assert "Weather" in rest


def test_turns_marked_not_to_be_learnt_are_not(sft: Maker) -> None:
    turns = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Wrong.", "train": False},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "Right."},
    ]
    run = sft(rows=[{"id": str(number), "messages": turns} for number in range(8)], **QUICK)
    run.here()
    assert "Right." in learnt_text(run)
    assert "Wrong." in learnt_text(run, learnt=False)


MARKED = (
    "{%- for turn in messages -%}{{- '<|im_start|>' + turn.role + '\\n' -}}"
    "{%- if turn.role == 'assistant' -%}{% generation %}{{- turn.content + '<|im_end|>' -}}{% endgeneration %}"
    "{%- else -%}{{- turn.content + '<|im_end|>' -}}{%- endif -%}{{- '\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def test_a_template_without_generation_marks_learns_the_same_tokens(sft: Maker, base: Path, tmp_path: Path) -> None:
    """N3: where the template marks nothing, the answers are found by rendering; nothing is masked in silence."""
    marked, bare = copy_of(base, tmp_path / "marked"), copy_of(base, tmp_path / "bare")
    (marked / "chat_template.jinja").write_text(MARKED, encoding="utf-8")
    without = MARKED.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    (bare / "chat_template.jinja").write_text(without, encoding="utf-8")
    messages = tiny.conversations(1)[0]["messages"]
    assert load_template(bare).encode(messages) == load_template(marked).encode(messages)
    run = sft(model=tiny.model(bare), rows=tiny.conversations(8), **QUICK)
    run.here()
    assert learnt_text(run) == messages[1]["content"] + "<|im_end|>"


def test_turns_out_of_order_are_counted_and_when_all_are_the_templates_own_words_are_told(
    sft: Maker, base: Path, tmp_path: Path
) -> None:
    """Issue 4: a template that insists on the order refuses such rows; one sentence, with a row to look at."""
    strict = copy_of(base, tmp_path / "strict")
    insists = "{%- if messages[0].role != 'user' -%}{{- raise_exception('A conversation begins with the user.') -}}{%- endif -%}"
    (strict / "chat_template.jinja").write_text(insists + MARKED, encoding="utf-8")
    turned = [{**row, "messages": row["messages"][::-1]} for row in tiny.conversations(3)]
    run = sft(rows=[*turned, *tiny.conversations(9)], model=tiny.model(strict), **QUICK)
    with run.prepared(SftJob, SftSpec) as job:
        [(reason, count)] = job.dropped.counts.items()
    assert "A conversation begins with the user" in reason
    assert count == 3
    with pytest.raises(UserError, match="A conversation begins with the user") as raised:
        sft("turned", rows=turned, model=tiny.model(strict), **QUICK).here()
    assert raised.value.code == "sft.nothing_supervised"


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(sft: Maker, base: Path, tmp_path: Path) -> None:
    wide = copy_of(base, tmp_path / "wide")
    tokenizer = json.loads((wide / "tokenizer.json").read_text(encoding="utf-8"))
    token = {**tokenizer["added_tokens"][-1], "id": 5000, "content": "<|one-too-many|>"}
    tokenizer["added_tokens"].append(token)
    tokenizer["model"]["vocab"]["<|one-too-many|>"] = 5000
    (wide / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(UserError, match="use the tokenizer of this model"):
        sft(model=tiny.model(wide), **QUICK).here()


def test_tokens_are_kept_and_made_again_when_anything_changes(
    sft: Maker, pretrain: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.train import examples

    cache = tmp_path / "cache"
    monkeypatch.setenv("SHUYUAN_CACHE", str(cache))
    rows = [*tiny.conversations(40), {"id": "bad", "label": "x"}]
    first = sft("first", rows=rows, **QUICK).here()
    assert len(list(cache.glob("*.npz"))) == 1

    encoded: list[int] = []
    original = examples.encode_records

    def count(program: Any, template: Any, records: Any, *more: Any, **how: Any) -> Any:
        encoded.append(len(records))
        return original(program, template, records, *more, **how)

    monkeypatch.setattr(examples, "encode_records", count)
    second = sft("second", rows=rows, **QUICK).here()
    assert encoded == [16]  # only the first look
    assert second["weights_sha256"] == first["weights_sha256"]
    assert second["dropped"] == first["dropped"] == {"missing messages": 1}
    sft("third", rows=rows, system_prompt="Be kind.", **QUICK).here()
    sft("fourth", rows=rows[1:], **QUICK).here()
    assert len(list(cache.glob("*.npz"))) == 3
    for entry in cache.glob("*.npz"):
        entry.write_bytes(b"damaged")
    assert sft("fifth", rows=rows, **QUICK).here()["weights_sha256"] == first["weights_sha256"]
    one, two = (pretrain(name, epochs=1).here() for name in ("one", "two"))
    assert one["weights_sha256"] == two["weights_sha256"]
    assert len(list(cache.glob("*.npz"))) == 4


def test_the_cache_forgets_the_oldest(sft: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers.train import token_cache

    monkeypatch.setenv("SHUYUAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(token_cache, "MOST_BYTES", 1)
    for name in ("one", "two"):
        run = sft(name, rows=tiny.conversations(20 if name == "one" else 30), **QUICK)
        with run.prepared(SftJob, SftSpec):
            pass
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 1


def test_a_full_disk_at_a_checkpoint_ends_the_run_and_it_goes_on_later(sft: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last checkpoint stays whole; with room again, the run ends with the same weights."""
    settings = {"method": "full", "epochs": 2, "optimisation": {"tokens_per_step": 256}}
    expected = sft("whole", **settings).here()
    run = sft("full", saving={"every_steps": 2}, **settings)
    original = checkpoint.save_tensors

    def full(tensors: Any, path: Path, *more: Any) -> None:
        if "step-000000006" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        original(tensors, path, *more)

    monkeypatch.setattr(checkpoint, "save_tensors", full)
    with pytest.raises(OSError, match="No space left"):
        run.here()
    assert [path.name for path in (run.folder / "checkpoints").glob("step-*")]
    monkeypatch.setattr(checkpoint, "save_tensors", original)
    found = run.next_attempt().here()
    assert run.events("resumed")[0]["step"] == 4
    assert found["weights_sha256"] == expected["weights_sha256"]


def test_a_loss_that_is_no_number_names_the_step_and_keeps_the_weights_before_it(
    sft: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.train.network import Network

    original, calls = Network.learn, []

    def learn(self: Network, *given: Any) -> float:
        calls.append(1)
        return original(self, *given) if len(calls) < 4 else float("nan")

    monkeypatch.setattr(Network, "learn", learn)
    run = sft(method="full", optimisation={"tokens_per_step": 256, "micro_batch_tokens": 4096})
    with pytest.raises(UserError, match=r"At step 4 .* begin with “user\nWhere is") as raised:
        run.here()
    assert raised.value.code == "train.loss_not_finite"
    assert run.events("checkpoint")[-1]["step"] == 3
    assert run.samples("bad_step")[0]["step"] == 4


def test_loops_stop_only_between_steps(sft: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Loop.step

    def step(loop: Loop) -> None:
        original(loop)
        loop.program.should_stop = True

    monkeypatch.setattr(Loop, "step", step)
    run = sft(**QUICK)
    with pytest.raises(Stopped):
        run.here()
    assert run.events("checkpoint")[-1]["step"] == 1
