"""Tiny tokenizers and model folders for tests, made on the spot."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

CORPUS = [
    "Hello, how can I help you today? The weather in Paris is nice. 你好，请问有什么可以帮您？今天天气很好。",
    "system user assistant tool content function name arguments { } [ ] : , 0 1 2 3 4 5 6 7 8 9",
]


def byte_level_tokenizer(special: list[str], vocabulary: int = 400) -> Tokenizer:
    """Byte-level BPE, as GPT-2, Llama 3 and Qwen have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def metaspace_tokenizer(special: list[str], vocabulary: int = 700) -> Tokenizer:
    """SentencePiece-like BPE with byte fallback, as Llama 2 and InternLM 2 have it."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    names = ["<unk>", *special, *(f"<0x{value:02X}>" for value in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=names, show_progress=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()  # no merges over spaces, as SentencePiece learns them
    tokenizer.train_from_iterator(CORPUS, trainer)
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [entry for entry in content["added_tokens"] if not entry["content"].startswith("<0x")]
    content["pre_tokenizer"] = None
    return Tokenizer.from_str(json.dumps(content))


def write_folder(
    folder: Path, tokenizer: Tokenizer, template: str | None = None, stops: list[int] | None = None, **special: str
) -> Path:
    """A model folder without weights: tokenizer.json, tokenizer_config.json and, if given, the template and stop tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    if stops:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    return folder
