"""What libraries say reaches a reader in the reader's language, or in a fold."""

import json
import re
from typing import Any, Literal

import pytest
from django.test import Client
from django.utils import translation
from pydantic import BaseModel, Field, ValidationError

from webapp.core.errors import UserError, error_html, folded, translate
from webapp.core.library_words import explain


class Form(BaseModel, extra="forbid"):
    text: str = Field("a", min_length=1, max_length=3)
    whole: int = Field(1, ge=1, le=9)
    part: float = Field(0.5, gt=0, lt=1)
    flag: bool = True
    kind: Literal["full", "lora"] = "full"
    names: list[str] = Field(default_factory=list, max_length=1)
    nested: dict[str, int] = Field(default_factory=dict)
    needed: int = 0


WRONG: list[dict[str, Any]] = [
    {"text": 1}, {"text": ""}, {"text": "abcd"}, {"whole": "x"}, {"whole": 1.5}, {"whole": 0}, {"whole": 10}, {"part": "x"},
    {"part": 0}, {"part": 1}, {"flag": "perhaps"}, {"kind": "half"}, {"names": "x"}, {"names": ["a", "b"]}, {"nested": 3},
    {"unknown": 1},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_pydantic_finds_wrong_is_said_in_chinese(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Form.model_validate(wrong)
    with translation.override("zh-hans"):
        said = explain(caught.value.errors()[0]["msg"])
    assert said is not None
    assert re.sub(r"'\w+'|true|false", "", said).isascii() is False
    assert not re.search("[a-z]", re.sub(r"'\w+'|true|false", "", said)), said


@pytest.mark.parametrize("text", ["", '{"a" 1}', '{"a": 1,}', "[1 2]", '"open', "1 2", '{"a": "\t"}', '"\\x"', "{a: 1}"])
def test_what_is_wrong_with_json_is_said_in_chinese(text: str) -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(text)
    with translation.override("zh-hans"):
        for message in (str(caught.value), caught.value.msg):
            said = explain(message)
            assert said is not None, message
            assert not re.search("[a-z]", said)


def test_known_words_stand_in_the_sentence_and_unknown_ones_in_a_fold() -> None:
    template = "The line is no valid JSON: {detail}; mend it."
    told = "The line is no valid JSON: something follows after the end (line 1, column 3); mend it."
    assert folded(template, {"detail": "Extra data: line 1 column 3 (char 2)"}) == (told, "")
    sentence, technical = folded(template, {"detail": "<b>RuntimeError</b>"})
    assert sentence.count("see the technical details") == 1
    assert technical == "<b>RuntimeError</b>"
    assert "<b>RuntimeError</b>" in translate(template, {"detail": "<b>RuntimeError</b>"})
    shown = error_html(template, {"detail": "<b>RuntimeError</b>"})
    assert '<details class="technical">' in shown
    assert "&lt;b&gt;RuntimeError" in shown
    assert error_html("", {}) == ""


def test_error_page_folds_what_a_library_said(alice_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UserError("x.y", "The file cannot be stored: {detail}.", detail="EIO: weird")

    monkeypatch.setattr("webapp.projects.queries.stations", refuse)
    page = alice_client.get("/w/academy/").content.decode()
    before, fold = page.split('<details class="technical')
    assert "EIO: weird" not in before
    assert "EIO: weird" in fold
