"""The chat template: one object that training, evaluation and serving share, so that all three see the same tokens.

`load_template(folder)` reads a model folder's tokenizer and template; `encode` gives the tokens of a conversation and
which of them are learnt; `encode_prompt` gives what the model is asked with. No torch and no transformers.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError
from tokenizers import Tokenizer

from workers.data.default_template import CHATML_TEMPLATE, PLAIN_TEMPLATE
from workers.data.template_files import add_missing_tokens, configured_stops, read_json, special_tokens, template_sources
from workers.data.template_sandbox import Sandbox, TemplateLimit, TemplateRefused, render
from workers.spec.errors import UserError
from workers.spec.record import Message

MessageLike = Message | Mapping[str, Any]
Span = tuple[int, int]


@dataclass(frozen=True)
class Encoded:
    """A conversation as tokens. `train_mask[i]`: token i is written by the assistant and is learnt."""

    token_ids: list[int]
    train_mask: list[bool]


class ChatTemplate:
    """A tokenizer together with the template that turns conversations into its tokens. Safe to use from many threads."""

    def __init__(
        self,
        *,
        tokenizer: Tokenizer,
        sources: Mapping[str, str],
        special_tokens: Mapping[str, str],
        stop_token_ids: Iterable[int] = (),
        identity: bytes = b"",
        is_default: bool = False,
    ) -> None:
        """`sources`: template text by name (`default`, `tool_use`); `identity`: bytes of tokenizer.json, for the hash."""
        self.tokenizer = tokenizer
        self.source = sources["default"]
        self.special_tokens = dict(special_tokens)
        self.is_default = is_default
        sandbox = Sandbox()
        try:
            self._templates = {name: sandbox.template(text) for name, text in sources.items()}
        except TemplateSyntaxError as error:
            raise UserError(
                "template.invalid",
                "The chat template has a mistake in line {line}: {detail}. Correct it, or delete it to use the default one.",
                line=error.lineno,
                detail=str(error.message)[:200],
            ) from error
        self._tracks_generation = "generation" in self.source and "endgeneration" in self.source
        self.bos_token_id = self._special_id("bos_token")
        self.eos_token_id = self._special_id("eos_token")
        pad = self._special_id("pad_token")
        self.pad_token_id: int = pad if pad is not None else self.eos_token_id if self.eos_token_id is not None else 0
        self._added = frozenset(tokenizer.get_added_tokens_decoder())
        known = {*stop_token_ids, *([self.eos_token_id] if self.eos_token_id is not None else [])}
        self._stops = frozenset(known)
        self.end_of_turn_id = self._find_end_of_turn()
        self._stops = frozenset(known | ({self.end_of_turn_id} if self.end_of_turn_id is not None else set()))
        self.stop_token_ids: list[int] = sorted(self._stops)
        self.hash = _digest(sources, self.special_tokens, identity)

    @property
    def vocabulary_size(self) -> int:
        return self.tokenizer.get_vocab_size(with_added_tokens=True)

    def _special_id(self, name: str) -> int | None:
        text = self.special_tokens.get(name)
        return None if text is None else self.tokenizer.token_to_id(text)

    def _find_end_of_turn(self) -> int | None:
        """The added token that directly follows the assistant's words in a short conversation, if there is one."""
        word = "Zxq"
        try:
            text = self.render([{"role": "user", "content": "a"}, {"role": "assistant", "content": word}])
        except UserError:
            return None
        tail = self.encode_text(text[text.rfind(word) + len(word) :])
        for token_id in tail:
            if token_id in self._added:
                return token_id
            if self.tokenizer.decode([token_id], skip_special_tokens=False).strip():
                return None
        return None

    # Text

    def encode_text(self, text: str) -> list[int]:
        """Tokens of plain text; nothing is put before or after it."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Many texts at once, on several threads."""
        return [list(item.ids) for item in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    # Conversations

    def render(
        self,
        messages: Sequence[MessageLike],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
        continue_final: bool = False,
    ) -> str:
        """The conversation as text. `continue_final`: cut off after the last message's content, for the model to go on."""
        plain = plain_messages(messages)
        if not continue_final:
            return self._render(plain, tools, add_generation_prompt)
        if not plain:
            raise UserError("template.nothing_to_continue", "There is no message to continue.")
        mark = _new_mark()
        plain[-1] = {**plain[-1], "content": plain[-1]["content"] + mark + " "}
        text = self._render(plain, tools, False)
        head, found, rest = text.rpartition(mark)
        if not found:
            raise UserError("template.drops_content", "The chat template leaves out the message that is to be continued.")
        return head if rest.startswith(" ") else head.rstrip()

    def encode_prompt(
        self,
        messages: Sequence[MessageLike],
        tools: Sequence[Mapping[str, Any]] | None = None,
        continue_final: bool = False,
    ) -> list[int]:
        """What the model is asked with: the conversation and the opening of the assistant's turn."""
        text = self.render(messages, tools, add_generation_prompt=not continue_final, continue_final=continue_final)
        return self.encode_text(text)

    def encode(self, messages: Sequence[MessageLike], tools: Sequence[Mapping[str, Any]] | None = None) -> Encoded:
        """Tokens of a whole conversation, and which are learnt: each assistant turn with the token that ends it.

        A turn with `train` false is not learnt. Where a template leaves the last turn open, the end-of-text token
        is put after it, because an answer without an end never stops. Raises UserError where a turn cannot be found.
        """
        [found] = self.encode_many([(messages, tools)])
        if isinstance(found, UserError):
            raise found
        return found

    def encode_many(
        self, conversations: Iterable[tuple[Sequence[MessageLike], Sequence[Mapping[str, Any]] | None]]
    ) -> list[Encoded | UserError]:
        """`encode` of each (messages, tools), tokenised together on several threads; what cannot be encoded gives its error."""
        rendered = [self._rendered(messages, tools) for messages, tools in conversations]
        texts = [found[0] for found in rendered if not isinstance(found, UserError)]
        encodings = iter(self.tokenizer.encode_batch(texts, add_special_tokens=False))
        return [found if isinstance(found, UserError) else self._masked(next(encodings), *found[1:]) for found in rendered]

    def _rendered(
        self, messages: Sequence[MessageLike], tools: Sequence[Mapping[str, Any]] | None
    ) -> tuple[str, list[tuple[int, Span]], int] | UserError:
        """(text, where each turn to learn stands, number of the last turn)."""
        try:
            plain = plain_messages(messages)
            trained = [
                index
                for index, (message, given) in enumerate(zip(plain, messages, strict=True))
                if message["role"] == "assistant" and _field(given, "train") is not False
            ]
            text = self._render(plain, tools, False)
            return text, self._assistant_spans(plain, tools, text, trained), len(plain) - 1
        except UserError as error:
            return error

    def _masked(self, encoding: Any, spans: list[tuple[int, Span]], last_turn: int) -> Encoded | UserError:
        ids, offsets = list(encoding.ids), encoding.offsets
        mask = [False] * len(ids)
        for index, span in spans:
            first, last = self._token_range(ids, offsets, span)
            mask[first:last] = [True] * (last - first)
            if index == last_turn and not (last > first and ids[last - 1] in self._stops):
                if self.eos_token_id is None:
                    return _no_end_of_turn()
                ids, mask = [*ids[:last], self.eos_token_id], [*mask[:last], True]
        return Encoded(ids, mask)

    def prompt_matches(self, messages: Sequence[MessageLike], tools: Sequence[Mapping[str, Any]] | None = None) -> bool:
        """Whether the last turn of the conversation, in training, follows the very tokens that serving asks with."""
        prompt = self.encode_prompt(messages[:-1], tools)
        return self.encode(messages, tools).token_ids[: len(prompt)] == prompt

    def _token_range(self, ids: list[int], offsets: list[Span], span: Span) -> Span:
        """Token indices [first, last) of the characters `span`, widened to the stop token that ends the turn."""
        start, end = span
        first = next((index for index, offset in enumerate(offsets) if offset[1] > start), len(ids))
        after = next((index for index in range(first, len(ids)) if offsets[index][0] >= end), len(ids))
        inside = [index for index in range(first, after) if ids[index] in self._stops]
        if inside:
            return first, inside[-1] + 1
        for index in range(after, len(ids)):
            if ids[index] in self._stops:
                return first, index + 1
            if self.decode(ids[index : index + 1], skip_special_tokens=False).strip():
                break
        return first, after

    def _assistant_spans(
        self, plain: list[dict[str, Any]], tools: Any, text: str, trained: Sequence[int]
    ) -> list[tuple[int, Span]]:
        """Where in `text` each of the `trained` turns stands (character positions)."""
        if not trained:
            return []
        if self._tracks_generation:
            marked = self._marked_spans(plain, tools, text)
            turns = [index for index, message in enumerate(plain) if message["role"] == "assistant"]
            if len(marked) == len(turns):
                return [(index, span) for index, span in zip(turns, marked, strict=True) if index in trained]
        return [(index, self._turn_span(plain, tools, text, index)) for index in trained]

    def _marked_spans(self, plain: list[dict[str, Any]], tools: Any, text: str) -> list[Span]:
        """The `{% generation %}` blocks; none when the marks change what is rendered."""
        opening, closing = _new_mark(), _new_mark()
        marked = self._render(plain, tools, False, marks=(opening, closing))
        if marked.replace(opening, "").replace(closing, "") != text:
            return []
        spans: list[Span] = []
        head, *blocks = marked.split(opening)
        position = len(head)
        for block in blocks:
            inside, _, outside = block.partition(closing)
            spans.append((position, position + len(inside)))
            position += len(inside) + len(outside)
        return spans

    def _turn_span(self, plain: list[dict[str, Any]], tools: Any, text: str, index: int) -> Span:
        """Turn `index` begins where the prompt before it ends, and ends where the conversation up to it ends.

        Templates that show a turn differently when others follow break either rule; then the turn is found by
        rendering once more with a mark in place of its content.
        """
        start = self._prefix_length(plain[:index], tools, text, add_generation_prompt=True) if index else None
        last = index == len(plain) - 1
        end = len(text) if last else self._prefix_length(plain[: index + 1], tools, text)
        if start is not None and end is not None and start < end:
            return start, end
        content = self._content_span(plain, tools, text, index)
        if content is None:
            raise UserError(
                "template.turn_not_found",
                "The chat template changes the assistant's turn {turn} so much that its tokens cannot be told from the others; "
                "use another chat template.",
                turn=index + 1,
            )
        begin = start if start is not None and start <= content[0] else content[0]
        return begin, content[1]

    def _prefix_length(
        self, messages: list[dict[str, Any]], tools: Any, text: str, add_generation_prompt: bool = False
    ) -> int | None:
        try:
            prefix = self._render(messages, tools, add_generation_prompt)
        except UserError:
            return None
        return len(prefix) if text.startswith(prefix) else None

    def _content_span(self, plain: list[dict[str, Any]], tools: Any, text: str, index: int) -> Span | None:
        mark = _new_mark()
        bare = {"role": plain[index]["role"], "content": mark}
        for substitute in (bare, {**plain[index], "content": mark}):
            try:
                rendered = self._render([*plain[:index], substitute, *plain[index + 1 :]], tools, False)
            except UserError:
                continue
            before, found, after = rendered.partition(mark)
            fits = len(before) + len(after) <= len(text)
            if found and mark not in after and fits and text.startswith(before) and text.endswith(after):
                return len(before), len(text) - len(after)
        return None

    def _render(
        self,
        plain: list[dict[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        add_generation_prompt: bool,
        marks: tuple[str, str] | None = None,
    ) -> str:
        context = {
            **self.special_tokens,
            "messages": plain,
            "tools": [dict(tool) for tool in tools] if tools else None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        template = self._templates.get("tool_use") if tools else None
        try:
            return render(template or self._templates["default"], context, marks)
        except TemplateRefused as error:
            raise UserError(
                "template.refused",
                "The model's chat template refuses this conversation ({detail}); change the conversation or the template.",
                detail=str(error)[:300],
            ) from error
        except TemplateLimit as error:
            raise UserError(
                "template.too_costly", "The chat template was stopped: {detail}; use another one.", detail=str(error)
            ) from error
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError, RecursionError, ArithmeticError) as error:
            raise UserError(
                "template.failed",
                "The chat template failed on this conversation ({detail}); correct the template, or delete it to use "
                "the default one.",
                detail=str(error)[:300],
            ) from error


class StreamDecoder:
    """Text of tokens as they come, never half a character: `feed` returns what is new, `finish` the rest."""

    PATIENCE = 8
    """Tokens after which an unfinished character is taken for broken bytes."""

    def __init__(self, template: ChatTemplate, skip_special_tokens: bool = True) -> None:
        self._template = template
        self._skip = skip_special_tokens
        self._context: list[int] = []
        self._pending: list[int] = []

    def feed(self, token_id: int) -> str:
        self._pending.append(token_id)
        return self._take(force=len(self._pending) > self.PATIENCE)

    def finish(self) -> str:
        return self._take(force=True) if self._pending else ""

    def _take(self, force: bool) -> str:
        # A token's text may depend on its neighbour (a leading space is dropped at the beginning), so the tokens of the
        # last piece are decoded again before the new ones.
        before = self._template.decode(self._context, self._skip)
        after = self._template.decode([*self._context, *self._pending], self._skip)
        if after.endswith("\ufffd") and not force:
            return ""
        if len(after) > len(before):
            self._context = self._pending
        self._pending = []
        return after[len(before) :]


def plain_messages(messages: Sequence[MessageLike]) -> list[dict[str, Any]]:
    """Messages as templates expect them: no empty fields, no `train`, the arguments of tool calls as objects."""
    plain = []
    for message in messages:
        given = message.model_dump() if isinstance(message, Message) else dict(message)
        given.pop("train", None)
        kept = {name: value for name, value in given.items() if value is not None}
        kept.setdefault("content", "")
        if kept.get("tool_calls"):
            kept["tool_calls"] = [_with_object_arguments(call) for call in kept["tool_calls"]]
        plain.append(kept)
    return plain


def _with_object_arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(call.get("function"), Mapping):
        return {**call, "function": _with_object_arguments(call["function"])}
    arguments = call.get("arguments")
    if not isinstance(arguments, str):
        return dict(call)
    try:
        parsed = json.loads(arguments)
    except ValueError:
        return dict(call)
    return {**call, "arguments": parsed} if isinstance(parsed, dict) else dict(call)


def _field(message: MessageLike, name: str) -> Any:
    return getattr(message, name) if isinstance(message, Message) else message.get(name)


def _new_mark() -> str:
    return f"\ue000{secrets.token_hex(8)}\ue001"


def _no_end_of_turn() -> UserError:
    return UserError(
        "template.no_end_of_turn",
        "The chat template ends the assistant's turn with no token that stops the model, and the tokenizer has no "
        "end-of-text token; give the model another chat template.",
    )


def _digest(sources: Mapping[str, str], special_tokens: Mapping[str, str], identity: bytes) -> str:
    """SHA-256 of all that decides which tokens a conversation becomes."""
    head = json.dumps([dict(sources), dict(special_tokens)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(head.encode() + b"\0" + identity).hexdigest()


def load_template(folder: Path) -> ChatTemplate:
    """Read tokenizer.json, the special tokens and the chat template of a model folder; the default template if it has none."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise UserError(
            "model.no_tokenizer",
            "The model folder {folder} has no tokenizer.json; save the tokenizer in the fast format and import again.",
            folder=folder.name,
        )
    identity = file.read_bytes()
    try:
        tokenizer = Tokenizer.from_buffer(identity)
    except ValueError as error:
        raise UserError(
            "model.broken_tokenizer",
            "The tokenizer.json of {folder} cannot be read ({detail}); copy or download the model again.",
            folder=folder.name,
            detail=str(error)[:200],
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    try:
        config = read_json(folder / "tokenizer_config.json")
        add_missing_tokens(tokenizer, config)
        special = special_tokens(read_json(folder / "special_tokens_map.json")) | special_tokens(config)
        sources = template_sources(folder, config)
        stops = configured_stops(folder)
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # JSON of another shape than the libraries write
        raise UserError(
            "model.broken_tokenizer_config",
            "The tokenizer's settings of {folder} cannot be understood ({detail}); copy or download the model again.",
            folder=folder.name,
            detail=f"{type(error).__name__} {error}"[:200],
        ) from error
    default = CHATML_TEMPLATE if tokenizer.token_to_id("<|im_end|>") is not None else PLAIN_TEMPLATE
    return ChatTemplate(
        tokenizer=tokenizer,
        sources=sources or {"default": default},
        special_tokens=special,
        stop_token_ids=stops,
        identity=identity,
        is_default=not sources,
    )


def write_default_template(folder: Path) -> None:
    """Give a model folder the default template as chat_template.jinja, which every other program reads too."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    source = CHATML_TEMPLATE if tokenizer.token_to_id("<|im_end|>") is not None else PLAIN_TEMPLATE
    (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
