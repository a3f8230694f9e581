"""What a dataset version consists of, counted while it is written: the content of stats.json."""

from collections import Counter
from typing import Any

MAX_LABELS = 2000
_BINS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


def approximate_tokens(text: str) -> int:
    """About as many tokens as a common tokenizer makes: four ASCII characters, or 1.5 others, a token. No tokenizer is loaded."""
    plain = len(text.encode("ascii", "ignore"))
    return (plain + 3) // 4 + round((len(text) - plain) / 1.5)


class Statistics:
    """Counts over canonical record dictionaries."""

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        self.tokens = 0
        self.fields: Counter[str] = Counter()
        self.modalities: Counter[str] = Counter()
        self.bytes_by_modality: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.other_labels = 0
        self.roles: Counter[str] = Counter()
        self.lengths: Counter[int] = Counter()
        self.features: Counter[str] = Counter()

    def add(self, record: dict[str, Any], size: int) -> None:
        self.count += 1
        self.bytes += size
        self.fields.update(record.keys())
        modality = record.get("modality", "text")
        self.modalities[modality] += 1
        self.bytes_by_modality[modality] += size
        facets = record.get("facets", {})
        self.languages[facets.get("language") or "unknown"] += 1
        self.features.update(f"facet_{name}" for name in facets)
        self._add_label(record.get("label"))
        length = approximate_tokens(record["text"]) if "text" in record else 0
        if "messages" in record:
            length += self._add_messages(record)
            self.features["labelled_conversation"] += "label" in record
        elif "text" in record and ("label" in record or "answer" in record):
            self.features["answered_text"] += 1
        self.tokens += length
        self.lengths[next((bound for bound in _BINS if length <= bound), 2 * _BINS[-1])] += 1

    def _add_label(self, label: str | None) -> None:
        if label is None:
            return
        if label in self.labels or len(self.labels) < MAX_LABELS:
            self.labels[label] += 1
        else:
            self.other_labels += 1

    def _add_messages(self, record: dict[str, Any]) -> int:
        """Count the turns and what in them an export may lose; returns their approximate tokens."""
        messages = record["messages"]
        roles = [message["role"] for message in messages]
        self.roles.update(roles)
        self.features["turns"] += len(messages)
        turns = [role for role in roles if role != "system"]
        if len(turns) > 2:
            self.features["several_questions"] += 1
        expected = ["user", "assistant"] * (len(turns) // 2) + (["user"] if "chosen" in record else [])
        if any(message.get("tool_calls") or message["role"] == "tool" for message in messages):
            self.features["tool_turns"] += 1
        elif turns != expected or roles[1:].count("system"):
            self.features["irregular_turns"] += 1
        if any("train" in message for message in messages):
            self.features["train_flags"] += 1
        if any("name" in message or "tool_call_id" in message for message in messages):
            self.features["turn_names"] += 1
        return sum(approximate_tokens(message["content"]) for message in messages)

    def report(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "bytes": self.bytes,
            "approximate_tokens": self.tokens,
            "fields": dict(self.fields),
            "modalities": dict(self.modalities),
            "bytes_by_modality": dict(self.bytes_by_modality),
            "languages": dict(self.languages.most_common()),
            "labels": dict(self.labels.most_common()),
            "other_labels": self.other_labels,
            "roles": dict(self.roles),
            "features": dict(self.features),
            "length_histogram": [{"up_to": bound, "count": self.lengths[bound]} for bound in sorted(self.lengths)],
        }
