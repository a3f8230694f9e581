"""Trains a byte-level BPE tokenizer and writes it as a Hugging Face folder with a ChatML template."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from workers.data.records import read_records
from workers.data.templates import load_template, write_default_template
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.record import Record
from workers.spec.train import TokenizerSpec
from workers.train.inputs import datasets_of
from workers.train.output import folder_digest, publish_folder

END_OF_TEXT = "<|endoftext|>"
CHAT_TOKENS = ["<|im_start|>", "<|im_end|>"]
TOKENISED_SAMPLE = 2000
"""Texts on which the compression (characters per token) is measured."""


def run(program: Program) -> Mapping[str, Any]:
    spec = TokenizerSpec.model_validate(program.run.spec)
    began = time.monotonic()
    program.phase("loading")
    texts = [text for item in datasets_of(program.run) for record in read_records(item.path) for text in texts_of(record)]
    if not texts:
        raise UserError("tokenizer.no_text", "The datasets hold no text; a tokenizer needs records with “text” or “messages”.")
    program.check_stop()
    program.phase("training")
    specials = list(dict.fromkeys([END_OF_TEXT, *CHAT_TOKENS, *spec.special_tokens]))
    tokenizer = learn(texts, vocabulary=spec.vocabulary, split_digits=spec.split_digits, special_tokens=specials)
    program.check_stop()
    program.phase("saving")
    with publish_folder(program.run.output_dir / "model") as folder:
        write_folder(folder, tokenizer)
    folder = program.run.output_dir / "model"
    template = load_template(folder)
    program.artifact("model", folder)
    sample = texts[:TOKENISED_SAMPLE]
    tokens = sum(len(ids) for ids in template.encode_texts(sample))
    return {
        "method": "tokenizer",
        "vocabulary": tokenizer.get_vocab_size(with_added_tokens=True),
        "special_tokens": specials,
        "texts": len(texts),
        "characters": sum(map(len, texts)),
        "characters_per_token": round(sum(map(len, sample)) / max(tokens, 1), 3),
        "seconds": round(time.monotonic() - began, 3),
        "template_hash": template.hash,
        "weights_sha256": folder_digest(folder, "tokenizer.json"),
        "spec": spec.model_dump(mode="json"),
    }


def texts_of(record: Record) -> Iterator[str]:
    """Every text in a record that a model will read or write."""
    if record.text:
        yield record.text
    for message in (*(record.messages or ()), *(record.chosen or ()), *(record.rejected or ())):
        if message.content:
            yield message.content
        if message.tool_calls:
            yield json.dumps(message.tool_calls, ensure_ascii=False)
    if record.tools:
        yield json.dumps(record.tools, ensure_ascii=False)
    yield from record.choices or ()
    if record.label:
        yield record.label


def learn(texts: list[str], *, vocabulary: int, split_digits: bool, special_tokens: list[str]) -> Tokenizer:
    """Byte-level BPE: every text can be written, nothing is unknown. Merges never cross the special tokens."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if split_digits else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special_tokens],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return tokenizer


def write_folder(folder: Path, tokenizer: Tokenizer) -> None:
    """tokenizer.json, tokenizer_config.json and chat_template.jinja, as AutoTokenizer reads them."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "bos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    write_default_template(folder)
