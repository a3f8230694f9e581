"""De-duplication and decontamination: equal, nearly equal (words and Chinese characters), like vectors, evaluation examples."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.data.processing.running import only, process, texts
from workers.data.processing import grams
from workers.data.processing.clusters import Groups, bands_for
from workers.data.processing.deduplication import similarity
from workers.data.processing.minhash import NearDuplicates

WORDS = [f"word{index}" for index in range(3000)]
HAN = [chr(code) for code in range(0x4E00, 0x5600)]


def sentence(chance: random.Random, vocabulary: list[str], length: int = 60) -> list[str]:
    return chance.choices(vocabulary, k=length)


@pytest.mark.parametrize(("vocabulary", "glue"), [(WORDS, " "), (HAN, "")])
def test_near_duplicates_are_found_in_english_and_chinese(tmp_path: Path, vocabulary: list[str], glue: str) -> None:
    """One word, or one character, of sixty changed: a near duplicate in both scripts; other texts stay."""
    chance = random.Random(5)
    originals = [sentence(chance, vocabulary) for _ in range(300)]
    copies = [[*words[:30], vocabulary[0], *words[31:]] for words in originals[:60]]
    said = [glue.join(words) for words in [*originals, *copies]]
    kept, reports = process(tmp_path, texts(*said), only(deduplication={"threshold": 0.75}))
    assert [record["text"] for record in kept] == said[:300]
    assert reports["deduplication"]["reasons"] == {"near": 60}
    assert reports["deduplication"]["cluster_sizes"] == {"2": 60}
    shown = reports["deduplication"]["clusters"][0]["members"][0]
    assert shown["similarity"] >= 0.75


def test_exact_duplicates_ignore_spaces_only(tmp_path: Path) -> None:
    said = ["Turn left here", "Turn  left\nhere ", "turn left there", "Turn left here."]
    kept, reports = process(tmp_path, texts(*said), only(deduplication={"near": False}))
    assert [record["id"] for record in kept] == ["r0", "r2", "r3"]
    assert reports["deduplication"]["reasons"] == {"exact": 1}


@pytest.mark.parametrize(("keep", "stays"), [("first", "a"), ("longest", "c"), ("best", "b")])
def test_the_one_that_stays_can_be_chosen(tmp_path: Path, keep: str, stays: str) -> None:
    body = " ".join(WORDS[:80])
    records = [
        {"id": "a", "text": body, "facets": {"quality": 0.5}},
        {"id": "b", "text": body + " end", "facets": {"quality": 0.9}},
        {"id": "c", "text": body + " ending", "facets": {"quality": 0.1}},
    ]
    kept, _reports = process(tmp_path, records, only(deduplication={"keep": keep}))
    assert [record["id"] for record in kept] == [stays]


def test_labels_media_and_tool_calls_keep_records_apart(tmp_path: Path) -> None:
    def turn(call: str) -> list[dict[str, Any]]:
        return [{"role": "assistant", "content": "", "tool_calls": [{"id": "1", "function": {"name": call}}]}]

    records = [
        {"id": "a", "text": "Where is my card?", "label": "card"},
        {"id": "b", "text": "Where is my card?", "label": "delivery"},
        {"id": "c", "text": "A cat", "media": [{"kind": "image", "sha256": "1" * 64}]},
        {"id": "d", "text": "A cat", "media": [{"kind": "image", "sha256": "2" * 64}]},
        {"id": "e", "messages": turn("open")},
        {"id": "f", "messages": turn("close")},
        {"id": "g", "text": "A cat", "media": [{"kind": "image", "sha256": "2" * 64}]},
    ]
    kept, _reports = process(tmp_path, records, only(deduplication={"ngram": 1, "threshold": 0.5, "embedding": True}))
    assert [record["id"] for record in kept] == ["a", "b", "c", "d", "e", "f"]
    kept, _reports = process(tmp_path, records, only(deduplication={"same_label": False}))
    assert [record["id"] for record in kept] == ["a", "c", "d", "e", "f"]


def test_system_prompts_do_not_make_conversations_alike(tmp_path: Path) -> None:
    system = {"role": "system", "content": " ".join(WORDS[:400])}
    asked = ["How do I open an account for my child?", "Which documents does a mortgage need?"]
    records = [{"id": str(index), "messages": [system, {"role": "user", "content": text}]} for index, text in enumerate(asked)]
    kept, _reports = process(tmp_path, records, only(deduplication={"ngram": 2, "threshold": 0.5, "embedding": True}))
    assert len(kept) == 2


def test_vectors_find_the_same_words_in_another_order(tmp_path: Path) -> None:
    chance = random.Random(2)
    others = [" ".join(sentence(chance, WORDS, 40)) for _ in range(50)]
    words = sentence(chance, WORDS, 40)
    swapped = " ".join([*words[20:], *words[:20]])
    said = [*others, " ".join(words), swapped]
    stages = only(deduplication={"embedding": True, "cosine": 0.9, "threshold": 0.95})
    kept, reports = process(tmp_path, texts(*said), stages)
    assert reports["deduplication"]["reasons"] == {"embedding": 1}
    assert [record["text"] for record in kept] == said[:-1]


def test_empty_and_tiny_inputs_pass(tmp_path: Path) -> None:
    for said in ([], [""], ["", "!!!"], ["a"]):
        stages = only(deduplication={"embedding": True}, decontamination={"against": [1]})
        kept, _reports = process(tmp_path, texts(*said), stages, {"empty": []})
        assert len(kept) == len(said)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=8), st.integers(1, 6))
def test_ngrams_of_many_texts_are_those_of_each(said: list[str], n: int) -> None:
    """Vectorised over all texts or one by one: the same numbers, and never a run across two texts."""
    said = [text.encode("utf-8", "ignore").decode() for text in said]
    tokens = grams.tokenise(said)
    values, offsets, _first = grams.ngrams(tokens.hashes, tokens.offsets, n)
    for index, text in enumerate(said):
        alone = grams.tokenise([text])
        expected, _offsets, _first = grams.ngrams(alone.hashes, alone.offsets, n)
        assert values[offsets[index] : offsets[index + 1]].tolist() == expected.tolist()


def test_tokens_are_words_or_characters() -> None:
    def count(text: str) -> int:
        return len(grams.tokenise([text]).hashes)

    assert count("Hello, wide world!") == 3
    assert count("你好，世界。") == 4
    assert count("用GPU训练3天") == 6
    assert count("สวัสดี") == 6
    assert count("한국어 문장") == 2
    same = [grams.tokenise([text]).hashes.tolist() for text in ("ABC 中文", "ａｂｃ 中文", "abc中文")]
    assert same[0] == same[1] == same[2]


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 60), min_size=1, max_size=40), st.sets(st.integers(0, 60), min_size=1, max_size=40))
def test_similarity_is_that_of_the_sets(one: set[int], other: set[int]) -> None:
    said = [" ".join(f"w{number}" for number in sorted(numbers)) for numbers in (one, other)]
    assert similarity(*said, 1) == pytest.approx(len(one & other) / len(one | other))


def test_signatures_do_not_hang_on_threads_or_batches() -> None:
    chance = random.Random(1)
    said = [" ".join(sentence(chance, WORDS, chance.randrange(0, 120))) for _ in range(400)]
    found = []
    for threads, step in ((1, 400), (3, 70)):
        near = NearDuplicates(3, 64, threads)
        for start in range(0, len(said), step):
            near.add(said[start : start + step])
        found.append(np.concatenate(near._signatures))
    assert np.array_equal(found[0], found[1])


def test_bands_find_pairs_at_the_threshold() -> None:
    for threshold in (0.5, 0.7, 0.8, 0.9):
        bands, rows = bands_for(threshold, 128)
        assert bands * rows <= 128
        assert 1 - (1 - threshold**rows) ** bands >= 0.99


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40))
def test_groups_are_the_connected_components(pairs: list[tuple[int, int]]) -> None:
    groups = Groups(20)
    groups.join(np.array([pair[0] for pair in pairs], dtype=np.int64), np.array([pair[1] for pair in pairs], dtype=np.int64))
    component = list(range(20))
    for _ in range(20):
        for one, other in pairs:
            component[one] = component[other] = min(component[one], component[other])
    assert groups.roots().tolist() == component


QUESTION = (
    "A train leaves the station at nine in the morning and travels for three hours at sixty miles an hour; how far does it go?"
)
CHINESE = "小明有十二个苹果，他把其中的三分之一送给了同学，又买了五个，请问他现在一共有多少个苹果？"


def test_evaluation_examples_are_found_inside_longer_texts(tmp_path: Path) -> None:
    """S9.10: English and Chinese, whatever case and punctuation; the overlap is shown. System prompts do not count."""
    exam = [
        {"id": "q1", "messages": [{"role": "system", "content": " ".join(WORDS[:20])}, {"role": "user", "content": QUESTION}]},
        {"id": "q2", "text": CHINESE},
    ]
    said = [
        f"Exercise 7. {QUESTION.upper()} Show your work.",
        f"练习：{CHINESE.replace('，', ' ')}答：十三个。",
        "A train leaves the station every hour in the morning, says the time table at the entrance of the hall.",
        " ".join(WORDS[:20]),
    ]
    kept, reports = process(tmp_path, texts(*said), only(decontamination={"against": [1]}), {"exam v1": exam})
    assert [record["id"] for record in kept] == ["r2", "r3"]
    details = {sample["id"]: sample["detail"] for sample in reports["decontamination"]["dropped_samples"]}
    assert (details["r0"]["evaluation"], details["r0"]["example"], details["r1"]["example"]) == ("exam v1", "q1", "q2")
    assert details["r0"]["shared"] == "a train leaves the station at nine in the morning and travels for"


def test_short_examples_count_only_as_a_whole_and_phrases_never(tmp_path: Path) -> None:
    phrase = "Choose the right answer from the four options below and give its letter only please"
    exam = [{"id": f"q{index}", "text": f"{phrase} {index}"} for index in range(12)]
    exam += [{"id": "short", "text": "Who wrote the Red Chamber?"}, {"id": "tiny", "text": "Yes"}]
    said = [f"{phrase} of them", "Who wrote the red chamber", "I asked: Who wrote the Red Chamber? He knew.", "Yes."]
    kept, _reports = process(tmp_path, texts(*said), only(decontamination={"against": [1]}), {"exam": exam})
    assert [record["id"] for record in kept] == ["r0", "r2", "r3"]
