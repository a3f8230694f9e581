"""The quick assistant's corrector of texts: repeats what people replaced, and mends words that look like slips of a frequent one.

The frequency of words is counted over all tasks, so that rare spellings beside frequent ones stand out before anybody has
corrected them; a rare word becomes the frequent one that is a single slip away (Damerau's four kinds).
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

PART = re.compile(r"\w+|\s+|[^\w\s]")
WORD = re.compile(r"[^\W\d_]{4,}")
FREQUENT = 5
TIMES_RARER = 10
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Corrector:
    def __init__(self, corpus: Iterable[str]) -> None:
        self.counts: Counter[str] = Counter(word.casefold() for text in corpus for word in WORD.findall(text))
        self.replaced: dict[str, Counter[str]] = {}
        self.kept: Counter[str] = Counter()
        self.mends_slips = False

    def learn(self, texts: Sequence[str], values: Sequence[str]) -> None:
        for text, value in zip(texts, values, strict=True):
            old, new = PART.findall(text), PART.findall(value)
            for kind, a, b, c, d in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
                if kind == "equal":
                    self.kept.update(old[a:b])
                elif kind == "replace" and b - a == 1 and not old[a].isspace():
                    self.replaced.setdefault(old[a], Counter())["".join(new[c:d])] += 1
        # Slips are mended only where people were seen to do so.
        slips = [old for old, new in self.replaced.items() if self._slip(old) and self._slip(old) in new]
        wrong = [word for word in self.kept if self._slip(word)]
        self.mends_slips = len(slips) > len(wrong)

    def propose(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        return [self._mended(text) for text in texts]

    def _mended(self, text: str) -> tuple[str, float]:
        parts, sure = [], 1.0
        for part in PART.findall(text):
            mended, share = self._word(part)
            parts.append(mended)
            sure = min(sure, share)
        return "".join(parts), sure

    def _word(self, part: str) -> tuple[str, float]:
        seen = self.replaced.get(part)
        if seen:
            best, times = seen.most_common(1)[0]
            share = times / (sum(seen.values()) + self.kept[part])
            if share > 0.5:
                return best, 0.5 + share / 2 - 0.5 / (times + 1)
        slip = self._slip(part) if self.mends_slips and part not in self.kept else None
        if slip:
            return slip, 0.7
        is_rare = WORD.fullmatch(part) and part not in self.kept and self.counts[part.casefold()] < FREQUENT
        return part, 0.8 if is_rare else 0.99

    def _slip(self, part: str) -> str | None:
        """The frequent word of which this rare one is a slip; None: it is none."""
        if not WORD.fullmatch(part):
            return None
        word = part.casefold()
        least = max(FREQUENT, TIMES_RARER * self.counts[word])
        best = max(_one_slip_away(word), key=lambda other: self.counts[other], default="")
        if not best or self.counts[best] < least:
            return None
        return best.capitalize() if part[:1].isupper() else best


def _one_slip_away(word: str) -> set[str]:
    halves = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    lost = {left + right[1:] for left, right in halves if right}
    swapped = {left + right[1] + right[0] + right[2:] for left, right in halves if len(right) > 1}
    other = {left + sign + right[1:] for left, right in halves if right for sign in LETTERS}
    more = {left + sign + right for left, right in halves for sign in LETTERS}
    return (lost | swapped | other | more) - {word}
