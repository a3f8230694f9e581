"""Extraction and comparison of answers."""

import pytest

from workers.evaluate.answers import calls_in, chosen_by_words, judge, normalise
from workers.evaluate.questions import Question


def question(reference: str = "yes", choices: tuple[str, ...] = ()) -> Question:
    return Question(0, "r", [], None, reference, choices, 0 if choices else None)


@pytest.mark.parametrize(
    ("output", "metric", "right"),
    [
        (" yes\n", "exact", True),
        ("yes.", "exact", False),
        ("<think>\nno?\n</think>\n\nyes", "exact", True),
        ("<think>\nyes", "contains", False),
        ("I say yes, of course", "contains", True),
        ("", "exact", False),
    ],
)
def test_words_are_compared_after_thought(output: str, metric: str, right: bool) -> None:
    assert judge(question(), output, metric, ignore_case=False)[1] is right  # type: ignore[arg-type]


def test_white_space_and_case_are_normalised() -> None:
    assert normalise(" A\n  b\u3000c ", ignore_case=False) == "A b c"
    assert normalise("STRASSE", ignore_case=True) == normalise("straße", ignore_case=True)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>',
        'Let me see.\n<tool_call>\n{"arguments": "{\\"a\\": 1}", "name": "f"}\n</tool_call>',
        '<|action_start|><|plugin|>\n{"name": "f", "parameters": {"a": 1}}<|action_end|>',
        '{"name": "f", "arguments": {"a": 1}}',
        '[{"function": {"name": "f", "arguments": {"a": 1}}}]',
        '<tool_call>{"name": "f", "arguments": {"a": 1}}',
    ],
)
def test_tool_calls_are_read_in_every_spelling(text: str) -> None:
    assert calls_in(text) == [{"name": "f", "arguments": {"a": 1}}]


def test_what_is_no_call_gives_none() -> None:
    assert calls_in("no call") == []
    assert calls_in("<tool_call>broken</tool_call>") == []


@pytest.mark.parametrize(
    ("output", "picked"), [("B", 1), ("(b)", 1), ("B. two", 1), ("two", 1), ("The answer", None), ("C", None), ("", None)]
)
def test_named_choices_are_understood_or_left_open(output: str, picked: int | None) -> None:
    """An answer that names nothing is no answer: it never counts as the nearest choice."""
    assert chosen_by_words(question("A. one", ("A. one", "B. two")), output) == picked


def test_named_labels_are_compared_whole() -> None:
    labels = ("card", "card_arrival")
    assert chosen_by_words(question("card", labels), "Card_Arrival.") == 1
    assert chosen_by_words(question("card", labels), "my card") is None
