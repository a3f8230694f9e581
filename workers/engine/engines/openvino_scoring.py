"""Exact log-probabilities of given tokens over the same weights that the OpenVINO engine serves.

The pipeline's own `echo` leaves out whatever its prefix cache holds, and tells the chosen token only. So scoring runs
the plain stateful graph: the GGUF reader's model, saved once beside the GGUF file and compiled when first needed.
"""

import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino
import openvino_genai

from workers.engine.engines.base import Scores

CHUNK = 256
"""Tokens per forward pass: the logits of a chunk (CHUNK × vocabulary) are the largest array alive."""


class OpenVINOScorer:
    """Compiles on the first call; calls from several threads take turns."""

    def __init__(self, model: Path, *, rope_base: float, head_size: int, threads: int) -> None:
        self._model = model
        self._inverse_frequencies = inverse_frequencies(rope_base, head_size)
        self._threads = threads
        self._lock = threading.Lock()
        self._request: openvino.InferRequest | None = None

    def score(self, tokens: Sequence[int], top: int = 0) -> Scores:
        scores = Scores([0.0], [[]] if top else [])
        with self._lock:
            request = self._request = self._request or self._compile()
            request.reset_state()
            # The last token predicts nothing that was given.
            for start in range(0, len(tokens) - 1, CHUNK):
                chunk = np.array(tokens[start : min(start + CHUNK, len(tokens) - 1)], dtype=np.int64)
                logits = self._forward(request, chunk, start)
                following = np.array(tokens[start + 1 : start + 1 + len(chunk)])
                _append(scores, logits, following, top)
        return scores

    def _forward(self, request: openvino.InferRequest, chunk: np.ndarray, start: int) -> np.ndarray:
        end = start + len(chunk)
        request.infer(
            {
                "input_ids": chunk[None],
                "attention_mask": np.ones((1, end), np.int64),
                "position_ids": np.arange(start, end, dtype=np.int64)[None],
                "beam_idx": np.zeros(1, np.int32),
            }
        )
        logits: np.ndarray = request.get_tensor("logits").data[0]
        return logits

    def _compile(self) -> openvino.InferRequest:
        graph = openvino.Core().read_model(self._saved_graph())
        self._restore_rope(graph)
        options = {
            "INFERENCE_NUM_THREADS": self._threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "KV_CACHE_PRECISION": "f32",
        }
        return openvino.Core().compile_model(graph, "CPU", options).create_infer_request()

    def _saved_graph(self) -> Path:
        folder = self._model.parent / "graph"
        if not folder.exists():
            temporary = Path(tempfile.mkdtemp(prefix=".graph-", dir=self._model.parent))
            (temporary / "model.gguf").symlink_to(self._model)
            scheduler = openvino_genai.SchedulerConfig()
            scheduler.num_kv_blocks = 1
            openvino_genai.ContinuousBatchingPipeline(
                str(temporary / "model.gguf"), scheduler, "CPU", {"enable_save_ov_model": True}
            )
            try:
                temporary.rename(folder)
            except OSError:  # another process of this model was first
                shutil.rmtree(temporary, ignore_errors=True)
        return folder / "openvino_model.xml"

    def _restore_rope(self, graph: openvino.Model) -> None:
        """Saving rounds the rotary frequencies to 16 bits, which is wrong by radians at far positions; put them back."""
        shape = [1, len(self._inverse_frequencies), 1]
        for node in graph.get_ordered_ops():
            if node.get_type_name() == "Constant" and list(node.get_output_shape(0)) == shape:
                if not np.allclose(node.data.ravel(), self._inverse_frequencies, rtol=1e-2, atol=1e-6):
                    continue
                exact = openvino.op.Constant(self._inverse_frequencies.reshape(shape))
                (reader,) = node.output(0).get_target_inputs()
                converted = reader.get_node()
                target = converted if converted.get_type_name() == "Convert" else node
                target.output(0).replace(exact.output(0))


def inverse_frequencies(base: float, head_size: int) -> np.ndarray:
    """Rotary angular speeds, one per pair of a head (float32), shape (head_size / 2,)."""
    exponents = np.arange(0, head_size, 2, dtype=np.float32) / np.float32(head_size)
    return (1.0 / np.power(np.float32(base), exponents)).astype(np.float32)


def _append(scores: Scores, logits: np.ndarray, following: np.ndarray, top: int) -> None:
    """`logits`: (positions, vocabulary); `following`: the token after each position."""
    peak = logits.max(axis=-1, keepdims=True)
    normaliser = peak[:, 0] + np.log(np.exp(logits - peak).sum(axis=-1))
    scores.logprobs += (logits[np.arange(len(following)), following] - normaliser).tolist()
    if top:
        best = np.argpartition(-logits, top - 1, axis=-1)[:, :top]
        for row, columns in enumerate(best):
            ranked = columns[np.argsort(-logits[row, columns])]
            scores.alternatives.append([(int(token), float(logits[row, token] - normaliser[row])) for token in ranked])
