"""What a stage did with a record, and the tally of a stage: counts by reason and a deterministic sample of examples."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from workers.data.processing.fields import head, words

SAMPLES_PER_REASON = 6
SAMPLES_CHANGED = 12
REASONS_SAMPLED = 24


@dataclass(slots=True)
class Outcome:
    """`record` goes on (the same object: untouched); None: dropped for `reason`, a code, with the figures in `detail`.

    A stage that changed a record names that in `reason` too; `shown` replaces the text before the change in samples.
    """

    record: dict[str, Any] | None
    reason: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    shown: str | None = None


class Stage(Protocol):
    """A stage takes records in their order. `prepare` comes first, on a fresh start and on a resumed one."""

    def prepare(self, read: Callable[[], Iterator[dict[str, Any]]], tick: Callable[[], None]) -> None:
        """Look at all records beforehand, where a decision needs that. `tick` may stop the program."""

    def resume(self, entered: int, figures: dict[str, Any]) -> None:
        """Go on after so many records, with the figures written down then."""

    def process(self, record: dict[str, Any]) -> Outcome: ...

    def figures(self) -> dict[str, Any]:
        """What the report says beside counts and samples."""

    def close(self) -> None:
        """Let go of what is open."""


class RecordStage:
    """Base of stages that judge each record by itself."""

    def prepare(self, read: Callable[[], Iterator[dict[str, Any]]], tick: Callable[[], None]) -> None:
        """Nothing to know beforehand."""

    def resume(self, entered: int, figures: dict[str, Any]) -> None:
        """Nothing was counted."""

    def figures(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass
class Tally:
    """What a stage did so far; it can be written down and taken up again."""

    entered: int = 0
    kept: int = 0
    changed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    dropped_samples: dict[str, list[Any]] = field(default_factory=dict)
    changed_samples: dict[str, list[Any]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    def count(self, before: dict[str, Any], outcome: Outcome) -> None:
        self.entered += 1
        if outcome.record is None:
            self.reasons[outcome.reason] += 1
            self._sample(self.dropped_samples, SAMPLES_PER_REASON, before, outcome)
            return
        self.kept += 1
        if outcome.reason:
            self.changed += 1
            self.changes[outcome.reason] += 1
            self._sample(self.changed_samples, SAMPLES_CHANGED, before, outcome)

    def _sample(self, samples: dict[str, list[Any]], limit: int, before: dict[str, Any], outcome: Outcome) -> None:
        """The examples with the smallest hashes: a uniform sample that does not hang on the order or on a restart."""
        if outcome.reason not in samples and len(samples) >= REASONS_SAMPLED:
            return
        kept = samples.setdefault(outcome.reason, [])
        order = hashlib.blake2b(str(before["id"]).encode(), digest_size=8).hexdigest()
        if len(kept) == limit and order >= kept[-1]["order"]:
            return
        example = {"order": order, "id": before["id"], "reason": outcome.reason, "detail": outcome.detail}
        example["before"] = head(words(before) if outcome.shown is None else outcome.shown)
        if outcome.record is not None:
            example["after"] = head(words(outcome.record))
        kept.append(example)
        kept.sort(key=lambda item: item["order"])
        del kept[limit:]

    def dump(self) -> dict[str, Any]:
        return {
            "entered": self.entered, "kept": self.kept, "changed": self.changed, "reasons": dict(self.reasons),
            "changes": dict(self.changes), "dropped_samples": self.dropped_samples, "changed_samples": self.changed_samples,
            "figures": self.figures,
        }  # fmt: skip

    @classmethod
    def load(cls, values: dict[str, Any]) -> "Tally":
        return cls(**{**values, "reasons": Counter(values["reasons"]), "changes": Counter(values["changes"])})

    def report(self) -> dict[str, Any]:
        """What the report says of the stage; order of reasons: most frequent first, then by name."""
        return {
            "entered": self.entered,
            "kept": self.kept,
            "dropped": self.entered - self.kept,
            "changed": self.changed,
            "reasons": _sorted(self.reasons),
            "changes": _sorted(self.changes),
            "dropped_samples": [_plain(item) for kind in _sorted(self.reasons) for item in self.dropped_samples.get(kind, [])],
            "changed_samples": [_plain(item) for kind in _sorted(self.changes) for item in self.changed_samples.get(kind, [])],
            **self.figures,
        }


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _plain(example: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in example.items() if name != "order"}
