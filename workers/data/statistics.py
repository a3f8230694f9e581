"""What a dataset version consists of, counted while it is written: the content of stats.json."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from workers.data.preferences import pairs_of_levels, preference_levels

MAX_LABELS = 2000
_GUANACO_MARK = re.compile(r"### (Human|Assistant|System): ?")
_MOSS_TURNS = re.compile(r"(uc?t?a?)+")
"""Turns as letters: user, call, tool, assistant; see `turn_letters`."""
_BESIDE = ("label", "desirable", "tools", "media", "annotations")
_BINS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


def approximate_tokens(text: str) -> int:
    """About as many tokens as a common tokenizer makes: four ASCII characters, or 1.5 others, a token. No tokenizer is loaded."""
    plain = len(text) if text.isascii() else len(text.encode("ascii", "ignore"))
    return (plain + 3) // 4 + round((len(text) - plain) / 1.5)


class Statistics:
    """Counts over canonical record dictionaries."""

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        self.tokens = 0
        self._shapes: Counter[tuple[str, ...]] = Counter()
        self._facets: Counter[tuple[str, ...]] = Counter()
        self.modalities: Counter[str] = Counter()
        self.bytes_by_modality: Counter[str] = Counter()
        self.media_bytes: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.other_labels = 0
        self.roles: Counter[str] = Counter()
        self.lengths: Counter[int] = Counter()
        self.features: Counter[str] = Counter()

    def add(self, record: dict[str, Any], size: int) -> None:
        self.count += 1
        self.bytes += size
        self._shapes[tuple(record)] += 1
        modality = record.get("modality", "text")
        self.modalities[modality] += 1
        self.bytes_by_modality[modality] += size
        facets = record.get("facets", {})
        self.languages[facets.get("language") or "unknown"] += 1
        self._facets[tuple(facets)] += 1
        self._add_label(record.get("label"))
        length = approximate_tokens(record["text"]) if "text" in record else 0
        if "media" in record:
            self._add_media(record)
        elif "text" in record and "choices" not in record:
            self.features["wanjuan"] += 1
        if "annotations" in record:
            self.features.update(f"annotated_{kind}" for kind in {item["type"] for item in record["annotations"]})
            self._add_spans(record)
        if "messages" in record:
            length += self._add_messages(record)
            self.features["labelled_conversation"] += "label" in record
            self._add_comparison(record)
        elif "text" in record and ("label" in record or "answer" in record):
            self.features["answered_text"] += 1
        self.tokens += length
        place = bisect_left(_BINS, length)
        self.lengths[_BINS[place] if place < len(_BINS) else 2 * _BINS[-1]] += 1

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
        elif "chosen" in record:
            self.features["unanswered_pairs"] += 1
            answers = (record["chosen"], record.get("rejected") or [])
            self.features["long_answers"] += any(len(turns) != 1 or turns[0].get("tool_calls") for turns in answers)
        self._add_peculiarities(messages)
        if any("train" in message for message in messages):
            self.features["train_flags"] += 1
        if any("name" in message or "tool_call_id" in message for message in messages):
            self.features["turn_names"] += 1
        return sum(approximate_tokens(message["content"]) for message in messages)

    def _add_peculiarities(self, messages: list[dict[str, Any]]) -> None:
        """What MOSS, Guanaco or LabelLLM cannot say about turns."""
        letters = turn_letters(messages)
        turns = letters.removeprefix("s")
        self.features["system_or_tools"] += any(letter in letters for letter in "stcx")
        self.features["not_moss"] += _MOSS_TURNS.fullmatch(turns) is None
        if "c" in letters:
            calls = (call for message in messages for call in message.get("tool_calls") or [])
            self.features["named_arguments"] += any(call["function"]["arguments"].keys() != {"input"} for call in calls)
        contents = [message["content"] for message in messages]
        self.features["turn_marks"] += any("### " in content and _GUANACO_MARK.search(content) for content in contents)
        self.features["padded_turns"] += any(content[:1].isspace() or content[-1:].isspace() for content in contents)

    def _add_comparison(self, record: Mapping[str, Any]) -> None:
        """Verdicts, preferences and rankings, and what stands beside a conversation."""
        self.features["beside_conversation"] += any(name in record for name in _BESIDE)
        messages = record["messages"]
        if "desirable" in record and len(messages) > 1 and messages[-1]["role"] == "assistant":
            self.features["verdicts"] += 1
        elif "chosen" in record and "rejected" in record:
            self.features["pairs_only"] += 1
        if record.get("chosen") and record.get("rejected"):
            self.features["inseparable_pairs"] += not messages or record["chosen"][0] == record["rejected"][0]
        elif "responses" in record:
            self.features["ranked"] += bool(pairs_of_levels(preference_levels(record) or []))

    def _add_media(self, record: Mapping[str, Any]) -> None:
        media = record["media"]
        kinds = [item["kind"] for item in media]
        pictures = all(item["kind"] == "image" and item.get("url") for item in media)
        self.features["wanjuan"] += kinds == ["video"] or ("text" in record and "choices" not in record and pictures)
        self.features.update(f"media_{kind}" for kind in kinds)
        self.features["single_media"] += len(kinds) == 1
        if kinds == ["image"]:
            self.features["pictures"] += 1
            self.features["stored_pictures"] += "sha256" in media[0]
        self._add_regions_and_segments(record, kinds)
        stored = [item for item in media if item.get("sha256")]
        self.features["stored_media"] += bool(stored)
        for item in stored:
            self.media_bytes[item["kind"]] += item.get("bytes") or 0

    def _add_spans(self, record: Mapping[str, Any]) -> None:
        spans = next((item["value"] for item in record["annotations"] if item["type"] == "spans"), None)
        if not isinstance(spans, list):
            return
        ordered = sorted(spans, key=lambda span: span["start"])
        self.features["overlapping_spans"] += any(left["end"] > right["start"] for left, right in pairwise(ordered))
        self.features["uneven_spans"] += any(
            not span["text"] or span["text"][0].isspace() or span["text"][-1].isspace() or " " in span["label"] for span in spans
        )

    def _add_regions_and_segments(self, record: Mapping[str, Any], kinds: list[str]) -> None:
        found = {item["type"]: item["value"] for item in record.get("annotations", [])}
        regions = (found.get("regions") or {}).get("regions", [])
        shapes = {"rotated" if region.get("rotation") else region["kind"] for region in regions}
        self.features.update(f"region_{shape}" for shape in shapes)
        if "audio" in kinds:
            self.features["sound"] += 1
            self.features["stored_sound"] += any(item["kind"] == "audio" and item.get("sha256") for item in record["media"])
            spoken = any(segment.get("text") for segment in found.get("segments") or [])
            self.features["spoken_segments"] += spoken and "text" not in record

    def report(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "bytes": self.bytes,
            "approximate_tokens": self.tokens,
            "fields": _spread(self._shapes),
            "modalities": dict(self.modalities),
            "bytes_by_modality": dict(self.bytes_by_modality),
            "media_bytes": dict(self.media_bytes),
            "languages": dict(self.languages.most_common()),
            "labels": dict(self.labels.most_common()),
            "other_labels": self.other_labels,
            "roles": dict(self.roles),
            "features": dict(self.features) | _spread(self._facets, "facet_"),
            "length_histogram": [{"up_to": bound, "count": self.lengths[bound]} for bound in sorted(self.lengths)],
        }


def _spread(counts: Counter[tuple[str, ...]], prefix: str = "") -> dict[str, int]:
    """How often each name stands in the counted tuples."""
    found: Counter[str] = Counter()
    for names, count in counts.items():
        for name in names:
            found[prefix + name] += count
    return dict(found)


def turn_letters(messages: list[dict[str, Any]]) -> str:
    """A letter a turn: system, user, assistant, tool, `c` for one call with named arguments, `x` for what is empty or else."""
    letters = []
    for message in messages:
        calls = message.get("tool_calls")
        if calls:
            arguments = calls[0].get("function", {}).get("arguments") if len(calls) == 1 else None
            letters.append("c" if isinstance(arguments, dict) else "x")
        else:
            letters.append(message["role"][0] if message["content"] else "x")
    return "".join(letters)
