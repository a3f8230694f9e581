"""Structured answers are valid JSON of the schema even from a model that knows nothing."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from workers.data.templates import load_template
from workers.engine import gguf_export
from workers.engine.checkpoint import Checkpoint
from workers.engine.engines.base import Grammar, Sampling
from workers.engine.engines.openvino import OpenVINOStepper
from workers.engine.engines.stepped import run_in_thread
from workers.engine.json_grammar import Untranslatable, grammar_of

FLAGS = {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3}
SCHEMAS: list[dict[str, Any]] = [
    {"properties": {"kind": {"enum": ["x", '引"号', 5, None]}, "flags": FLAGS}, "required": ["kind", "flags"]},
    {"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"type": "null"}, "c": {"const": [1]}}, "required": ["b"]},
    {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}}, "required": ["name"]},
    {"$ref": "#/$defs/all", "$defs": {"all": {"type": "array", "items": {"$ref": "#/$defs/one"}}, "one": {"enum": [1]}}},
    {"anyOf": [{"type": "object", "properties": {}, "additionalProperties": False}, {"type": ["boolean", "null"]}]},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS)
def test_random_model_writes_valid_json(tmp_path: Path, tiny_llama: Path, schema: dict[str, Any]) -> None:
    checkpoint, template = Checkpoint(tiny_llama), load_template(tiny_llama)
    stepper = OpenVINOStepper(
        gguf_export.export(checkpoint, "f16", tmp_path), checkpoint,
        weights="f16", context_length=256, max_concurrent=4, kv_cache_mb=16, threads=1,
    )  # fmt: skip
    engine = run_in_thread(stepper, 4)

    async def answer(seed: int) -> str:
        sampling = Sampling(
            200, seed=seed, grammar=Grammar(json_schema=schema), stop_token_ids=frozenset(template.stop_token_ids)
        )
        return template.decode([token async for event in engine.generate([5, 6], sampling) for token in event.token_ids])

    async def answers() -> list[str]:
        texts = await asyncio.gather(*(answer(seed) for seed in range(4)))
        await engine.close()
        return texts

    for text in asyncio.run(answers()):
        value = json.loads(text)
        if "properties" in schema:
            assert set(schema["required"]) <= set(value) <= set(schema["properties"])
        if "flags" in value if isinstance(value, dict) else False:
            assert 2 <= len(value["flags"]) <= 3


@pytest.mark.parametrize(
    "schema",
    [{"type": 5}, {"type": "string", "pattern": "a+"}, {"type": "integer", "minimum": 3}, {"allOf": [{}]}, {"$ref": "#/nope"}],
)
def test_unknown_keywords_are_left_to_the_engine_s_compiler(schema: dict[str, Any]) -> None:
    with pytest.raises(Untranslatable):
        grammar_of(schema)


def test_recursive_schema_ends() -> None:
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]}
    assert grammar_of(node).count("named-0 ::=") == 1
