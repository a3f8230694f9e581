"""Makes what all sides share: tokenizer, base model, conversations, and the adapter that they begin with.

Conversations are the Alpaca samples in `../shared/data` where that folder is, otherwise made up.
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

VOCABULARY = 32_000
LENGTHS = (43, 379)
"""Tokens of the shortest and the longest conversation."""
HELD_OUT = 32
RANK, ALPHA = 16, 32
TEMPLATE = (
    "{%- for turn in messages -%}{{- '<|im_start|>' + turn.role + '\\n' -}}"
    "{%- if turn.role == 'assistant' -%}{% generation %}{{- turn.content + '<|im_end|>' -}}{% endgeneration %}"
    "{%- else -%}{{- turn.content + '<|im_end|>\\n' -}}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
"""ChatML that all three programs turn into the same tokens and the same mask; nothing follows an answer's end."""


def conversations() -> Iterator[tuple[str, str]]:
    """(question, answer), in a fixed random order."""
    from bench_training import words

    dice = random.Random(0)
    file = ROOT.parent / "shared/data/llamafactory/alpaca_en_demo.json"
    if file.is_file():
        rows = json.loads(file.read_text(encoding="utf-8"))
        pairs = [("\n".join(filter(None, [row["instruction"], row["input"]])).strip(), row["output"].strip()) for row in rows]
    else:
        sizes = [min(180, max(8, int(dice.lognormvariate(3.3, 0.8)))) for _ in range(1000)]
        pairs = [(words(dice, 4 + size // 3), words(dice, size)) for size in sizes]
    dice.shuffle(pairs)
    yield from ((question, answer) for question, answer in pairs if question and answer)


def texts_for_tokenizer() -> list[str]:
    folder = ROOT.parent / "shared/data/llamafactory"
    texts = [text for pair in conversations() for text in pair]
    for name in ("c4_demo.jsonl", "wiki_demo.txt"):
        if (folder / name).is_file():
            texts += (folder / name).read_text(encoding="utf-8").splitlines()
    return texts


def make_base(folder: Path, shape: dict[str, Any]) -> Any:
    """A random Llama in bf16, as published models lie, with its tokenizer; returns its template."""
    import torch

    from workers.data.templates import load_template
    from workers.spec.train import Architecture
    from workers.train import models
    from workers.train.tokenizer import learn, write_folder

    tokens, base = folder / "tokenizer", folder / "base"
    tokens.mkdir(parents=True)
    base.mkdir()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    learnt = learn(texts_for_tokenizer(), vocabulary=VOCABULARY, split_digits=True, special_tokens=specials)
    write_folder(tokens, learnt)
    (tokens / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    template = load_template(tokens)
    model = models.new_llama(Architecture(**shape), template, 0)
    model.resize_token_embeddings(VOCABULARY, mean_resizing=False)
    models.save_model(model, base, source=tokens, template=template, dtype=torch.bfloat16)
    return template


def make_adapter(folder: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    settings = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(base, settings).save_pretrained(str(folder / "adapter"), save_embedding_layers=False)


def write_rows(folder: Path, template: Any, count: int) -> dict[str, Any]:
    """`count` conversations to learn and some to measure on; only such as every side turns into the same tokens."""
    rows, lengths, learnt = [], [], 0
    for question, answer in conversations():
        prompt = template.encode_text(f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n")
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        encoded = template.encode(messages)
        same = encoded.token_ids == [*prompt, *template.encode_text(f"{answer}<|im_end|>")]
        if not same or not LENGTHS[0] <= len(encoded.token_ids) <= LENGTHS[1]:
            continue
        rows.append({"id": str(len(rows)), "messages": messages})
        if len(rows) > HELD_OUT:
            lengths.append(len(encoded.token_ids))
            learnt += sum(encoded.train_mask)
        if len(rows) == HELD_OUT + count:
            break
    if len(rows) < HELD_OUT + count:
        raise SystemExit(f"Only {len(rows)} conversations of {LENGTHS[0]} to {LENGTHS[1]} tokens; ask for fewer steps.")
    for name, part in (("held_out", rows[:HELD_OUT]), ("train", rows[HELD_OUT:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    mean = sum(lengths) / count
    return {"conversations": count, "mean_tokens": round(mean, 1), "learnt_share": round(learnt / sum(lengths), 3)}


def main() -> None:
    from bench_training import MEDIUM, SMALL

    folder, count, shape = Path(sys.argv[1]), int(sys.argv[2]), {"medium": MEDIUM, "small": SMALL}[sys.argv[3]]
    from workers.data.templates import load_template

    if not (folder / "base").is_dir():
        make_base(folder, shape)
        make_adapter(folder)
    facts = write_rows(folder, load_template(folder / "base"), count)
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main()
