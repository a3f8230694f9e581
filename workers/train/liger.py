"""Liger's fused norms, rotary positions and feed-forward layers: on GPUs, where they are installed and know the model.

The loss stays the trainer's own, which makes no logits of a whole pass either.
"""

from collections.abc import Collection
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from workers.spec.errors import UserError
from workers.train.network import Network
from workers.train.packing import Documents

PACKAGE = "liger_kernel"
OTHER_LOSS = 2e-2
"""Share by which losses may differ through another order of rounding."""


def speed_up_on_gpu(network: Network, asked: str) -> str:
    """Put Liger's kernels into the model where they are of use; returns “liger” or why not, for the record of the run."""
    model_type = str(network.core.config.get_text_config().model_type)
    reason = reason_against(asked, network.device, model_type)
    if reason:
        return reason
    before = _losses(network)
    apply = import_module(f"{PACKAGE}.transformers.monkey_patch")._apply_liger_kernel_to_instance
    apply(model=network.core, rope=True, cross_entropy=False, fused_linear_cross_entropy=False)
    if not np.allclose(_losses(network), before, rtol=OTHER_LOSS, atol=OTHER_LOSS):
        raise UserError(
            "train.kernels_disagree",
            "Liger's kernels compute {family} otherwise than the model does; switch “kernels” off.",
            family=model_type,
        )
    return "liger"


def reason_against(asked: str, device: torch.device, model_type: str, known: Collection[str] | None = None) -> str:
    """Why the model's own layers stay; empty where Liger's replace them. `known`: families; left out: the package's."""
    if asked == "off":
        return "off"
    if device.type != "cuda":
        return "no GPU"
    if known is None:
        known = known_families()
    if not known:
        return "not installed"
    return "" if model_type in known else "family unknown"


def known_families() -> Collection[str]:
    """Empty when the package is not there."""
    if find_spec(PACKAGE) is None:
        return ()
    found: dict[str, Any] = import_module(f"{PACKAGE}.transformers.monkey_patch").MODEL_TYPE_TO_APPLY_LIGER_FN
    return found


def _losses(network: Network) -> np.ndarray:
    rows = network.core.get_input_embeddings().weight.shape[0]
    generator = np.random.default_rng(0)
    probe = Documents.of([(generator.integers(0, rows, size).tolist(), None) for size in (33, 20)])
    return network.token_losses(probe, np.arange(2))[1]
