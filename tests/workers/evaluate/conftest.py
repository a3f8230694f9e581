"""A tiny chat model that has learnt eight questions by heart, and run files for it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.workers.data.families import FAMILIES
from workers.data.records import as_messages, dataset_digest, write_records
from workers.data.templates import load_template
from workers.spec.record import Message, Record

LEARNT = [
    ("Where is my card?", "card_arrival"),
    ("The card is lost", "card_lost"),
    ("My card is here", "card"),
    ("What is the weather", "weather"),
    ("你好", "greeting"),
    ("今天天气", "weather"),
    ("Hello you", "greeting"),
    ("I lost it", "card_lost"),
]
RECORDS = [Record(id=f"r{index}", text=text, label=label) for index, (text, label) in enumerate(LEARNT)]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ChatML tokens, 60 k weights, trained for a second."""
    folder = FAMILIES["chatml"].build(tmp_path_factory.mktemp("model"))
    template = load_template(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=template.vocabulary_size, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=256, tie_word_embeddings=True, bos_token_id=None, eos_token_id=template.eos_token_id,
        pad_token_id=template.pad_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    conversations = [template.encode(as_messages(record) or []) for record in RECORDS]
    length = max(len(item.token_ids) for item in conversations)
    ids = torch.full((len(conversations), length), template.pad_token_id)
    labels = torch.full_like(ids, -100)
    for row, item in enumerate(conversations):
        tokens = torch.tensor(item.token_ids)
        ids[row, : len(tokens)] = tokens
        labels[row, : len(tokens)] = tokens.masked_fill(~torch.tensor(item.train_mask), -100)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(80):
        loss = model(
            input_ids=ids, attention_mask=(labels != -100).int() | (ids != template.pad_token_id).int(), labels=labels
        ).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert loss.item() < 0.05
    model.save_pretrained(folder)
    return folder


def write_run(folder: Path, records: list[Record], config: dict[str, Any], model: dict[str, Any], **spec: Any) -> Path:
    """run.json of an evaluation below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "records.jsonl"
    write_records(data, records)
    dataset = {"kind": "dataset", "id": 1, "name": "d", "path": str(data), "sha256": dataset_digest(data), "count": len(records)}
    content = {
        "job": 1,
        "kind": "evaluate",
        "spec": {"suite": 1, "evaluation": 1, "model": 1, "dataset": 1, "config": config, **spec},
        "inputs": {"dataset": dataset, "model": {"kind": "model", "id": 1, "name": "m", **model}},
        "run_dir": str(folder / "run"),
        "output_dir": str(folder / "out"),
    }
    path = folder / "run.json"
    path.write_text(json.dumps(content))
    return path


def conversation(question: str, answer: str) -> list[Message]:
    return [Message(role="user", content=question), Message(role="assistant", content=answer)]
