"""Greedy answers to many prompts at once: left-padded batches, one cache, rows leave when they have ended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache

from workers.evaluate.local import LocalModel


@dataclass(frozen=True)
class Generated:
    """New tokens without the one that ended them; `ended` is false when the limit was reached."""

    token_ids: list[int]
    ended: bool


def generate(
    local: LocalModel,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    *,
    stops_text: Callable[[list[int]], bool] | None = None,
) -> list[Generated]:
    """The most likely token at each place until a stop token, the limit, or `stops_text(new tokens)`."""
    with torch.inference_mode():
        return _Batch(local, prompts, max_new_tokens, stops_text).run()


class _Batch:
    def __init__(
        self, local: LocalModel, prompts: Sequence[list[int]], limit: int, stops_text: Callable[[list[int]], bool] | None
    ) -> None:
        self.local = local
        self.limit = limit
        self.stops_text = stops_text
        self.stops = set(local.template.stop_token_ids)
        self.new: list[list[int]] = [[] for _ in prompts]
        self.ended = [False] * len(prompts)
        self.rows = list(range(len(prompts)))
        length = max(map(len, prompts))
        ids = torch.zeros(len(prompts), length, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, length - len(prompt) :] = torch.tensor(prompt)
            mask[row, length - len(prompt) :] = 1
        self.ids, self.mask = ids.to(local.device), mask.to(local.device)
        self.cache = DynamicCache()

    def run(self) -> list[Generated]:
        positions = (self.mask.cumsum(dim=1) - 1).clamp_min(0)
        for step in range(self.limit):
            output = self.local.model(
                input_ids=self.ids,
                attention_mask=self.mask,
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )
            chosen = output.logits[:, -1].float().argmax(dim=-1)
            keep = self._take(chosen.tolist())
            if not keep or step == self.limit - 1:
                break
            positions = positions[:, -1:] + 1
            if len(keep) < len(self.rows):
                chosen, positions = self._drop(keep, chosen, positions)
            self.ids = chosen[:, None]
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
        return [Generated(ids, ended) for ids, ended in zip(self.new, self.ended, strict=True)]

    def _take(self, tokens: list[int]) -> list[int]:
        """Append each row's token; returns the places of rows that go on."""
        keep = []
        for place, (row, token) in enumerate(zip(self.rows, tokens, strict=True)):
            if token in self.stops:
                self.ended[row] = True
                continue
            self.new[row].append(token)
            if self.stops_text is not None and self.stops_text(self.new[row]):
                self.ended[row] = True
                continue
            keep.append(place)
        return keep

    def _drop(self, keep: list[int], chosen: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        places = torch.tensor(keep, device=chosen.device)
        self.rows = [self.rows[place] for place in keep]
        self.cache.batch_select_indices(places)
        self.mask = self.mask[places]
        return chosen[places], positions[places]
