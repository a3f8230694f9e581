"""Text comes out whole and cut at the right place, however tokens and chunks fall."""

import itertools
import random
from pathlib import Path

import pytest

from workers.data.templates import load_template
from workers.engine.engines.base import TokenEvent
from workers.engine.text import StopMatcher, TextStream
from workers.engine.tool_calls import ToolCallParser

ANSWER = "你好🙂，包裹 12345 is on its way. END of story — naïve café ENDE"


@pytest.mark.parametrize("stops", [["END of"], ["story", "way. E"], ["café"], ["🙂"], ["never"], ["EENDE", "ENDE"], []])
def test_stop_strings_cut_at_the_first_match_at_every_split(stops: list[str]) -> None:
    positions = [found for stop in stops if (found := ANSWER.find(stop)) >= 0]
    wanted = ANSWER[: min(positions)] if positions else ANSWER
    generator = random.Random(0)
    for _ in range(200):
        cuts = sorted(generator.sample(range(len(ANSWER)), 6))
        pieces = [ANSWER[start:end] for start, end in itertools.pairwise([0, *cuts, len(ANSWER)])]
        matcher = StopMatcher(stops)
        text = "".join(matcher.feed(piece) for piece in pieces)
        assert wanted.startswith(text)
        assert (text if matcher.matched else text + matcher.finish()) == wanted
        assert matcher.matched == bool(positions)


def test_text_stream_never_breaks_a_character(tiny_llama: Path) -> None:
    template = load_template(tiny_llama)
    tokens = template.encode_text(ANSWER)
    assert len(tokens) > len(ANSWER) / 2, "the vocabulary must be small enough to split characters"
    stream = TextStream(template, [])
    pieces = [stream.feed(TokenEvent([token], counted=1)).text for token in tokens]
    last = stream.feed(TokenEvent(finish_reason="stop", counted=1))
    assert "".join(pieces) + last.text == ANSWER
    assert "\ufffd" not in "".join(pieces)
    assert stream.counted == len(tokens) + 1


def test_stop_string_ends_the_count_at_the_token_that_completes_it(tiny_llama: Path) -> None:
    template = load_template(tiny_llama)
    tokens = template.encode_text("abc STOP def")
    stream = TextStream(template, ["STOP"])
    piece = stream.feed(TokenEvent(tokens, counted=len(tokens)))
    assert (piece.text, piece.finish_reason) == ("abc ", "stop")
    assert stream.counted == len(template.encode_text("abc STOP"))


CALLS = (
    'Let me look.\n<tool_call>\n{"name": "look_up", "arguments": {"order": 5}}\n</tool_call>\n'
    '<tool_call>\n{"name": "当前时间"}\n</tool_call>'
)


@pytest.mark.parametrize("size", [1, 3, 7, len(CALLS)])
def test_tool_calls_are_found_at_every_split(size: int) -> None:
    parser = ToolCallParser()
    said, calls = "", []
    for start in range(0, len(CALLS), size):
        text, found = parser.feed(CALLS[start : start + size])
        said, calls = said + text, calls + found
    text, found = parser.finish()
    assert (said + text).strip() == "Let me look."
    assert [(call.name, call.arguments) for call in calls + found] == [("look_up", '{"order": 5}'), ("当前时间", "{}")]


@pytest.mark.parametrize(
    "text", ["<tool_call>no json</tool_call>", "<tool_call>{}", "a < b <tool", "<tool_call>[1]</tool_call> after"]
)
def test_what_is_no_call_stays_text(text: str) -> None:
    parser = ToolCallParser()
    said, calls = parser.feed(text)
    rest, more = parser.finish()
    assert (said + rest, calls + more) == (text, [])


def test_unclosed_call_with_whole_json_counts() -> None:
    parser = ToolCallParser()
    assert parser.feed('<tool_call>{"name": "f", "arguments": "{}"}') == ("", [])
    rest, calls = parser.finish()
    assert (rest, calls[0].name, calls[0].arguments) == ("", "f", "{}")
