"""Words of the islands exist in both languages, and every word used is there (N7)."""

import json
import re
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "static" / "src"
KEY = re.compile(r'"((?:app|builder|chart|chat|error|keys|label|role|time|tool|upload)\.[a-z_]+)"')
PREFIXES_WITH_COMPUTED_KEYS = ("chart.axis_", "chat.reason_", "label.empty_", "role.", "chat.temperature", "chat.top_p")


def words(part: str, language: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((SOURCE / "strings" / f"{part}{language}.json").read_text("utf-8"))
    return found


def strings(language: str) -> dict[str, str]:
    """Words of every page, and those of the labelling tools."""
    return words("", language) | words("tools.", language)


def keys_in_code() -> set[str]:
    return {key for path in SOURCE.rglob("*.js") for key in KEY.findall(path.read_text("utf-8"))}


def test_both_languages_have_the_same_keys_in_order() -> None:
    for part in ("", "tools."):
        english, chinese = words(part, "en"), words(part, "zh-hans")
        assert list(english) == list(chinese) == sorted(english)


def test_translations_keep_every_placeholder() -> None:
    english, chinese = strings("en"), strings("zh-hans")
    for key, text in english.items():
        assert sorted(re.findall(r"\{(\w+)\}", text)) == sorted(re.findall(r"\{(\w+)\}", chinese[key])), key


def test_chinese_strings_are_chinese() -> None:
    same = {key for key, text in strings("zh-hans").items() if text == strings("en")[key]}
    assert same <= {"chat.top_p", "label.saving"}


def test_code_uses_only_known_keys_and_no_key_is_unused() -> None:
    known, used = set(strings("en")), keys_in_code()
    assert used - known == set()
    assert {key for key in known - used if not key.startswith(PREFIXES_WITH_COMPUTED_KEYS)} == set()
