"""Makes what all sides share: tokenizer, base model, conversations, and the adapter that they begin with.

Two kinds of conversations. «context»: much is read and little answered, as where a passage or a case history is asked about;
lengths are spread as in chats, a few long among many short. «answers»: instructions with long answers. Their texts are the
C4 and Alpaca samples in `../shared/data` where that folder is, otherwise made up.
"""

import json
import math
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

SAMPLES = ROOT.parent / "shared/data/llamafactory"
KINDS = ("context", "answers")
MEAN_WORDS, MOST_WORDS, ANSWERED = 85, 275, 0.28
"""Of «context»: words of a middling and of the longest conversation, and the share of them that is the answer."""
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


def conversations(kind: str) -> Iterator[tuple[str, str]]:
    """(question, answer), in a fixed random order."""
    dice = random.Random(0)
    pairs = list(passages(dice) if kind == "context" else instructions(dice))
    dice.shuffle(pairs)
    yield from ((question, answer) for question, answer in pairs if question and answer)


def passages(dice: random.Random) -> Iterator[tuple[str, str]]:
    """Pieces of texts of the lengths of chats; the last quarter or so of each is what is learnt."""
    from bench_training import words

    file = SAMPLES / "c4_demo.jsonl"
    if file.is_file():
        texts = [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines()]
    else:
        texts = [words(dice, 400) for _ in range(300)]
    for text in texts:
        left = text.split()
        while len(left) > MEAN_WORDS:
            size = min(MOST_WORDS, round(dice.lognormvariate(math.log(MEAN_WORDS), 0.8)))
            piece, left = left[:size], left[size:]
            cut = round((1 - ANSWERED) * len(piece))
            yield " ".join(piece[:cut]), " ".join(piece[cut:])


def instructions(dice: random.Random) -> Iterator[tuple[str, str]]:
    from bench_training import words

    file = SAMPLES / "alpaca_en_demo.json"
    if file.is_file():
        for row in json.loads(file.read_text(encoding="utf-8")):
            yield "\n".join(filter(None, [row["instruction"], row["input"]])).strip(), row["output"].strip()
        return
    for _ in range(1000):
        size = min(180, max(8, int(dice.lognormvariate(3.3, 0.8))))
        yield words(dice, 4 + size // 3), words(dice, size)


def texts_for_tokenizer() -> list[str]:
    texts = [text for kind in KINDS for pair in conversations(kind) for text in pair]
    for name in ("c4_demo.jsonl", "wiki_demo.txt"):
        if (SAMPLES / name).is_file():
            texts += (SAMPLES / name).read_text(encoding="utf-8").splitlines()
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


def write_rows(folder: Path, template: Any, count: int, kind: str) -> dict[str, Any]:
    """`count` conversations to learn and some to measure on; only such as every side turns into the same tokens."""
    rows, lengths, learnt = [], [], 0
    for question, answer in conversations(kind):
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
    return {"data": kind, "conversations": count, "mean_tokens": round(mean, 1), "learnt_share": round(learnt / sum(lengths), 3)}


def main() -> None:
    from bench_training import MEDIUM, SMALL

    folder, count, shape = Path(sys.argv[1]), int(sys.argv[2]), {"medium": MEDIUM, "small": SMALL}[sys.argv[3]]
    from workers.data.templates import load_template

    if not (folder / "base").is_dir():
        make_base(folder, shape)
        make_adapter(folder)
    facts = write_rows(folder, load_template(folder / "base"), count, sys.argv[4])
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main()
