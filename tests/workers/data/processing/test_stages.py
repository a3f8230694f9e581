"""S6.3, stage by stage: what is dropped, what is changed, and what must stay as it is."""

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.data.processing.running import only, process, texts
from workers.data.processing import measures
from workers.data.processing.normalisation import Normalisation
from workers.data.processing.personal import Personal, find, is_bank_card, is_id_card, mask
from workers.data.processing.quality import quality
from workers.spec.processing import NormalisationStage, PersonalStage

KINDS = {"email", "phone", "id_card", "bank_card", "ip"}
ENGLISH = "The bridge over the river was built by the town, and it still carries people to the market every day."
CHINESE = "这座桥是一百年前由镇上的人修建的，到今天每天仍然有许多人从桥上走过去赶集，孩子们也喜欢在桥边玩耍。"


def test_languages_are_screened_and_noted(tmp_path: Path) -> None:
    french = "Le pont est dans la ville et il ne va pas avec les autres, que je vous dis."
    kept, reports = process(tmp_path, texts(ENGLISH, CHINESE, french, "12345"), only(language={"keep": ["zh", "en"]}))
    assert [record["facets"]["language"] for record in kept[:2]] == ["en", "zh"]
    assert len(kept) == 3
    assert reports["language"]["reasons"] == {"other_language": 1}
    kept, reports = process(tmp_path, texts("12345"), only(language={"keep": ["zh"], "unknown": False}))
    assert reports["language"]["reasons"] == {"unknown_language": 1}


def test_normalisation_keeps_chinese_punctuation_code_and_emoji() -> None:
    stage = Normalisation(NormalisationStage())
    text = "  if x:\r\n\treturn 1   \r\n\r\n\r\n\r\n你好，世界！１\u3000臺灣\u200b\ufeff 👩\u200d💻 e\u0301 \x07end\u202e"
    outcome = stage.process({"id": "a", "text": text})
    assert outcome.record
    assert outcome.record["text"] == "  if x:\n\treturn 1\n\n你好，世界！１ 臺灣 👩\u200d💻 é end"
    compatible = Normalisation(NormalisationStage(unicode="NFKC")).process({"id": "a", "text": "，！１"})
    assert compatible.record
    assert compatible.record["text"] == ",!1"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    stage = Normalisation(NormalisationStage(collapse_spaces=True))
    once = stage.process({"id": "a", "text": text}).record
    assert once
    again = stage.process(once)
    assert again.record == once
    assert unicodedata.is_normalized("NFC", once["text"])


def test_text_under_spans_is_left_alone() -> None:
    spans = [{"q": "names", "type": "spans", "value": [{"id": "1", "start": 4, "end": 7, "label": "PER", "text": "Ann"}]}]
    record = {"id": "a", "text": "Hi  Ann \n\n\n\n.", "annotations": spans}
    assert Normalisation(NormalisationStage()).process(record).record is record


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x", "too_short"),
        ("word " * 300, "too_long"),
        ("@#$%^&*~|" * 20 + " abc", "symbols"),
        ("1234567890 " * 20, "digits"),
        ("see https://example.com/a/very/long/address/with/many/parts/that/goes/on/and/on " * 2, "urls"),
        ("The same line again.\n" * 12, "repeated_lines"),
        (" ".join(["one two three four five six"] * 12), "repeated_ngrams"),
        ("apple banana cherry " + " ".join(f"word{index}" for index in range(30)), "stop_words"),
        (ENGLISH + " What a DAMN day that was, everybody said so at the time.", "bad_words"),
        (CHINESE + "这里有赌博网站的广告。" + CHINESE[:40], "bad_words"),
        (ENGLISH + " Goddamned is another word, and nothing is said about it here.", ""),
        (CHINESE + CHINESE[::-1], ""),
    ],
)
def test_rules_name_what_is_broken(tmp_path: Path, text: str, reason: str) -> None:
    rules = {
        "minimum_characters": 5, "maximum_characters": 1000, "minimum_stop_words": 2, "bad_words": ["damn", "赌博"],
        "maximum_repeated_ngrams": 0.5,
    }  # fmt: skip
    _kept, reports = process(tmp_path, texts(text), only(rules=rules))
    assert list(reports["rules"]["reasons"]) == ([reason] if reason else [])


def test_records_without_words_but_with_media_pass(tmp_path: Path) -> None:
    picture = {"id": "p", "modality": "image", "media": [{"kind": "image", "sha256": "0" * 64}]}
    stages = only(language={}, rules={"minimum_characters": 50}, quality={"minimum": 0.5}, deduplication={})
    kept, _reports = process(
        tmp_path, [picture, {**picture, "id": "q", "media": [{"kind": "image", "sha256": "1" * 64}]}], stages
    )
    assert [record["id"] for record in kept] == ["p", "q"]


def test_quality_orders_texts_as_people_would() -> None:
    broken = "ä½ å¥½ Ã©Ã¨ â€œ 锟斤拷锟斤拷 \ufffd\ufffd\ufffd"
    spam = "buy now cheap pills " * 60
    symbols = "#$%^ 123 @@@ 99999 ((( *** " * 5
    scores = {name: quality(text) for name, text in {"en": ENGLISH, "zh": CHINESE}.items()}
    assert min(scores.values()) > 0.9
    assert max(quality(broken), quality(spam), quality(symbols)) < 0.6


@given(st.text(max_size=400))
def test_quality_lies_between_0_and_1(text: str) -> None:
    assert 0 <= quality(text) <= 1
    assert 0 <= measures.repeated_line_share(text) <= 1
    assert 0 <= measures.repeated_ngram_share(measures.tokens(text)) <= 1


def test_low_quality_is_dropped_and_the_facet_stored(tmp_path: Path) -> None:
    kept, reports = process(tmp_path, texts(ENGLISH, "锟斤拷" * 50), only(quality={"minimum": 0.5}))
    assert kept[0]["facets"]["quality"] == quality(ENGLISH)
    assert reports["quality"]["reasons"] == {"low_quality": 1}
    assert sum(reports["quality"]["histogram"]) == 2


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("写信给wang.li+tag@mail.example.com.cn。", "写信给[EMAIL]。"),
        ("电话13812345678，或+86 138-1234-5678", "电话[PHONE]，或[PHONE]"),
        ("call (555) 123-4567 or 010-12345678", "call [PHONE] or [PHONE]"),
        ("身份证11010519491231002X号", "身份证[ID_CARD]号"),
        ("身份证110105194912310021号", "身份证110105194912310021号"),
        ("card 4111 1111 1111 1111.", "card [BANK_CARD]."),
        ("card 4111 1111 1111 1112.", "card 4111 1111 1111 1112."),
        ("from 203.0.113.9:8080 and 2001:db8::1", "from [IP]:8080 and [IP]"),
        ("version 1.2.3.4 of 2026-11-23, 12:30:45, 127.0.0.1", "version 1.2.3.4 of 2026-11-23, 12:30:45, 127.0.0.1"),
        ("in 1234567890123456 of 300.1.2.3", "in 1234567890123456 of 300.1.2.3"),
    ],
)
def test_personal_data_is_found_by_form_and_check_digit(text: str, masked: str) -> None:
    assert mask(text, find(text, KINDS)) == masked


@given(st.integers(10**16, 10**17 - 1))
def test_one_wrong_digit_is_no_identity_number(number: int) -> None:
    body = f"11010519900307{number % 1000:03d}"
    right = [last for last in "0123456789X" if is_id_card(body + last)]
    assert len(right) == 1


@given(st.text(alphabet="0123456789", min_size=15, max_size=15), st.integers(0, 14), st.integers(1, 9))
def test_luhn_catches_every_single_wrong_digit(body: str, place: int, change: int) -> None:
    number = next(body + last for last in "0123456789" if _luhn(body + last))
    wrong = number[:place] + str((int(number[place]) + change) % 10) + number[place + 1 :]
    assert is_bank_card(number) or len(set(number)) == 1
    assert not is_bank_card(wrong)


def _luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    return sum(digit if index % 2 == 0 else sum(divmod(2 * digit, 10)) for index, digit in enumerate(digits)) % 10 == 0


@given(st.text(alphabet=st.sampled_from("a1.@:-+ 3800中x"), max_size=200))
def test_masking_twice_finds_nothing_more(text: str) -> None:
    once = mask(text, find(text, KINDS))
    assert once.replace("[", "").count("]") <= len(text)
    assert all(once[start:end] not in {"[EMAIL]", "[PHONE]"} for start, end, _kind in find(once, KINDS))


def test_masks_reach_turns_calls_and_columns_and_spans_follow() -> None:
    text = "Mail a@b.com to Ann at a@b.com now"
    spans = [{"id": "1", "start": 16, "end": 19, "label": "PER", "text": "Ann"}]
    record: dict[str, Any] = {
        "id": "a",
        "text": text,
        "messages": [
            {"role": "user", "content": "I am x@y.org"},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": {"arguments": '{"to": "x@y.org"}'}}]},
        ],
        "extra": {"author": {"mail": "x@y.org"}},
        "annotations": [{"q": "n", "type": "spans", "value": spans}, {"q": "t", "type": "text", "value": "ask x@y.org"}],
    }
    done = Personal(PersonalStage()).process(record).record
    assert done
    assert "@" not in str(done)
    span = done["annotations"][0]["value"][0]
    assert done["text"][span["start"] : span["end"]] == span["text"] == "Ann"
    assert record["text"] == text, "the record that came in is not changed"
    dropped = Personal(PersonalStage(action="drop")).process(record)
    assert (dropped.record, dropped.reason) == (None, "email")
    assert "a@b.com" not in str(dropped.shown), "examples do not show what is personal"
