"""What a Hugging Face model folder says about its tokenizer and chat template, in the places where different versions put it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from workers.spec.errors import UserError


def read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(
            "model.broken_config",
            "{file} of the model folder is no valid JSON ({detail}); copy or download the model again.",
            file=path.name,
            detail=str(error)[:200],
        ) from error
    return content if isinstance(content, dict) else {}


def special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, value in config.items():
        text = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(text, str):
            found[name] = text
    return found


def add_missing_tokens(tokenizer: Tokenizer, config: Mapping[str, Any]) -> None:
    """Some folders keep added tokens in tokenizer_config.json only."""
    listed = config.get("added_tokens_decoder")
    for _, token in sorted(listed.items(), key=lambda item: int(item[0])) if isinstance(listed, dict) else ():
        if tokenizer.token_to_id(token["content"]) is None:
            flags = {name: token[name] for name in ("lstrip", "rstrip", "normalized", "single_word") if name in token}
            added = AddedToken(token["content"], special=bool(token.get("special")), **flags)
            (tokenizer.add_special_tokens if token.get("special") else tokenizer.add_tokens)([added])


def template_sources(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    file = folder / "chat_template.jinja"
    if file.is_file():
        more = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("additional_chat_templates/*.jinja")}
        return {**more, "default": file.read_text(encoding="utf-8")}
    given = config.get("chat_template") or read_json(folder / "chat_template.json").get("chat_template")
    if isinstance(given, str):
        return {"default": given}
    if isinstance(given, list):
        named = {entry["name"]: entry["template"] for entry in given}
        return named if "default" in named else {"default": next(iter(named.values())), **named} if named else {}
    return {}


def configured_stops(folder: Path) -> set[int]:
    stops: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        given = read_json(folder / name).get("eos_token_id")
        stops.update(given if isinstance(given, list) else [given] if isinstance(given, int) else [])
    return stops
