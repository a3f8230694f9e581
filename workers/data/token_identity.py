"""The proof that a model is asked, when it serves, with the very tokens that stood before its answers in training.

Training compares the two on its own first conversations, and both sides say what fixed conversations become; what was
recorded then is compared whenever the model is opened again. A difference stops the job in one sentence.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from workers.data.templates import ChatTemplate, MessageLike, plain_messages
from workers.spec.errors import UserError

Conversation = tuple[Sequence[MessageLike], Sequence[dict[str, Any]] | None]
AROUND = 12
"""Tokens shown from the first difference on."""
_TOOL = {"type": "function", "function": {"name": "find", "description": "Find a parcel.", "parameters": {"type": "object"}}}
PROBES: list[tuple[list[dict[str, Any]], list[dict[str, Any]] | None]] = [
    ([{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Good day."}], None),
    ([{"role": "user", "content": "你好，书院。"}, {"role": "assistant", "content": "您好！"}], None),
    (
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "2 + 2?"},
            {"role": "assistant", "content": "4"},
            {"role": "user", "content": "\n  and  3 + 3 ?"},
            {"role": "assistant", "content": "6"},
        ],
        None,
    ),
    ([{"role": "user", "content": "Where is parcel 7?"}, {"role": "assistant", "content": "In Oslo."}], [_TOOL]),
]


def fingerprint(template: ChatTemplate) -> str:
    """SHA-256 of the tokens that fixed conversations become, learnt and asked. Equal where training and serving agree."""
    found: list[Any] = []
    for messages, tools in PROBES:
        try:
            learnt = template.encode(messages, tools)
            found.append([learnt.token_ids, learnt.train_mask, template.encode_prompt(messages[:-1], tools)])
        except UserError as error:
            found.append(error.code)  # a template that takes no system message or no tools refuses on both sides
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def prove(template: ChatTemplate, conversations: Iterable[Conversation]) -> dict[str, Any]:
    """Compare the tokens before each last answer with those that serving asks with; the record of it.

    UserError where they differ: the model would be asked with what it never saw.
    """
    digest, compared, tokens = hashlib.sha256(), 0, 0
    for messages, tools in conversations:
        last = max((at for at, message in enumerate(plain_messages(messages)) if message["role"] == "assistant"), default=0)
        if not last:
            continue
        try:
            asked = template.encode_prompt(messages[:last], tools)
            learnt = template.encode(messages[: last + 1], tools).token_ids
        except UserError:
            continue  # counted and told where the data is read
        if learnt[: len(asked)] != asked:
            raise _differs(template, learnt, asked)
        digest.update(json.dumps(asked).encode())
        compared, tokens = compared + 1, tokens + len(asked)
    return {
        "conversations": compared,
        "tokens": tokens,
        "sha256": digest.hexdigest(),
        "template_hash": template.hash,
        "fingerprint": fingerprint(template),
    }


def _differs(template: ChatTemplate, learnt: list[int], asked: list[int]) -> UserError:
    pairs = enumerate(zip(learnt, asked, strict=False))
    place = next((at for at, (left, right) in pairs if left != right), min(len(learnt), len(asked)))
    start = max(0, place - 2)
    shown = [template.decode(ids[start : place + AROUND], skip_special_tokens=False)[:80] for ids in (learnt, asked)]
    return UserError(
        "template.trained_not_served",
        "The model would learn to answer after “{learnt}”, but serving asks it with “{asked}” (they differ from token {place} "
        "on); the chat template opens answers in two ways. Correct it, or delete it to use the default one.",
        learnt=shown[0],
        asked=shown[1],
        place=place + 1,
    )


def require_same(template: ChatTemplate, *, name: str, template_hash: str = "", fingerprint_then: str = "") -> None:
    """UserError where a model's tokens are not those that were recorded when it was trained or imported."""
    if template_hash and template.hash != template_hash:
        raise UserError(
            "template.changed",
            "The tokenizer or chat template of “{name}” is not the one that was recorded when it was trained or imported "
            "({now} instead of {then}); put the old files back, or import the folder as a new model.",
            name=name,
            now=template.hash[:12],
            then=template_hash[:12],
        )
    if fingerprint_then and fingerprint(template) != fingerprint_then:
        raise UserError(
            "template.renders_otherwise",
            "“{name}” was trained with other tokens than this version of the program makes of the same conversations; "
            "train it again, or serve it with the version that trained it.",
            name=name,
        )


def tokenizer_folder(folder: Path, adapter: Path | None) -> Path:
    """Where a model's tokenizer and template lie: beside its adapter, when that brings its own."""
    return adapter if adapter is not None and (adapter / "tokenizer.json").is_file() else folder
