"""Scores made with shared prefixes and answer trees equal those made one row per answer, in several architectures."""

import random
from pathlib import Path

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.workers.data.families import FAMILIES
from workers.data.templates import load_template
from workers.evaluate.generating import generate
from workers.evaluate.likelihood import Item, Scorer
from workers.evaluate.local import LocalModel
from workers.evaluate.trie import build_tree

VOCABULARY = 400
_SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.2, "bos_token_id": 0, "eos_token_id": 2,
}  # fmt: skip
MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_SHAPE)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**_SHAPE, head_dim=8)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, initializer_range=0.2, bos_token_id=0, eos_token_id=2)
    ),
    "mistral window": lambda: MistralForCausalLM(MistralConfig(**_SHAPE, sliding_window=40)),
    "gemma2 soft cap": lambda: Gemma2ForCausalLM(Gemma2Config(**_SHAPE, head_dim=8, sliding_window=512)),
}


@pytest.fixture
def make_local(tmp_path: Path):
    def make(name: str) -> LocalModel:
        torch.manual_seed(1)
        return LocalModel(MODELS[name](), load_template(FAMILIES["chatml"].build(tmp_path)), "cpu")

    return make


def items_of(seed: int, prefix: int) -> list[Item]:
    generator = random.Random(seed)
    shared = [generator.randrange(4, VOCABULARY) for _ in range(prefix)]

    def words(count: int) -> list[int]:
        return [generator.randrange(4, VOCABULARY) for _ in range(count)]

    answers = [(7,), (7, 8), (7, 8, 9), (7, 9, 9), (10,), *((7, *words(generator.randint(1, 5))) for _ in range(6))]
    return [Item(shared + words(generator.randint(1, 40)), answers) for _ in range(9)]


@pytest.mark.parametrize("prefix", [0, 50])
@pytest.mark.parametrize("name", MODELS)
def test_tree_scores_equal_plain_scores(name: str, prefix: int, make_local) -> None:
    """Soft-capped logits and short windows cannot be read as a tree: then the plain way is taken by itself."""
    local = make_local(name)
    quick, slow = items_of(0, prefix), items_of(0, prefix)
    scorer = Scorer(local, quick)
    scorer.score(quick)
    Scorer(local, slow, allow_tree=False).score(slow)
    for fast, plain in zip(quick, slow, strict=True):
        assert fast.scores == pytest.approx(plain.scores, abs=2e-4)
    expected = "plain" if name in ("mistral window", "gemma2 soft cap") else "tree"
    assert scorer.way == expected
    assert len(scorer.prefix) == prefix


def test_score_is_the_models_own_probability(make_local) -> None:
    local = make_local("llama")
    item = Item([5, 6, 7], [(8, 9)])
    Scorer(local, [item]).score([item])
    log_probs = torch.log_softmax(local.model(torch.tensor([[5, 6, 7, 8, 9]])).logits[0], dim=-1)
    assert item.scores[0] == pytest.approx(float(log_probs[2, 8] + log_probs[3, 9]), abs=1e-4)
    assert item.normalised[0] == pytest.approx(item.scores[0] / 2)


def test_tree_reads_shared_beginnings_once() -> None:
    tree = build_tree([(1, 2, 3), (1, 2, 4), (1,), (5, 6)])
    assert tree.tokens == [1, 2, 5]
    assert (tree.parents, tree.depths) == ([-1, 0, -1], [0, 1, 0])
    assert [[tree.edges[edge][1] for edge in path] for path in tree.paths] == [[1, 2, 3], [1, 2, 4], [1], [5, 6]]
    assert tree.ancestors.tolist() == [[True, False, False], [True, True, False], [False, False, True]]


@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral window", "gemma2 soft cap"])
def test_batched_greedy_answers_equal_the_librarys_own(name: str, make_local) -> None:
    local = make_local(name)
    prompts = [item.prompt for item in items_of(2, 3)]
    answers = generate(local, prompts, 24)
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = torch.tensor([prompt])
        whole = local.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False, pad_token_id=0,
            eos_token_id=local.template.stop_token_ids,
        )[0, len(prompt) :].tolist()  # fmt: skip
        ended = whole[-1] in local.template.stop_token_ids
        assert answer.token_ids == (whole[:-1] if ended else whole)
        assert answer.ended == ended
