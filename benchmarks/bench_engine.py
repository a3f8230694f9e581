"""The serving engine over HTTP beside the same engine in process, and beside the transformers engine.

    python benchmarks/bench_engine.py [--model FOLDER] [--streams 1 8 16] [--rounds 3]

Without a model it makes a random Llama of 15 million parameters. Prints JSON lines: tokens per second of all streams
together and time to the first token (medians over rounds), then ratios of rows measured in the same run. The order of
the rows turns with every round, so that a slow minute of the machine hurts them all.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

TOKEN = "benchmark"
PROMPT, ANSWER = 64, 128
Measure = Callable[[int], Awaitable[tuple[float, float]]]


def make_model(folder: Path) -> Path:
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from tests.workers.engine.tiny import TEMPLATE

    # Every token is a word, so that every token becomes a frame.
    words = {"<|endoftext|>": 0, "w1": 1, "<|im_end|>": 2} | {f"w{index}": index for index in range(3, 8000)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="w1"))
    tokenizer.pre_tokenizer = Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8000,
        hidden_size=320,
        intermediate_size=864,
        num_hidden_layers=10,
        num_attention_heads=5,
        num_key_value_heads=5,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).to(torch.float16).save_pretrained(folder)
    return folder


def prompt_of(stream: int, salt: int, size: int) -> list[int]:
    """Unlike from its first token, so that no prefix is shared."""
    return [(stream * 37 + salt * 101 + index * 7) % (size - 10) + 5 for index in range(PROMPT)]


def summarise(starts: list[float], firsts: list[float], ended: float, tokens: int) -> tuple[float, float]:
    return tokens / (ended - min(starts)), statistics.mean(first - start for first, start in zip(firsts, starts, strict=True))


class OverHttp:
    """An engine process, and a client that only counts: it shares the machine with what it measures."""

    def __init__(self, name: str, model: Path, folder: Path, vocabulary: int, **spec: Any) -> None:
        self.name, self._folder, self._vocabulary, self._salt = name, folder, vocabulary, 0
        folder.mkdir(parents=True)
        run = {
            "deployment": 1,
            "served_name": "m",
            "model_path": str(model),
            "cache_dir": str(folder.parent / "cache"),
            "ready_file": str(folder / "ready.json"),
            "spec": {"model": 1, "max_concurrent": 32, **spec},
        }
        (folder / "engine.json").write_text(json.dumps(run), encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workers.engine", str(folder / "engine.json")],
            env={**os.environ, "SHUYUAN_ENGINE_TOKEN": TOKEN},
            cwd=ROOT,
        )
        while not (folder / "ready.json").exists():
            assert self._process.poll() is None, "the engine did not start"
            time.sleep(0.05)
        self.ready = json.loads((folder / "ready.json").read_text(encoding="utf-8"))

    async def measure(self, streams: int) -> tuple[float, float]:
        self._salt += 1
        rows = await asyncio.gather(*(self._one(stream) for stream in range(streams)))
        ended = time.perf_counter()
        return summarise([row[0] for row in rows], [row[1] for row in rows], ended, sum(row[2] for row in rows))

    async def _one(self, stream: int) -> tuple[float, float, int]:
        body = json.dumps(
            {
                "prompt": prompt_of(stream, self._salt, self._vocabulary),
                "max_tokens": ANSWER,
                "ignore_eos": True,
                "stream": True,
                "temperature": 0,
                "stream_options": {"include_usage": True},
            }
        ).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ready["port"])
        started = time.perf_counter()
        writer.write(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        first, content = 0.0, bytearray()
        while chunk := await reader.read(65536):
            content += chunk
            if not first and b"data: " in content:
                first = time.perf_counter()
        writer.close()
        assert b"[DONE]" in content, bytes(content[-300:])
        usage = json.loads(content.rsplit(b'"usage":', 1)[1].split(b"}\n", 1)[0])
        return started, first, usage["completion_tokens"]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


class InProcess:
    """The same OpenVINO engine with nobody between."""

    name = "openvino in process"

    def __init__(self, model: Path, cache: Path, vocabulary: int, weights: Any, threads: int) -> None:
        from workers.engine import gguf_export
        from workers.engine.checkpoint import Checkpoint
        from workers.engine.engines.openvino import OpenVINOStepper
        from workers.engine.engines.stepped import run_in_thread

        checkpoint = Checkpoint(model)
        chosen = gguf_export.choose_format(checkpoint, weights)
        self._vocabulary, self._salt = vocabulary, 1000
        stepper = OpenVINOStepper(
            gguf_export.export(checkpoint, chosen, cache),
            checkpoint,
            weights=chosen,
            context_length=1024,
            max_concurrent=32,
            kv_cache_mb=256,
            threads=threads,
        )
        self._engine = run_in_thread(stepper, 32)

    async def measure(self, streams: int) -> tuple[float, float]:
        from workers.engine.engines.base import Sampling

        self._salt += 1
        sampling = Sampling(max_tokens=ANSWER, temperature=0.0)

        async def one(stream: int) -> tuple[float, float, int]:
            started, first, count = time.perf_counter(), 0.0, 0
            async for event in self._engine.generate(prompt_of(stream, self._salt, self._vocabulary), sampling):
                first = first or time.perf_counter()
                count += event.counted
            return started, first, count

        rows = await asyncio.gather(*(one(stream) for stream in range(streams)))
        ended = time.perf_counter()
        return summarise([row[0] for row in rows], [row[1] for row in rows], ended, sum(row[2] for row in rows))


async def run(options: argparse.Namespace, folder: Path) -> None:
    model = options.model or make_model(folder / "model")
    vocabulary = json.loads((model / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    spec: dict[str, Any] = {"weights": options.weights, "threads": options.threads}
    served = [
        OverHttp("openvino over http", model, folder / "openvino", vocabulary, **spec),
        OverHttp("transformers over http", model, folder / "transformers", vocabulary, engine="transformers", **spec),
    ]
    os.setpriority(os.PRIO_PROCESS, 0, 5)  # as the engine processes
    rows: list[OverHttp | InProcess] = [InProcess(model, folder / "cache", vocabulary, **spec), *served]
    speeds: dict[tuple[str, int], list[tuple[float, float]]] = {}
    try:
        for row in rows:
            await row.measure(2)
        for round_number in range(options.rounds):
            for streams in options.streams:
                for row in rows[round_number % len(rows) :] + rows[: round_number % len(rows)]:
                    speeds.setdefault((row.name, streams), []).append(await row.measure(streams))
    finally:
        for process in served:
            process.stop()
    report(rows, options.streams, speeds)


def report(rows: list[Any], streams: list[int], speeds: dict[tuple[str, int], list[tuple[float, float]]]) -> None:
    found: dict[tuple[str, int], tuple[float, float]] = {}
    for (name, count), values in speeds.items():
        speed, first = (statistics.median(column) for column in zip(*values, strict=True))
        found[name, count] = speed, first
        print(json.dumps({"row": name, "streams": count, "tokens_per_second": round(speed, 1), "ttft_ms": round(first * 1e3, 2)}))
    inside, http, transformers = (row.name for row in rows)
    for count in streams:
        ratios = {
            "http_over_in_process": found[http, count][0] / found[inside, count][0],
            "ttft_http_minus_in_process_ms": (found[http, count][1] - found[inside, count][1]) * 1e3,
            "openvino_over_transformers": found[http, count][0] / found[transformers, count][0],
        }
        print(json.dumps({"streams": count, **{name: round(value, 3) for name, value in ratios.items()}}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path)
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--threads", type=int, default=max(1, len(os.sched_getaffinity(0)) - 1))
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--rounds", type=int, default=3)
    with tempfile.TemporaryDirectory(prefix="bench-engine-") as folder:
        asyncio.run(run(parser.parse_args(), Path(folder)))


if __name__ == "__main__":
    main()
