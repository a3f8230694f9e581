"""Stage `deduplication`: of each group of equal or nearly equal records one stays.

Three looks at the same groups: equal words (spaces aside), n-grams by MinHash, and vectors by cosine. Records with
different media, tool calls, or (on request) labels, answers and annotations are never duplicates of each other.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from workers.data.processing import embedding, grams
from workers.data.processing.batches import batched
from workers.data.processing.clusters import Groups
from workers.data.processing.fields import CONVERSATIONS, head, media_key, words
from workers.data.processing.minhash import NearDuplicates
from workers.data.processing.outcome import Outcome, RecordStage
from workers.spec.processing import DeduplicationStage

Read = Callable[[], Iterator[dict[str, Any]]]
SHOWN_CLUSTERS = 40
SHOWN_MEMBERS = 6
SHOWN_TEXT = 600


class Deduplication(RecordStage):
    """`prepare` reads all records and decides; `process` carries it out in the same order."""

    def __init__(self, settings: DeduplicationStage, threads: int = 1) -> None:
        self.settings, self.threads = settings, threads
        self.place = 0
        self.ids: list[str] = []
        self.facts: list[tuple[int, float]] = []
        self.keys: list[int] = []
        self.first_equal: list[int] = []
        self.kept_instead: dict[int, tuple[int, str]] = {}
        self.shown: dict[int, str] = {}
        self.members: dict[int, list[int]] = {}

    def prepare(self, read: Read, tick: Callable[[], None]) -> None:
        near = self._collect(read, tick)
        count = len(self.ids)
        groups = Groups(count)
        how = np.zeros(count, dtype=np.int8)
        if self.settings.exact:
            equal = np.array(self.first_equal, dtype=np.int64)
            groups.parent = equal.copy()
            how[equal != np.arange(count)] = 1
        alone = np.flatnonzero(how == 0)
        keys = np.array(self.keys, dtype=np.int64)
        if near is not None and count:
            tick()
            self._join(groups, how, alone, near.groups(self.settings.threshold, keys[alone]).roots(), 2)
            alone = np.flatnonzero(how == 0)
        if self.settings.embedding and len(alone):
            wanted = np.zeros(count, dtype=bool)
            wanted[alone] = True
            points = embedding.vectors(lambda: _texts(read, wanted, tick), len(alone))
            self._join(groups, how, alone, embedding.group(points, self.settings.cosine, keys[alone]).roots(), 3)
        self._choose(groups.roots(), how)

    def _collect(self, read: Read, tick: Callable[[], None]) -> NearDuplicates | None:
        """One pass: what is needed of each record, and the signatures of those that are the first of their words."""
        settings = self.settings
        near = NearDuplicates(settings.ngram, settings.permutations, self.threads) if settings.near else None
        kinds: dict[bytes, int] = {}
        seen: dict[bytes, int] = {}
        for records in batched(read(), size=lambda record: len(words(record))):
            tick()
            texts = []
            for record in records:
                index = len(self.ids)
                said = words(record)
                key = kinds.setdefault(_digest(identity(record, same_label=settings.same_label)), len(kinds))
                first = seen.setdefault(_digest(f"{key}\n{' '.join(said.split())}"), index)
                self.ids.append(str(record["id"]))
                self.keys.append(key)
                self.first_equal.append(first)
                self.facts.append((len(said), float((record.get("facets") or {}).get("quality") or 0.0)))
                if first == index or not settings.exact:
                    texts.append(words(record, system=False))
            if near is not None and texts:
                near.add(texts)
        return near

    @staticmethod
    def _join(groups: Groups, how: Any, alone: Any, roots: Any, kind: int) -> None:
        """Carry groups of the records `alone` over to all records."""
        member = np.flatnonzero(roots != np.arange(len(roots)))
        groups.join(alone[roots[member]], alone[member])
        how[alone[member]] = kind

    def _choose(self, roots: Any, how: Any) -> None:
        """Which one of each group stays; the groups that the report shows."""
        sizes = np.bincount(roots, minlength=len(roots))
        together: dict[int, list[int]] = {}
        for index in np.flatnonzero(sizes[roots] > 1).tolist():
            together.setdefault(int(roots[index]), []).append(index)
        names = {0: "near", 1: "exact", 2: "near", 3: "embedding"}
        for group in together.values():
            kept = self._best(group)
            kind = next((names[int(how[index])] for index in group if how[index] >= 2), "exact")
            for index in group:
                if index != kept:
                    found = int(how[index]) or int(how[kept])
                    self.kept_instead[index] = (kept, names[found] if found else kind)
        largest = sorted(together.values(), key=lambda group: (-len(group), group[0]))
        alike = [group for group in largest if any(how[index] >= 2 for index in group)]
        chosen = {group[0]: group for group in [*alike[: SHOWN_CLUSTERS // 2], *largest]}
        for group in list(chosen.values())[:SHOWN_CLUSTERS]:
            kept = self._best(group)
            self.members[kept] = [index for index in group if index != kept]
        self.sizes = Counter(map(len, together.values()))

    def _best(self, group: list[int]) -> int:
        if self.settings.keep == "longest":
            return max(group, key=lambda index: (self.facts[index][0], -index))
        if self.settings.keep == "best":
            return max(group, key=lambda index: (self.facts[index][1], self.facts[index][0], -index))
        return group[0]

    def resume(self, entered: int, figures: dict[str, Any]) -> None:
        self.place = entered
        self.shown = {int(index): text for index, text in figures.get("shown", {}).items()}

    def process(self, record: dict[str, Any]) -> Outcome:
        index = self.place
        self.place += 1
        kept, why = self.kept_instead.get(index, (index, ""))
        if index in self.members or (kept in self.members and index in self.members[kept][:SHOWN_MEMBERS]):
            self.shown[index] = words(record, system=False)[:20_000]
        if not why:
            return Outcome(record)
        return Outcome(None, why, {"kept": self.ids[kept]})

    def figures(self) -> dict[str, Any]:
        """While it runs: the texts noted; in the end: the groups."""
        if self.place < len(self.ids):
            return {"shown": {str(index): text for index, text in self.shown.items()}}
        return {
            "clusters": [self._cluster(kept, others) for kept, others in self.members.items()],
            "cluster_sizes": {str(size): number for size, number in sorted(self.sizes.items())},
        }

    def _cluster(self, kept: int, others: list[int]) -> dict[str, Any]:
        original = self.shown[kept]
        return {
            "size": len(others) + 1,
            "kept": {"id": self.ids[kept], "text": head(original, SHOWN_TEXT)},
            "members": [
                {
                    "id": self.ids[index],
                    "how": self.kept_instead[index][1],
                    "similarity": round(similarity(original, self.shown[index], self.settings.ngram), 3),
                    "text": head(self.shown[index], SHOWN_TEXT),
                }
                for index in others[:SHOWN_MEMBERS]
            ],
        }


def identity(record: dict[str, Any], *, same_label: bool) -> str:
    """What must be equal in duplicates beside the words."""
    calls = [message.get("tool_calls") for name in CONVERSATIONS for message in record.get(name) or ()]
    fixed: list[Any] = [media_key(record), [call for call in calls if call]]
    if same_label:
        fixed += [record.get(name) for name in ("label", "answer", "desirable", "annotations")]
        fixed += [[answer.get("rating") for answer in record.get("responses") or ()]]
    return json.dumps(fixed, ensure_ascii=False, sort_keys=True)


def similarity(one: str, other: str, ngram: int) -> float:
    """Jaccard similarity of the n-grams of two texts."""
    tokens = grams.tokenise([one, other])
    values, offsets, _first = grams.ngrams(tokens.hashes, tokens.offsets, ngram)
    first, second = (set(values[offsets[i] : offsets[i + 1]].tolist()) for i in (0, 1))
    return len(first & second) / len(first | second) if first | second else 1.0


def _texts(read: Read, wanted: Any, tick: Callable[[], None]) -> Iterator[list[str]]:
    chosen = (words(record, system=False) for record, take in zip(read(), wanted, strict=True) if take)
    for texts in batched(chosen, size=len):
        tick()
        yield texts


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
