"""Log-likelihoods of answers after prompts.

What all prompts begin with is read once and kept; the answers to one question are read together as a tree beside its prompt,
each node seeing the prompt and its own beginning only; logits are made for the nodes that need them and no others.
The first question is checked against the plain way, one row per answer; where they differ the plain way is taken.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache

from workers.evaluate.local import LocalModel
from workers.evaluate.trie import AnswerTree, build_tree

TOLERANCE = 2e-3
_MIN_PREFIX = 24
_HEAD_ROWS = 512


@dataclass
class Item:
    """One question: prompt and answers as tokens; `scores` are the answers' summed log-probabilities."""

    prompt: list[int]
    answers: list[tuple[int, ...]]
    scores: list[float] = field(default_factory=list)

    @property
    def normalised(self) -> list[float]:
        return [score / max(len(answer), 1) for score, answer in zip(self.scores, self.answers, strict=True)]


class Scorer:
    """Scores batches of items. `way` says how: `tree` or `plain`."""

    def __init__(self, local: LocalModel, items: Sequence[Item], *, allow_tree: bool = True) -> None:
        self.local = local
        self.tokens_read = 0
        self._trees: dict[tuple[tuple[int, ...], ...], AnswerTree] = {}
        self.prefix = _common_prefix(items)
        self._cache: list[tuple[torch.Tensor, torch.Tensor]] | None = None
        self.way = "tree" if allow_tree and items and self._tree_agrees(items) else "plain"

    def size(self, item: Item) -> int:
        """Tokens that the model reads for an item."""
        if self.way == "plain":
            return sum(len(item.prompt) + len(answer) for answer in item.answers)
        return len(item.prompt) - len(self.prefix) + self._tree(item).size

    def score(self, batch: Sequence[Item]) -> None:
        """Fill `scores` of each item."""
        with torch.inference_mode():
            if self.way == "tree":
                self._score_trees(batch)
            else:
                for item in batch:
                    self._score_plainly(item)

    def _tree_agrees(self, items: Sequence[Item]) -> bool:
        if _has_local_attention(self.local.model.config.get_text_config(), max(len(item.prompt) for item in items)):
            return False
        item = min(items, key=lambda item: len(item.prompt))
        shown = Item(item.prompt, item.answers[:8])
        with torch.inference_mode():
            self._score_plainly(shown)
            plain = shown.scores
            try:
                self._score_trees([shown])
            except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
                print(f"Answers are scored one by one: {error}", flush=True)
                return False
        gap = max(abs(first - second) for first, second in zip(plain, shown.scores, strict=True))
        return gap < TOLERANCE

    def _tree(self, item: Item) -> AnswerTree:
        key = tuple(item.answers)
        if key not in self._trees:
            if len(self._trees) > 10_000:
                self._trees.clear()
            self._trees[key] = build_tree(item.answers)
        return self._trees[key]

    # Trees

    def _score_trees(self, batch: Sequence[Item]) -> None:
        trees = [self._tree(item) for item in batch]
        suffixes = [item.prompt[len(self.prefix) :] for item in batch]
        states = self._states(suffixes, trees)
        sources: list[tuple[int, int]] = []
        edges: list[tuple[int, int]] = []
        places: dict[tuple[int, int], int] = {}
        for row, (suffix, tree) in enumerate(zip(suffixes, trees, strict=True)):
            for node, token in tree.edges:
                place = (row, len(suffix) + node)
                if place not in places:
                    places[place] = len(sources)
                    sources.append(place)
                edges.append((places[place], token))
        values = self._edge_values(states, sources, edges)
        start = 0
        for item, tree in zip(batch, trees, strict=True):
            own = values[start : start + len(tree.edges)]
            item.scores = [float(sum(own[edge] for edge in path)) for path in tree.paths]
            start += len(tree.edges)

    def _states(self, suffixes: list[list[int]], trees: list[AnswerTree]) -> torch.Tensor:
        """Last hidden states [rows, length, hidden] of prompt suffixes, each followed by its tree."""
        prefix = len(self.prefix)
        length = max(len(suffix) + tree.size for suffix, tree in zip(suffixes, trees, strict=True))
        ids = torch.zeros(len(suffixes), length, dtype=torch.long)
        positions = torch.zeros_like(ids)
        seen = torch.zeros(len(suffixes), 1, length, prefix + length, dtype=torch.bool)
        for row, (suffix, tree) in enumerate(zip(suffixes, trees, strict=True)):
            words, end = len(suffix), len(suffix) + tree.size
            ids[row, :end] = torch.tensor([*suffix, *tree.tokens])
            positions[row, :words] = torch.arange(prefix, prefix + words)
            positions[row, words:end] = torch.tensor(tree.depths, dtype=torch.long) + prefix + words
            seen[row, 0, :end, :prefix] = True
            seen[row, 0, :words, prefix : prefix + words] = torch.ones(words, words, dtype=torch.bool).tril()
            seen[row, 0, words:end, prefix : prefix + words] = True
            seen[row, 0, words:end, prefix + words : prefix + end] = torch.from_numpy(tree.ancestors)
            padding = torch.arange(end, length)
            seen[row, 0, padding, prefix + padding] = True  # a row that sees nothing would be NaN
        self.tokens_read += sum(len(suffix) + tree.size for suffix, tree in zip(suffixes, trees, strict=True))
        model, device = self.local.model, self.local.device
        mask = torch.zeros(seen.shape, dtype=model.dtype).masked_fill_(~seen, torch.finfo(model.dtype).min)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            output = model.base_model(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                position_ids=positions.to(device),
                past_key_values=self._prefix_cache(len(suffixes)),
                use_cache=prefix > 0,
            )
        states: torch.Tensor = output.last_hidden_state
        return states

    def _prefix_cache(self, rows: int) -> DynamicCache | None:
        if not self.prefix:
            return None
        if self._cache is None:
            ids = torch.tensor([self.prefix], device=self.local.device)
            kept = self.local.model.base_model(input_ids=ids, use_cache=True, past_key_values=DynamicCache()).past_key_values
            self._cache = [(layer.keys, layer.values) for layer in kept.layers]
            self.tokens_read += len(self.prefix)
        cache = DynamicCache()
        for index, (keys, values) in enumerate(self._cache):
            cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), index)
        return cache

    def _edge_values(self, states: torch.Tensor, sources: list[tuple[int, int]], edges: list[tuple[int, int]]) -> list[float]:
        """Log-probability of each edge's token at its source."""
        values = torch.zeros(len(edges))
        wanted = torch.tensor(edges)
        order = torch.argsort(wanted[:, 0], stable=True)
        ordered = wanted[order]
        owners = ordered[:, 0].contiguous()
        place = torch.tensor(sources)
        for start in range(0, len(sources), _HEAD_ROWS):
            chunk = place[start : start + _HEAD_ROWS]
            log_probs = self.local.log_probs(states[chunk[:, 0], chunk[:, 1]]).cpu()
            low = int(torch.searchsorted(owners, start))
            high = int(torch.searchsorted(owners, start + len(chunk)))
            part = ordered[low:high]
            values[order[low:high]] = log_probs[part[:, 0] - start, part[:, 1]]
        return values.tolist()

    # One row per answer

    def _score_plainly(self, item: Item) -> None:
        item.scores = []
        rows = max(1, 4096 // (len(item.prompt) + max(map(len, item.answers))))
        for start in range(0, len(item.answers), rows):
            item.scores += self._plain_rows(item.prompt, item.answers[start : start + rows])

    def _plain_rows(self, prompt: list[int], answers: list[tuple[int, ...]]) -> list[float]:
        length = len(prompt) + max(map(len, answers))
        ids = torch.zeros(len(answers), length, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, answer in enumerate(answers):
            end = len(prompt) + len(answer)
            ids[row, :end] = torch.tensor([*prompt, *answer])
            mask[row, :end] = 1
        self.tokens_read += int(mask.sum())
        device = self.local.device
        logits = self.local.model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits
        scores = []
        for row, answer in enumerate(answers):
            places = slice(len(prompt) - 1, len(prompt) - 1 + len(answer))
            log_probs = torch.log_softmax(logits[row, places].float(), dim=-1).cpu()
            scores.append(float(log_probs[torch.arange(len(answer)), torch.tensor(answer)].sum()))
        return scores


def _common_prefix(items: Sequence[Item]) -> list[int]:
    """What all prompts begin with, if it is long enough to be worth keeping; at least one token stays with each prompt."""
    if len(items) < 2:
        return []
    first = min(item.prompt for item in items)
    last = max(item.prompt for item in items)
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    shared = min(shared, min(len(item.prompt) for item in items) - 1)
    return first[:shared] if shared >= _MIN_PREFIX else []


def _has_local_attention(config: object, longest: int) -> bool:
    """Whether some layers see only a window that the prompts exceed; a mask of our own would widen it."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or []
    limited = any("sliding" in kind or "chunked" in kind for kind in kinds) if kinds else window is not None
    return bool(limited and window and longest + 64 > window)
