"""Finds `<tool_call>{"name": …, "arguments": …}</tool_call>` in generated text as it streams."""

import json
import secrets
from dataclasses import dataclass

OPENING = "<tool_call>"
CLOSING = "</tool_call>"


@dataclass(frozen=True)
class ToolCall:
    """One call; `arguments` is JSON text, as the API wants it."""

    id: str
    name: str
    arguments: str


class ToolCallParser:
    """Splits text into what is said and which tools are called. A block that is no valid call stays text."""

    def __init__(self) -> None:
        self._buffer = ""
        self._inside = False
        self.calls = 0

    def feed(self, text: str) -> tuple[str, list[ToolCall]]:
        self._buffer += text
        said = ""
        calls: list[ToolCall] = []
        while True:
            mark = CLOSING if self._inside else OPENING
            position = self._buffer.find(mark)
            if position < 0:
                break
            body, self._buffer = self._buffer[:position], self._buffer[position + len(mark) :]
            if self._inside:
                call = parse_call(body)
                calls += [call] if call else []
                said += "" if call else f"{OPENING}{body}{CLOSING}"
            else:
                said += body
            self._inside = not self._inside
        if not self._inside:
            split = len(self._buffer) - _overlap(self._buffer)
            said, self._buffer = said + self._buffer[:split], self._buffer[split:]
        self.calls += len(calls)
        # What only separates calls is not speech.
        return ("" if self.calls and not said.strip() else said), calls

    def finish(self) -> tuple[str, list[ToolCall]]:
        """The end of the text; an unclosed block is a call if it is complete JSON."""
        call = parse_call(self._buffer) if self._inside else None
        rest = "" if call else (OPENING if self._inside else "") + self._buffer
        self._buffer, self._inside = "", False
        self.calls += 1 if call else 0
        return rest, [call] if call else []


def parse_call(body: str) -> ToolCall | None:
    try:
        content = json.loads(body)
    except ValueError:
        return None
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        return None
    arguments = content.get("arguments", content.get("parameters", {}))
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(f"call_{secrets.token_hex(12)}", content["name"], text)


def _overlap(text: str) -> int:
    longest = min(len(OPENING) - 1, len(text))
    return next((size for size in range(longest, 0, -1) if text.endswith(OPENING[:size])), 0)
