"""Words, characters and runs of them as 64-bit numbers, for many texts at once and without a loop over characters.

A token is a word in scripts with spaces, or one character in those without (Chinese, Japanese, Thai …), so that n-grams
mean the same amount of text in both. Texts are folded first (NFKC, case), so that ＡＢＣ, abc and Abc are one.
All arithmetic wraps modulo 2^64 and needs no seed from the machine: the same texts give the same numbers everywhere.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Offsets = NDArray[np.int64]
_LIMIT = 0x20000
_ALONE = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
)  # fmt: skip
_WORD, _CHARACTER = 1, 2
_BASE = 0x9E3779B97F4A7C15
_LONGEST_WORD = 64


@dataclass(frozen=True)
class Tokens:
    """`hashes` of all tokens; text i has those from offsets[i] to offsets[i + 1]. `starts`: where they stand in `text`."""

    hashes: Hashes
    offsets: Offsets
    starts: Offsets
    text: str

    def excerpt(self, first: int, count: int) -> str:
        """The (folded) words of `count` tokens from token `first` on."""
        last = first + count
        end = int(self.starts[last]) if last < len(self.starts) else len(self.text)
        return self.text[int(self.starts[first]) : end].split("\n")[0].strip()


def fold(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).lower()


def mix(values: Hashes) -> Hashes:
    """Spread the bits (the finaliser of SplitMix64, Steele, Lea and Flood 2014)."""
    values = values ^ (values >> np.uint64(30))
    values = values * np.uint64(0xBF58476D1CE4E5B9)
    values = values ^ (values >> np.uint64(27))
    values = values * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@cache
def _classes() -> NDArray[np.uint8]:
    """What each code point is: 0 separates, 1 belongs to a word, 2 is a token of its own."""
    table = np.zeros(_LIMIT, dtype=np.uint8)
    for code in range(_LIMIT):
        character = chr(code)
        if character.isalnum() or unicodedata.category(character)[0] == "M":
            table[code] = _WORD
    for first, last in _ALONE:
        part = table[first : last + 1]
        part[part == _WORD] = _CHARACTER
    return table


@cache
def powers(count: int) -> Hashes:
    """_BASE to the power of 0, 1, 2 … modulo 2^64."""
    values = [1]
    for _ in range(count - 1):
        values.append(values[-1] * _BASE % 2**64)
    return np.array(values, dtype=np.uint64)


def tokenise(texts: Sequence[str]) -> Tokens:
    folded = [fold(text) for text in texts]
    whole = "\n".join(folded)
    codes = np.frombuffer(whole.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64)
    classes = np.where(codes < _LIMIT, _classes()[np.minimum(codes, _LIMIT - 1)], np.uint8(_CHARACTER))
    begins = classes == _CHARACTER
    word = classes == _WORD
    begins |= word & ~np.concatenate(([False], word[:-1]))
    starts = np.flatnonzero(begins)
    lengths = np.fromiter((len(text) + 1 for text in folded), dtype=np.int64, count=len(folded))
    offsets = np.searchsorted(starts, np.concatenate(([0], np.cumsum(lengths))))
    if not len(starts):
        return Tokens(np.zeros(0, np.uint64), offsets, starts, whole)
    place = np.arange(len(codes)) - np.maximum.accumulate(np.where(begins, np.arange(len(codes)), 0))
    values = mix(codes.astype(np.uint64) + np.uint64(1)) * powers(_LONGEST_WORD)[place % _LONGEST_WORD]
    values[classes == 0] = 0
    return Tokens(mix(np.add.reduceat(values, starts)), offsets, starts, whole)


def ngrams(hashes: Hashes, offsets: Offsets, n: int) -> tuple[Hashes, Offsets, Offsets]:
    """Runs of n tokens within each text: their hashes, the texts' offsets into them, and each run's first token.

    A text of fewer than n tokens has one run, the whole of it; one without tokens has none.
    """
    counts = np.diff(offsets)
    runs = np.where(counts >= n, counts - n + 1, (counts > 0).astype(np.int64))
    run_offsets = np.concatenate(([0], np.cumsum(runs)))
    total = int(run_offsets[-1])
    if not total:
        return np.zeros(0, np.uint64), run_offsets, np.zeros(0, np.int64)
    owner = np.repeat(np.arange(len(counts)), runs)
    first = offsets[:-1][owner] + np.arange(total) - run_offsets[:-1][owner]
    length = np.minimum(counts[owner], n)
    values = np.zeros(total, dtype=np.uint64)
    for step, power in enumerate(powers(n)):
        inside = step < length
        if inside.all():
            values += hashes[first + step] * power
        else:
            values[inside] += hashes[first[inside] + step] * power
    return mix(values + length.astype(np.uint64)), run_offsets, first
