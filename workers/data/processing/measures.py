"""What can be counted in a text: shares of symbols, digits, addresses and repetition, and small words. All in [0, 1]."""

import re
from collections import Counter

HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"[{HAN}\u3040-\u30ff]|[^\W_{HAN}\u3040-\u30ff]+")
_SPACE = re.compile(r"\s+")
_WORDS = re.compile(r"[\w\s]+")
_MARKS = re.compile(r"""[.,;:!?'"()，。、；：！？“”‘’（）《》…—\-]+""")
_DIGITS = re.compile(r"\d+")
_NO_LETTERS = re.compile(r"[\W\d_]+")
_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"'，。；、）)]{1,2000}", re.IGNORECASE)
_SMALL = "the be to of and that have with is are was in for it this you as on not or"
STOP_WORDS = frozenset(_SMALL.split())
STOP_CHARACTERS = frozenset("的了是在和有不我人这们为也就你他她它那与及或被把对从到而但")
SAMPLED = 20_000
"""Characters that counting of words looks at: enough to judge, and a limit on time."""


def tokens(text: str) -> list[str]:
    """Words, and single Chinese and Japanese characters, of the first SAMPLED characters, in lower case."""
    return _TOKEN.findall(text[:SAMPLED].lower())


def symbol_share(text: str) -> float:
    """Characters that are no letter, digit, space or common punctuation."""
    plain = _SPACE.sub("", text)
    return len(_MARKS.sub("", _WORDS.sub("", plain))) / len(plain) if plain else 0.0


def digit_share(text: str) -> float:
    plain = _SPACE.sub("", text)
    return sum(map(len, _DIGITS.findall(plain))) / len(plain) if plain else 0.0


def letter_share(text: str) -> float:
    plain = _SPACE.sub("", text)
    return len(_NO_LETTERS.sub("", plain)) / len(plain) if plain else 0.0


def url_share(text: str) -> float:
    return sum(map(len, _URL.findall(text))) / len(text) if text else 0.0


def repeated_line_share(text: str) -> float:
    """Characters in lines that stand there before."""
    if "\n" not in text:
        return 0.0
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    seen: set[str] = set()
    repeated = total = 0
    for line in lines:
        total += len(line)
        if line in seen:
            repeated += len(line)
        seen.add(line)
    return repeated / total if total else 0.0


def repeated_ngram_share(words: list[str], n: int = 5) -> float:
    """Words that lie in a run of n which stood there before, over all words (as in the Gopher rules, Rae et al. 2021)."""
    if len(words) < 2 * n:
        return 0.0
    runs = list(zip(*(words[start:] for start in range(n)), strict=False))
    if len(set(runs)) == len(runs):
        return 0.0
    seen: set[tuple[str, ...]] = set()
    covered = bytearray(len(words))
    for start, run in enumerate(runs):
        if run in seen:
            covered[start : start + n] = b"\x01" * n
        seen.add(run)
    return sum(covered) / len(words)


def stop_words(words: list[str]) -> int:
    """How many different small words there are."""
    found = set(words)
    return len(found & STOP_WORDS) + len(found & STOP_CHARACTERS)


def variety(words: list[str]) -> float:
    """Different words over words, of the first 300."""
    first = words[:300]
    return len(set(first)) / len(first) if first else 0.0


def most_frequent_share(words: list[str]) -> float:
    """The share that the most frequent word has."""
    return Counter(words).most_common(1)[0][1] / len(words) if words else 0.0
