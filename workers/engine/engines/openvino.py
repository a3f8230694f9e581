"""OpenVINO GenAI's continuous batching over a GGUF file: paged KV cache, prefix cache, grammars. The CPU default.

Tokens go in and out as ids; the pipeline's own tokenizer serves only grammars. Everything is computed in float32:
the reader's F16 graphs crash in bfloat16 on CPUs with AMX, and decoding small models is no faster there.
"""

import json
import secrets
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai

from workers.engine.checkpoint import Checkpoint, head_size, rope_parameters
from workers.engine.engines.base import (
    EngineError,
    Grammar,
    Sampling,
    Scores,
    TokenEvent,
    UnsupportedOption,
)
from workers.engine.engines.grammar_check import GrammarCheck
from workers.engine.engines.openvino_scoring import OpenVINOScorer
from workers.engine.engines.stepper import Load, Outcome, Request, Stepper
from workers.engine.json_grammar import Untranslatable, grammar_of

BLOCK = 32
"""Tokens of one block of the paged KV cache on a CPU."""


class OpenVINOStepper(Stepper):
    name = "openvino"
    supports_grammar = True
    scores_beside_steps = True

    def __init__(
        self,
        model: Path,
        checkpoint: Checkpoint,
        *,
        weights: str,
        context_length: int,
        max_concurrent: int,
        kv_cache_mb: int,
        threads: int,
    ) -> None:
        self._max_concurrent = max_concurrent
        self.weights = weights
        self.kv_precision = "f16" if weights == "f16" else "u8"
        blocks = max(kv_cache_mb * 2**20 // (BLOCK * bytes_per_token(checkpoint.config, self.kv_precision)), 4)
        # One block stays free: the scheduler needs it while a sequence that fills the cache is finished.
        self.context_length = min(context_length, (blocks - 1) * BLOCK)
        self._blocks = blocks
        self.vocabulary_size = int(checkpoint.config["vocab_size"])
        self._handles: dict[Request, Any] = {}
        self._ledger = PrefixLedger(blocks)
        self._grammars = GrammarCheck(checkpoint)
        self._scorer = OpenVINOScorer(
            model,
            rope_base=float(rope_parameters(checkpoint.config)["rope_theta"]),
            head_size=head_size(checkpoint.config),
            threads=threads,
        )
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(
            str(model),
            self._scheduler(),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": "f32",
                "KV_CACHE_PRECISION": self.kv_precision,
                "sampler_num_threads": 1,
            },
        )
        self._try_out()

    def _scheduler(self) -> Any:
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.num_kv_blocks = self._blocks
        scheduler.enable_prefix_caching = True
        scheduler.dynamic_split_fuse = True
        scheduler.max_num_seqs = self._max_concurrent
        return scheduler

    def _try_out(self) -> None:
        """Compute one token before anybody relies on the engine: graphs may load and still not run."""
        config = generation_config(Sampling(max_tokens=1, temperature=0.0))
        handle = self._pipeline.add_request(0, openvino.Tensor(np.zeros((1, 1), np.int64)), config)
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        handle.read_all()

    def prepare(self, sampling: Sampling) -> None:
        if sampling.grammar is not None:
            self._grammars.check(sampling.grammar, generation_config(replace(sampling, max_tokens=1)))

    def score(self, tokens: list[int], top: int) -> Scores:
        return self._scorer.score(tokens, top)

    def load(self) -> Load:
        metrics = self._pipeline.get_metrics()
        return Load(round(metrics.cache_usage / 100, 4), metrics.kv_cache_size_in_bytes)

    def has_work(self) -> bool:
        return bool(self._handles)

    def admit(self, request: Request) -> None:
        config = generation_config(request.sampling)
        tokens = openvino.Tensor(np.array([request.prompt], dtype=np.int64))
        self._handles[request] = self._pipeline.add_request(request.id, tokens, config)
        self._ledger.open(request)

    def drop(self, request: Request) -> None:
        self._ledger.forget(request)
        handle = self._handles.pop(request, None)
        if handle is not None:
            handle.cancel()
            self._pipeline.step()  # frees the blocks now, not when somebody else comes

    def step(self) -> list[tuple[Request, Outcome]]:
        self._pipeline.step()
        results: list[tuple[Request, Outcome]] = []
        for request, handle in list(self._handles.items()):
            event = self._read(request, handle)
            if event is not None:
                results.append((request, event))
                if isinstance(event, EngineError) or event.finish_reason is not None:
                    del self._handles[request]
        return results

    def _read(self, request: Request, handle: Any) -> TokenEvent | EngineError | None:
        event = TokenEvent()
        finished = openvino_genai.GenerationFinishReason.NONE
        while handle.can_read():
            for output in handle.read().values():
                event.token_ids += output.generated_ids
                event.logprobs += output.generated_log_probs
                finished = output.finish_reason
        status = handle.get_status()
        if status == openvino_genai.GenerationStatus.IGNORED and finished == openvino_genai.GenerationFinishReason.NONE:
            # The cache is full and nobody can be put aside for this request.
            finished = openvino_genai.GenerationFinishReason.LENGTH
        if not event.token_ids and finished == openvino_genai.GenerationFinishReason.NONE:
            return None
        event.counted = len(event.token_ids)
        if finished == openvino_genai.GenerationFinishReason.LENGTH:
            event.finish_reason = "length"
        elif finished != openvino_genai.GenerationFinishReason.NONE:
            event.finish_reason = "stop"
        self._account(request, event)
        return event

    def _account(self, request: Request, event: TokenEvent) -> None:
        if event.finish_reason == "stop" and event.token_ids and event.token_ids[-1] in request.sampling.stop_token_ids:
            event.token_ids.pop()
            event.logprobs = event.logprobs[: len(event.token_ids)]
        if not request.sampling.logprobs:
            event.logprobs = []
        event.cached_tokens = self._ledger.take(request, event.token_ids, event.finish_reason is not None)


class PrefixLedger:
    """Which full blocks the pipeline's prefix cache holds, kept beside it because it does not tell.

    The pipeline recycles blocks least recently used first, as this does; a block that it filled only in part
    may be reused too and is not counted, so the figure is exact to one block, from below.
    """

    def __init__(self, blocks: int) -> None:
        self._capacity = blocks
        self._blocks: OrderedDict[int, None] = OrderedDict()
        self._open: dict[Request, tuple[list[int], int]] = {}

    def open(self, request: Request) -> None:
        """A request joins: what is known now is what it finds."""
        self._open[request] = (list(request.prompt), self._known(request.prompt))

    def take(self, request: Request, token_ids: list[int], finished: bool) -> int:
        """Note computed tokens of a request; returns how many tokens of its prompt were there when it came."""
        tokens, known = self._open[request]
        if len(tokens) == len(request.prompt):
            self._note(tokens)
        tokens += token_ids
        if finished:
            self._note(tokens)
            del self._open[request]
        return known

    def forget(self, request: Request) -> None:
        self._open.pop(request, None)

    def _known(self, tokens: list[int]) -> int:
        count = 0
        for key in _block_keys(tokens):
            if key not in self._blocks:
                break
            count += BLOCK
        return min(count, len(tokens) - 1)

    def _note(self, tokens: list[int]) -> None:
        for key in _block_keys(tokens):
            self._blocks[key] = None
            self._blocks.move_to_end(key)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)


def _block_keys(tokens: list[int]) -> list[int]:
    """One key per full block, each naming the block and all before it."""
    keys: list[int] = []
    previous = 0
    for start in range(0, len(tokens) - BLOCK + 1, BLOCK):
        previous = hash((previous, *tokens[start : start + BLOCK]))
        keys.append(previous)
    return keys


def bytes_per_token(config: dict[str, Any], precision: str) -> int:
    """Bytes of keys and values of one token over all layers; eight bits carry a scale and a zero point per head."""
    heads = config.get("num_key_value_heads") or config["num_attention_heads"]
    row = head_size(config) * 2 if precision == "f16" else head_size(config) + 8
    return int(2 * config["num_hidden_layers"] * heads * row)


def generation_config(sampling: Sampling) -> Any:
    if sampling.top_logprobs:
        raise UnsupportedOption("top_logprobs", "This engine gives no alternative tokens while it generates.")
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = sampling.max_tokens
    config.ignore_eos = not sampling.stop_token_ids
    if sampling.stop_token_ids:
        config.stop_token_ids = set(sampling.stop_token_ids)
        config.eos_token_id = min(sampling.stop_token_ids)
    config.logprobs = int(sampling.logprobs)
    config.repetition_penalty = sampling.repetition_penalty
    config.presence_penalty = sampling.presence_penalty
    config.frequency_penalty = sampling.frequency_penalty
    config.do_sample = not sampling.greedy
    if not sampling.greedy:
        config.temperature = sampling.temperature
        config.top_p = sampling.top_p
        config.min_p = sampling.min_p
        if sampling.top_k:
            config.top_k = sampling.top_k
        config.rng_seed = (sampling.seed if sampling.seed is not None else secrets.randbits(32)) % 2**32
    if sampling.grammar is not None:
        config.structured_output_config = structured_output(sampling.grammar)
    config.validate()
    return config


def structured_output(grammar: Grammar) -> Any:
    structured = openvino_genai.StructuredOutputConfig
    if grammar.regex is not None:
        return structured(regex=grammar.regex)
    if grammar.json_schema is not None:
        try:
            return structured(grammar=grammar_of(grammar.json_schema))
        except Untranslatable:
            return structured(json_schema=json.dumps(grammar.json_schema))
    calls = [
        structured.Concat(
            structured.ConstString(f'<tool_call>\n{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '),
            _arguments(schema),
            structured.ConstString("}\n</tool_call>"),
        )
        for name, schema in (grammar.tools or {}).items()
    ]
    form = calls[0]
    for call in calls[1:]:
        form = structured.Union(form, call)
    return structured(structural_tags_config=form)


def _arguments(schema: dict[str, Any]) -> Any:
    structured = openvino_genai.StructuredOutputConfig
    try:
        return structured.EBNF(grammar_of(schema))
    except Untranslatable:
        return structured.JSONSchema(json.dumps(schema))
