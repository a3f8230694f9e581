"""Hugging Face transformers: serves whatever it can load, several requests in one batch, step by step.

A prompt is computed alone, then its row joins the batch; rows leave as they finish. Rows of different length are
padded on the left. Models whose cache is more than keys and values (sliding, recurrent) run one row to a batch.
"""

import inspect
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.utils import logging as transformers_logging

from workers.engine.checkpoint import Adapter, Checkpoint, head_size
from workers.engine.engines.base import EngineError, Scores, TokenEvent
from workers.engine.engines.stepper import Load, Outcome, Request, Stepper, first_line
from workers.engine.engines.torch_sampling import draw, rank
from workers.spec.errors import UserError

CHUNK = 256
"""Prompt tokens per forward pass; bounds the largest array of logits when a prompt is scored."""
LARGE_MODEL = 100_000_000


@dataclass(eq=False)
class Row:
    """One sequence in a batch; `last` is drawn but not yet computed."""

    request: Request
    generator: torch.Generator
    last: int = -1
    generated: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Batch:
    """Rows that are computed together. `mask` (rows, length): which cached positions are real."""

    rows: list[Row]
    cache: Any
    mask: torch.Tensor

    @property
    def mergeable(self) -> bool:
        return type(self.cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in self.cache.layers)

    def take_in(self, other: "Batch") -> None:
        length = max(self.mask.shape[1], other.mask.shape[1])
        for mine, others in zip(self.cache.layers, other.cache.layers, strict=True):
            mine.keys = torch.cat([_pad(mine.keys, length), _pad(others.keys, length)])
            mine.values = torch.cat([_pad(mine.values, length), _pad(others.values, length)])
        masks = [torch.nn.functional.pad(mask, (length - mask.shape[1], 0)) for mask in (self.mask, other.mask)]
        self.mask = torch.cat(masks)
        self.rows += other.rows

    def keep(self, kept: list[int]) -> None:
        """Drop the other rows, and the padding that only they needed."""
        if len(kept) == len(self.rows):
            return
        self.rows = [self.rows[index] for index in kept]
        if not kept or not self.mergeable:
            return
        chosen = torch.tensor(kept)
        self.mask = self.mask[chosen]
        padding = int(self.mask.argmax(dim=1).min())
        self.mask = self.mask[:, padding:]
        for layer in self.cache.layers:
            layer.keys = layer.keys[chosen, :, padding:]
            layer.values = layer.values[chosen, :, padding:]


def _pad(states: torch.Tensor, length: int) -> torch.Tensor:
    """Zeros before the first position of (rows, heads, positions, head size)."""
    return torch.nn.functional.pad(states, (0, 0, length - states.shape[2], 0))


class TransformersStepper(Stepper):
    name = "transformers"
    streams_alternatives = True

    def __init__(
        self, checkpoint: Checkpoint, *, context_length: int, max_concurrent: int, kv_cache_mb: int, threads: int
    ) -> None:
        self._max_concurrent = max_concurrent
        torch.set_num_threads(threads)
        self.context_length = context_length
        dtype = torch.bfloat16 if checkpoint.parameters >= LARGE_MODEL else torch.float32
        self.weights = str(dtype).removeprefix("torch.").replace("bfloat", "bf").replace("float", "f")
        self._model = load_model(checkpoint, dtype)
        self.vocabulary_size = int(self._model.get_input_embeddings().weight.shape[0])
        self._keeps_logits = "logits_to_keep" in inspect.signature(self._model.forward).parameters
        self._bytes_per_token = _bytes_per_token(checkpoint.config, dtype.itemsize)
        self._cache_bytes = kv_cache_mb * 2**20
        self._waiting: deque[Request] = deque()
        self._batches: list[Batch] = []

    def load(self) -> Load:
        used = sum(batch.mask.numel() for batch in self._batches) * self._bytes_per_token
        return Load(round(min(used / self._cache_bytes, 1.0), 4), used)

    def has_work(self) -> bool:
        return bool(self._waiting or self._batches)

    def admit(self, request: Request) -> None:
        self._waiting.append(request)

    def drop(self, request: Request) -> None:
        if request in self._waiting:
            self._waiting.remove(request)
        for batch in self._batches:
            batch.keep([index for index, row in enumerate(batch.rows) if row.request is not request])
        self._forget_empty()

    def _forget_empty(self) -> None:
        self._batches = [batch for batch in self._batches if batch.rows]

    @torch.inference_mode()
    def step(self) -> list[tuple[Request, Outcome]]:
        results: list[tuple[Request, Outcome]] = []
        for batch in self._batches:
            results += self._advance(batch, self._forward(batch))
        # One prompt at a time: the rows that are answering wait for it no longer than they must.
        if self._waiting and self._has_room(self._waiting[0]):
            results += self._begin(self._waiting.popleft())
        self._forget_empty()
        return results

    def _has_room(self, request: Request) -> bool:
        rows = sum(len(batch.rows) for batch in self._batches)
        if rows == 0:
            return True
        positions = sum(batch.mask.numel() for batch in self._batches) + len(request.prompt)
        return rows < self._max_concurrent and positions * self._bytes_per_token < self._cache_bytes

    def _begin(self, request: Request) -> list[tuple[Request, Outcome]]:
        generator = torch.Generator()
        if request.sampling.seed is None:
            generator.seed()
        else:
            generator.manual_seed(request.sampling.seed % 2**63)
        try:
            logits, cache = self._prefill(request.prompt)
        except RuntimeError as error:
            return [(request, EngineError(f"The prompt could not be computed: {first_line(error)}"))]
        batch = Batch([Row(request, generator)], cache, torch.ones(1, len(request.prompt), dtype=torch.long))
        results = self._advance(batch, logits)
        host = next((one for one in self._batches if one.mergeable), None) if batch.mergeable else None
        if batch.rows and host is not None:
            host.take_in(batch)
        elif batch.rows:
            self._batches.append(batch)
        return results

    def _prefill(self, tokens: list[int]) -> tuple[torch.Tensor, Any]:
        """Logits after the last token (1, vocabulary), and the cache; None for a model that keeps none."""
        cache: Any = None
        options = {"logits_to_keep": 1} if self._keeps_logits else {}
        for start in range(0, len(tokens), CHUNK):
            chunk = torch.tensor([tokens[start : start + CHUNK]])
            output = self._model(input_ids=chunk, past_key_values=cache, use_cache=True, **options)
            cache = getattr(output, "past_key_values", None)
            if cache is None:
                return self._model(input_ids=torch.tensor([tokens])).logits[:, -1], None
        return output.logits[:, -1], _plain(cache)

    def _forward(self, batch: Batch) -> torch.Tensor:
        """Compute the last drawn token of each row; logits (rows, vocabulary)."""
        if batch.cache is None:
            (row,) = batch.rows
            return self._model(input_ids=torch.tensor([[*row.request.prompt, *row.generated]])).logits[:, -1]
        positions = batch.mask.sum(dim=1, keepdim=True)
        batch.mask = torch.nn.functional.pad(batch.mask, (0, 1), value=1)
        output = self._model(
            input_ids=torch.tensor([[row.last] for row in batch.rows]),
            attention_mask=batch.mask,
            position_ids=positions,
            past_key_values=batch.cache,
            use_cache=True,
        )
        return output.logits[:, -1]

    def _advance(self, batch: Batch, logits: torch.Tensor) -> list[tuple[Request, Outcome]]:
        """Draw a token for each row; rows that end leave the batch."""
        results: list[tuple[Request, Outcome]] = []
        kept = []
        logits = logits.float()
        for index, row in enumerate(batch.rows):
            event = self._draw(row, logits[index])
            results.append((row.request, event))
            if event.finish_reason is None:
                kept.append(index)
        batch.keep(kept)
        return results

    def _draw(self, row: Row, logits: torch.Tensor) -> TokenEvent:
        sampling = row.request.sampling
        event = TokenEvent(counted=1)
        logprobs = logits.log_softmax(-1) if sampling.logprobs else None
        token = row.last = draw(logits, sampling, row.request.prompt, row.generated, row.generator)
        if token in sampling.stop_token_ids:
            event.finish_reason = "stop"
            return event
        row.generated.append(token)
        event.token_ids.append(token)
        if logprobs is not None:
            event.logprobs.append(float(logprobs[token]))
            if sampling.top_logprobs:
                event.alternatives.append(rank(logprobs, sampling.top_logprobs))
        if len(row.generated) >= sampling.max_tokens:
            event.finish_reason = "length"
        return event

    @torch.inference_mode()
    def score(self, tokens: list[int], top: int) -> Scores:
        scores = Scores([0.0], [[]] if top else [])
        cache: Any = None
        for start in range(0, len(tokens) - 1, CHUNK):
            chunk = tokens[start : min(start + CHUNK, len(tokens) - 1)]
            output = self._model(input_ids=torch.tensor([chunk]), past_key_values=cache, use_cache=True)
            cache = getattr(output, "past_key_values", None)
            logits = output.logits[0]
            if cache is None and start:
                logits = self._model(input_ids=torch.tensor([tokens[: start + len(chunk)]])).logits[0, start:]
            logprobs = logits.float().log_softmax(-1)
            following = torch.tensor(tokens[start + 1 : start + 1 + len(chunk)])
            scores.logprobs += logprobs.gather(1, following[:, None])[:, 0].tolist()
            scores.alternatives += [rank(row, top) for row in logprobs] if top else []
        return scores


def load_model(checkpoint: Checkpoint, dtype: torch.dtype) -> Any:
    transformers_logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            checkpoint.folder, dtype=dtype, trust_remote_code=False, use_safetensors=True, local_files_only=True
        )
        if checkpoint.adapter is not None:
            model = merge_adapter(model, checkpoint.adapter)
    except (ValueError, OSError, KeyError, RuntimeError, ImportError) as error:
        raise UserError(
            "engine.cannot_load",
            "The model {folder} ({architecture}) cannot be loaded ({detail}); import it again or choose another one.",
            folder=checkpoint.folder.name,
            architecture=checkpoint.architecture,
            detail=first_line(error),
        ) from error
    return model.eval()


@torch.no_grad()
def merge_adapter(model: Any, adapter: Adapter) -> Any:
    """The model with the adapter in its weights: plain sums here, every other kind through PEFT."""
    parameters = dict(model.named_parameters())
    if adapter.mergeable and adapter.targets <= parameters.keys():
        for name in adapter.targets:
            merged = adapter.merge(name, parameters[name].float().numpy())
            parameters[name].copy_(torch.from_numpy(merged))
        return model
    from peft import PeftModel

    return PeftModel.from_pretrained(model, adapter.folder).merge_and_unload()


def _plain(cache: Any) -> Any:
    """The cache as it is, but one whose layers all only grow as a plain DynamicCache, which batches can share."""
    if isinstance(cache, DynamicCache) and all(type(layer) is DynamicLayer for layer in cache.layers):
        plain = DynamicCache()
        plain.layers = cache.layers
        return plain
    return cache


def _bytes_per_token(config: dict[str, Any], itemsize: int) -> int:
    """Keys and values of one token; a guess for architectures that spell their config otherwise."""
    layers = config.get("num_hidden_layers") or config.get("n_layer") or config.get("num_layers") or 1
    heads = config.get("num_key_value_heads") or config.get("num_attention_heads") or config.get("n_head") or 1
    if "hidden_size" in config and "num_attention_heads" in config:
        return int(2 * layers * heads * head_size(config) * itemsize)
    return int(2 * layers * (config.get("n_embd") or config.get("hidden_size") or 1024) * itemsize)
