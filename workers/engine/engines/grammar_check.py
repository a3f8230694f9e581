"""Tries a grammar out where nobody is hurt.

A grammar that does not compile throws in the middle of a pipeline's step, and the pipeline never recovers. So each
new grammar first runs one step in a toy pipeline that has the real vocabulary and almost no weights.
"""

import re
import shutil
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import openvino
import openvino_genai

from workers.engine.checkpoint import Checkpoint
from workers.engine.engines.base import Grammar, RequestRefused
from workers.engine.gguf_export import add_vocabulary

WIDTH = 32
REMEMBERED = 1024
PLACE = re.compile(r"^.*\.cc:\d+: (Check failed: .* is false: )?")
"""Where in the compiler's source an error was raised, which tells a user nothing."""


class GrammarCheck:
    """Remembers the grammars that compile; calls from several threads take turns."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._pipeline: Any = None
        self._good: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, grammar: Grammar, config: Any) -> None:
        """Raises RequestRefused with the compiler's words. `config` generates one token under the grammar."""
        key = repr(grammar)
        with self._lock:
            if key not in self._good:
                self._try(config)
            self._good[key] = None
            self._good.move_to_end(key)
            while len(self._good) > REMEMBERED:
                self._good.popitem(last=False)

    def _try(self, config: Any) -> None:
        self._pipeline = self._pipeline or toy_pipeline(self._checkpoint)
        try:
            handle = self._pipeline.add_request(0, openvino.Tensor(np.zeros((1, 1), np.int64)), config)
            while self._pipeline.has_non_finished_requests():
                self._pipeline.step()
            handle.read_all()
        except RuntimeError as error:
            self._pipeline = None
            reason = PLACE.sub("", str(error).strip().splitlines()[-1])[:300]
            raise RequestRefused(f"The schema or grammar cannot be used: {reason}") from error


def toy_pipeline(checkpoint: Checkpoint) -> Any:
    folder = Path(tempfile.mkdtemp(prefix="shuyuan-grammar-"))
    try:
        write_toy(checkpoint, folder / "toy.gguf")
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.num_kv_blocks = 2
        options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "sampler_num_threads": 1}
        return openvino_genai.ContinuousBatchingPipeline(str(folder / "toy.gguf"), scheduler, "CPU", options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_toy(checkpoint: Checkpoint, path: Path) -> None:
    """One layer, one head, all weights zero, the checkpoint's vocabulary."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(1)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    add_vocabulary(writer, checkpoint)
    square = np.zeros((WIDTH, WIDTH), np.float16)
    writer.add_tensor("token_embd.weight", np.zeros((checkpoint.config["vocab_size"], WIDTH), np.float16))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", square)
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
