"""Stage `decontamination`: records that share a run of words with an example of an evaluation set are dropped.

A run is `ngram` words, or Chinese characters (13 as in Brown et al. 2020, appendix C). An example shorter than that counts
when a text of the record is the whole of it. Runs that many examples have in common are phrases, not examples.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workers.data.processing import grams
from workers.data.processing.batches import batched, read_lines
from workers.data.processing.fields import head, parts
from workers.data.processing.outcome import Outcome, RecordStage
from workers.spec.processing import DecontaminationStage

SHORTEST = 5
"""Texts of fewer tokens («Yes.», «42») say nothing about where they come from."""


class Examples:
    """The runs of all evaluation examples, sorted by hash, each with the first example that has it."""

    def __init__(self, sets: Mapping[str, Path], settings: DecontaminationStage) -> None:
        self.ngram = settings.ngram
        self.names: list[tuple[str, str, str]] = []
        hashes, owners = [], []
        for name, path in sets.items():
            for records in batched(read_lines(path), size=lambda record: sum(map(len, parts(record)))):
                found, owner = self._runs(name, records)
                hashes.append(found)
                owners.append(owner)
        values = np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)
        whose = np.concatenate(owners) if owners else np.zeros(0, np.int64)
        order = np.lexsort((whose, values))
        values, whose = values[order], whose[order]
        different = np.ones(len(values), dtype=bool)
        different[1:] = (values[1:] != values[:-1]) | (whose[1:] != whose[:-1])
        values, whose = values[different], whose[different]
        self.hashes, first, examples = np.unique(values, return_index=True, return_counts=True)
        rare = examples <= settings.common
        self.hashes, self.owners = self.hashes[rare], whose[first[rare]]

    def _runs(self, name: str, records: list[dict[str, Any]]) -> tuple[grams.Hashes, grams.Offsets]:
        texts, whose = [], []
        for record in records:
            self.names.append((name, str(record["id"]), head("\n".join(parts(record)), 400)))
            for text in parts(record, system=False):
                texts.append(text)
                whose.append(len(self.names) - 1)
        values, offsets, _first, enough = runs(texts, self.ngram)
        owner = np.repeat(np.array(whose, dtype=np.int64), np.diff(offsets))
        return values[enough], owner[enough]

    def find(self, values: grams.Hashes) -> grams.Offsets:
        """The example that has each run; −1 where none has."""
        if not len(self.hashes):
            return np.full(len(values), -1, dtype=np.int64)
        places = np.minimum(np.searchsorted(self.hashes, values), len(self.hashes) - 1)
        return np.where(self.hashes[places] == values, self.owners[places], -1)


def runs(texts: list[str], ngram: int) -> tuple[grams.Hashes, grams.Offsets, Callable[[int], str], Any]:
    """Hashes of runs, the texts' offsets into them, the words of a run by its index, and which runs are long enough."""
    tokens = grams.tokenise(texts)
    values, offsets, first = grams.ngrams(tokens.hashes, tokens.offsets, ngram)
    counts = np.repeat(np.diff(tokens.offsets), np.diff(offsets))
    return values, offsets, lambda index: tokens.excerpt(int(first[index]), int(min(counts[index], ngram))), counts >= SHORTEST


class Decontamination(RecordStage):
    def __init__(self, settings: DecontaminationStage, sets: Mapping[str, Path]) -> None:
        self.settings, self.sets = settings, sets
        self.found: dict[int, dict[str, Any]] = {}
        self.place = 0

    def prepare(self, read: Callable[[], Iterator[dict[str, Any]]], tick: Callable[[], None]) -> None:
        """Look at all records, many at a time."""
        examples = Examples(self.sets, self.settings)
        done = 0
        for records in batched(read(), size=lambda record: sum(map(len, parts(record)))):
            tick()
            texts, whose = [], []
            for index, record in enumerate(records, start=done):
                for text in parts(record, system=False):
                    texts.append(text)
                    whose.append(index)
            self._look(examples, texts, whose)
            done += len(records)

    def _look(self, examples: Examples, texts: list[str], whose: list[int]) -> None:
        values, offsets, excerpt, enough = runs(texts, self.settings.ngram)
        owner = np.repeat(np.array(whose, dtype=np.int64), np.diff(offsets))
        hits = examples.find(values)
        hits[~enough] = -1
        for run in np.flatnonzero(hits >= 0):
            index = int(owner[run])
            known = self.found.get(index)
            if known is None:
                name, key, text = examples.names[int(hits[run])]
                known = {"evaluation": name, "example": key, "example_text": text, "shared": excerpt(int(run)), "runs": 0}
                self.found[index] = known
            known["runs"] += 1

    def resume(self, entered: int, figures: dict[str, Any]) -> None:
        self.place = entered

    def process(self, record: dict[str, Any]) -> Outcome:
        found = self.found.get(self.place)
        self.place += 1
        return Outcome(record) if found is None else Outcome(None, "evaluation_example", found)
