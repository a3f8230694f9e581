"""Greedy answers of a model folder to many records at once, and how many are exactly right."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.data.templates import load_template
from workers.spec.record import Message, Record

BATCH = 64


@dataclass(frozen=True)
class Outcome:
    """`exact`: share of answers equal to the reference; `by_label`: the same for each label; `answers`: all answers."""

    exact: float
    right: int
    count: int
    by_label: dict[str, float]
    answers: list[str]

    def as_dict(self) -> dict[str, Any]:
        by_label = {label: round(share, 3) for label, share in sorted(self.by_label.items())}
        return {"exact": round(self.exact, 4), "right": self.right, "count": self.count, "by_label": by_label}


def split_reference(record: Record) -> tuple[list[Message], Message]:
    """The conversation to answer, and the answer it has."""
    messages = list(record.messages or ())
    last = max(index for index, message in enumerate(messages) if message.role == "assistant")
    return messages[:last], messages[last]


def examine(folder: Path, records: Sequence[Record], *, max_new_tokens: int = 64) -> Outcome:
    """Ask the model every record's question; one thread per `torch.get_num_threads()`."""
    template = load_template(folder)
    prompts, references = [], []
    for record in records:
        before, reference = split_reference(record)
        prompt = template.encode_prompt(before, record.tools)
        whole = template.render([*before, reference], record.tools)
        opening = template.render(before, record.tools, add_generation_prompt=True)
        prompts.append(prompt)
        references.append(whole.removeprefix(opening).removesuffix("\n").removesuffix("<|im_end|>"))
    answers = generate(folder, prompts, template.stop_token_ids, max_new_tokens)
    texts = [template.decode(ids, skip_special_tokens=False) for ids in answers]
    by_label: dict[str, list[bool]] = defaultdict(list)
    hits = [text.strip() == reference for text, reference in zip(texts, references, strict=True)]
    for record, hit in zip(records, hits, strict=True):
        by_label[record.label or ""].append(hit)
    shares = {label: sum(items) / len(items) for label, items in by_label.items()}
    return Outcome(sum(hits) / len(hits), sum(hits), len(hits), shares, texts)


def generate(folder: Path, prompts: Sequence[Sequence[int]], stops: Sequence[int], max_new_tokens: int) -> list[list[int]]:
    """Greedy continuations without their stop token, computed in float32, in batches of similar length."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    answers: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        width = max(len(prompts[index]) for index in chosen)
        ids = torch.tensor([[0] * (width - len(prompts[index])) + list(prompts[index]) for index in chosen])
        mask = torch.tensor([[0] * (width - len(prompts[index])) + [1] * len(prompts[index]) for index in chosen])
        with torch.no_grad():
            made = model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=False,
                max_new_tokens=max_new_tokens,
                eos_token_id=list(stops),
                pad_token_id=0,
            )
        for index, row in zip(chosen, made[:, width:].tolist(), strict=True):
            end = next((position for position, token in enumerate(row) if token in stops), len(row))
            answers[index] = row[:end]
    return answers
