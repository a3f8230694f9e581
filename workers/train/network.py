"""Runs a causal language model over packed documents and gives losses and gradients.

Packed is the normal layout: one row, attention inside each document, output layer on supervised positions only.
An architecture for which that gives another loss than its own forward pass is run padded instead.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Literal

import numpy as np
import torch
from transformers import PreTrainedModel

from workers.train import attention
from workers.train.loss import each_loss, position_losses, summed_loss
from workers.train.packing import Documents
from workers.train.sequence import SharedSequence
from workers.train.side_by_side import SideBySide, deal

Precision = Literal["float32", "bfloat16"]
Measure = Callable[[torch.nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
"""(output layer, hidden states, tokens to predict) → summed loss."""

LOGIT_CHANGES = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""Settings of models that do something to the logits after the output layer."""


class Network:
    """`core` is the transformers model (with adapters put into it, when there are any)."""

    def __init__(self, core: PreTrainedModel, device: torch.device, precision: Precision) -> None:
        self.core = core.to(device)
        self.device = device
        self.precision = precision
        self.sequence: SharedSequence | None = None
        """The processes that share every pass with this one; losses and counts are then of this one's stretch."""
        self.side_by_side: SideBySide | None = None
        """Where `learn` runs parts of its documents at once."""
        self.packed = self._packing_agrees()

    def _packing_agrees(self) -> bool:
        if not getattr(self.core, "_supports_attention_backend", False):
            return False
        vocabulary = self.core.get_input_embeddings().weight.shape[0]
        generator = np.random.default_rng(0)
        probe = Documents.of([(generator.integers(0, vocabulary, size).tolist(), None) for size in (9, 5)])
        both = np.arange(2)
        settings = self.core.config.get_text_config()
        if any(getattr(settings, name, None) not in (None, 1) for name in LOGIT_CHANGES):
            return False
        self.packed = False
        expected = self.token_losses(probe, both)[1]
        self.packed = True
        try:
            found = self.token_losses(probe, both)[1]
        except attention.UnknownAttention:
            return False
        tolerance = 1e-4 if self.precision == "float32" else 5e-2
        return bool(np.allclose(found, expected, rtol=tolerance, atol=tolerance))

    def recompute_activations(self) -> None:
        """Keep only each block's input and compute the rest again in the backward pass: a third slower, far smaller."""
        if self.core.supports_gradient_checkpointing:
            self.core.activation_checkpointing_enable({"use_reentrant": False})
            self.core.train()

    def compile_feed_forward(self) -> None:
        """Fuse the element-wise work of the feed-forward layers; attention changes its shapes with every step and stays."""
        for module in self.core.modules():
            if hasattr(module, "act_fn") or type(module).__name__.endswith("MLP"):
                module.compile(dynamic=True)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        was_training = self.core.training
        self.core.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.core.train(was_training)

    def loss_sum(self, documents: Documents, indices: np.ndarray) -> tuple[torch.Tensor, int]:
        """Summed loss of the learnt tokens of these documents, and how many they are."""
        return self._forward(documents, indices, summed_loss)

    def learn(self, documents: Documents, indices: np.ndarray, scale: float) -> float:
        """Add the gradients of `scale` × the summed loss; returns the summed loss.

        The backward pass lies inside the packing block because recomputed layers attend again.
        """
        chosen = documents.select(indices)
        if self.side_by_side is not None and len(parts := deal(chosen.lengths)) > 1:
            return self._learn_parts([chosen.select(part) for part in parts], scale, self.side_by_side)
        with self.differentiating(chosen):
            loss, _ = self.loss_sum(chosen, np.arange(len(chosen)))
            if loss.requires_grad:
                (loss * scale).backward()
        return float(loss.detach())

    def _learn_parts(self, parts: Sequence[Documents], scale: float, side_by_side: SideBySide) -> float:
        learnt = [item for item in self.core.parameters() if item.requires_grad]

        def run(part: Documents) -> tuple[float, Sequence[torch.Tensor | None]]:
            with self.differentiating(part):
                loss, _ = self.loss_sum(part, np.arange(len(part)))
                if not loss.requires_grad:
                    return float(loss), [None] * len(learnt)
                return float(loss.detach()), torch.autograd.grad(loss * scale, learnt, allow_unused=True)

        found = side_by_side.run([partial(run, part) for part in parts])
        for _, gradients in found:
            for item, gradient in zip(learnt, gradients, strict=True):
                if gradient is not None:
                    item.grad = gradient if item.grad is None else item.grad.add_(gradient)
        return sum(loss for loss, _ in found)

    @contextmanager
    def one_pass(self) -> Iterator[None]:
        """Within this block `learn` runs its documents as one pass, in this thread."""
        kept, self.side_by_side = self.side_by_side, None
        try:
            yield
        finally:
            self.side_by_side = kept

    def answer_log_probs(self, documents: Documents, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """(summed log-probability of the learnt tokens, how many they are) of each of these documents, with gradients."""
        chosen = documents.select(indices)
        places = torch.from_numpy(chosen.places()).to(self.device)
        zeros = torch.zeros(len(chosen), device=self.device)
        losses, _ = self._forward(chosen, np.arange(len(chosen)), position_losses)
        counts = zeros.index_add(0, places, torch.ones(len(places), device=self.device))
        return zeros.index_add(0, places, -losses.float().reshape(-1)), counts

    def token_log_probs(self, documents: Documents, temperature: float = 1.0) -> torch.Tensor:
        """Log-probability of every learnt token, in order, when drawn at this temperature; with gradients."""

        def measure(head: torch.nn.Module, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return position_losses(head, hidden / temperature, targets)  # the output layer is linear

        return -self._forward(documents, np.arange(len(documents)), measure)[0].float().reshape(-1)

    @contextmanager
    def differentiating(self, documents: Documents) -> Iterator[None]:
        """A block with passes over `documents` and their backward passes, in which recomputed layers attend again."""
        with attention.packed(self._evened(documents).lengths.tolist()), attention.together(self.sequence):
            yield

    def _evened(self, documents: Documents) -> Documents:
        return documents if self.sequence is None else self.sequence.evened(documents)

    def last_states(self, documents: Documents) -> torch.Tensor:
        """Hidden state of each document's last token: (documents, size), with gradients."""
        last = torch.from_numpy(documents.starts[1:] - 1).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            if self.packed:
                return self._packed_hidden(documents)[last].float()
            return self._padded_hidden(documents)[last].float()

    def token_losses(self, documents: Documents, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(token ids, loss of each, whether it is learnt) of all tokens that have something before them."""
        chosen = documents.select(indices)
        everything = Documents(chosen.tokens, chosen.starts, np.ones_like(chosen.learnt))
        collected: list[torch.Tensor] = []

        def collect(head: torch.nn.Module, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            collected.extend([targets, each_loss(head, hidden, targets)])
            return collected[1].sum()

        shared, self.sequence = self.sequence, None  # every token is asked for, so each process computes all of them
        try:
            with self.evaluating():
                self._forward(everything, np.arange(len(everything)), collect)
        finally:
            self.sequence = shared
        follows = np.ones_like(chosen.learnt)
        follows[chosen.starts[:-1]] = False
        return collected[0].cpu().numpy(), collected[1].cpu().numpy(), chosen.learnt[follows]

    def _forward(self, documents: Documents, indices: np.ndarray, measure: Measure) -> tuple[torch.Tensor, int]:
        chosen = self._evened(documents.select(indices))
        positions, targets = _predictions(chosen)
        if not len(positions):
            return torch.zeros((), device=self.device), 0
        count = len(positions)
        if self.sequence is not None:
            positions, targets, count = self.sequence.own(positions, targets, len(chosen.tokens))
        wanted = torch.from_numpy(targets).to(self.device)
        mixed = self.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            if self.packed:
                hidden = self._packed_hidden(chosen)[torch.from_numpy(positions).to(self.device)]
                head = self.core.get_output_embeddings()
            else:
                hidden = self._padded_logits(chosen, positions)
                head = torch.nn.Identity()
            found = measure(head, hidden, wanted)
            return found if count else found * 0, count

    def _hidden_of_stretch(self, chosen: Documents, shared: SharedSequence) -> torch.Tensor:
        self.core.config._attn_implementation = attention.NAME
        lengths, part = chosen.lengths.tolist(), shared.stretch(len(chosen.tokens))
        places = np.concatenate([np.arange(length) for length in lengths])
        row = torch.from_numpy(np.stack([chosen.tokens[part], places[part]]).astype(np.int64)).to(self.device)
        with attention.packed(lengths), attention.together(shared):
            output = self.core.base_model(input_ids=row[:1], position_ids=row[1:], use_cache=False)
        return output.last_hidden_state[0]

    def _packed_hidden(self, chosen: Documents) -> torch.Tensor:
        if self.sequence is not None:
            return self._hidden_of_stretch(chosen, self.sequence)
        self.core.config._attn_implementation = attention.NAME
        lengths = chosen.lengths.tolist()
        row = np.zeros((2, self._row_length(len(chosen.tokens))), dtype=np.int64)
        row[:, : len(chosen.tokens)] = chosen.tokens, np.concatenate([np.arange(length) for length in lengths])
        tokens, places = torch.from_numpy(row).to(self.device)
        with attention.packed(lengths):
            output = self.core.base_model(input_ids=tokens[None], position_ids=places[None], use_cache=False)
        return output.last_hidden_state[0]

    def _row_length(self, tokens: int) -> int:
        """On a CPU oneDNN makes a kernel for every product in 16 bits and number of tokens, which can take longer than the
        product; rows of few different lengths (at most a sixteenth longer, or 31 tokens) meet kernels that are there."""
        if self.device.type != "cpu" or self.precision != "bfloat16":
            return tokens
        step = max(32, (1 << tokens.bit_length()) >> 6)
        return step * -(-tokens // step)

    def _padded_logits(self, chosen: Documents, positions: np.ndarray) -> torch.Tensor:
        inputs, inside = self._padded_inputs(chosen)
        places = torch.from_numpy(np.flatnonzero(inside)[positions]).to(self.device)
        return self.core(**inputs, use_cache=False).logits.flatten(0, 1)[places]

    def _padded_hidden(self, chosen: Documents) -> torch.Tensor:
        inputs, inside = self._padded_inputs(chosen)
        places = torch.from_numpy(np.flatnonzero(inside)).to(self.device)
        return self.core.base_model(**inputs, use_cache=False).last_hidden_state.flatten(0, 1)[places]

    def _padded_inputs(self, chosen: Documents) -> tuple[dict[str, torch.Tensor], np.ndarray]:
        self.core.config._attn_implementation = "sdpa" if self.core._supports_sdpa else "eager"
        lengths = chosen.lengths
        inside = np.arange(lengths.max())[None] < lengths[:, None]
        tokens = np.zeros(inside.shape, dtype=np.int64)
        tokens[inside] = chosen.tokens
        mask = torch.from_numpy(inside.astype(np.int64)).to(self.device)
        return {"input_ids": torch.from_numpy(tokens).to(self.device), "attention_mask": mask}, inside


def _predictions(documents: Documents) -> tuple[np.ndarray, np.ndarray]:
    """(positions that predict, tokens to predict): each learnt token is predicted from the one before it."""
    predicted = documents.learnt.copy()
    predicted[documents.starts[:-1]] = False
    places = np.flatnonzero(predicted)
    return places - 1, documents.tokens[places].astype(np.int64)
