"""At the end of a run: the held-out examples that the model finds hardest, token by token. Often the data are wrong there."""

from typing import Any

import numpy as np

from workers.data.templates import ChatTemplate
from workers.train.network import Network
from workers.train.objective import micro_batches
from workers.train.packing import Documents

SHOWN = 5
MOST_LEARNT = 200
"""Learnt tokens of an example that are shown."""


def hardest(network: Network, documents: Documents, template: ChatTemplate, limit: int) -> list[dict[str, Any]]:
    """The examples with the highest mean loss: {"loss", "spans": [{"text", "loss"}]}, loss None where nothing is learnt.

    `limit`: tokens of one forward pass.
    """
    found: list[tuple[float, int, np.ndarray]] = []
    for units in micro_batches(np.arange(len(documents)), documents.lengths, limit):
        _, losses, _ = network.token_losses(documents, units)
        ends = np.cumsum(documents.lengths[units] - 1)[:-1]
        for unit, each in zip(units.tolist(), np.split(losses, ends), strict=True):
            learnt = documents.learnt[documents.starts[unit] + 1 : documents.starts[unit + 1]]
            if learnt.any():
                found.append((float(each[learnt].mean()), unit, each))
    found.sort(key=lambda item: -item[0])
    return [{"loss": round(mean, 4), "spans": _spans(template, documents, unit, each)} for mean, unit, each in found[:SHOWN]]


def _spans(template: ChatTemplate, documents: Documents, unit: int, losses: np.ndarray) -> list[dict[str, Any]]:
    """Each learnt token with its loss, what is given in one piece. A character of several tokens has the sum of their losses."""
    piece = slice(documents.starts[unit], documents.starts[unit + 1])
    ids, learnt = documents.tokens[piece].tolist(), documents.learnt[piece].tolist()
    spans: list[dict[str, Any]] = []
    shown, begun, loss, taught = "", 0, 0.0, 0
    for place, known in enumerate(learnt):
        taught += known
        if taught > MOST_LEARNT:
            break
        loss += float(losses[place - 1]) if known and place else 0.0
        ends = place + 1 == len(ids) or learnt[place + 1] != known
        text = template.decode(ids[: place + 1], skip_special_tokens=False) if known or ends else ""
        whole = known and not text.endswith("\ufffd")
        if not (ends or whole):
            continue
        fresh = (
            text[len(shown) :] if text.startswith(shown) else template.decode(ids[begun : place + 1], skip_special_tokens=False)
        )
        spans.append({"text": fresh, "loss": round(loss, 3) if known else None})
        shown, begun, loss = text, place + 1, 0.0
    return spans
