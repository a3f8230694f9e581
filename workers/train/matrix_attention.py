"""Causal attention of documents by batched products in 16 bits, gradients included: on a processor with fast ones (AMX)
its backward pass takes half the time of the flash kernel's, and its forward pass as well for documents of some 80 to 384 tokens.

Documents stand here as (heads, tokens, head size), filled up with zeros to one of few lengths, because oneDNN makes a kernel for
each. What follows a document's end is never seen by it, and gets no gradient.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch.nn import functional

EVEN = 32
"""Documents are filled up to a multiple of this."""
ROWS = 256
"""Queries at a time: what lies after them is not computed."""
KEPT_BELOW = 384
"""The shares of shorter documents are kept for the backward pass (2 bytes for each head and pair of tokens); those of longer ones
are made again, after a forward pass by the flash kernel, which is the faster one there."""
LEAST_PAIRS = 48_000
"""Heads × tokens² of a document from which the products outweigh what every operation costs."""


def pays(heads: int, lengths: Sequence[int], dtype: torch.dtype) -> bool:
    """Whether a row of documents of these lengths is attended faster by products (measured with 5 and 12 heads of 64)."""
    pairs = heads * sum(length * length for length in lengths)
    return dtype == torch.bfloat16 and pairs >= LEAST_PAIRS * len(lengths)


def forward(sides: Sequence[torch.Tensor], scale: float) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """`sides`: query, key and value of one document, of which the last two may have fewer heads; returns its output and what
    `backward` needs."""
    length = sides[0].shape[1]
    query, key, value = (_even(item) for item in sides)
    if length >= KEPT_BELOW:
        output = _by_flash(query, key, value, scale)
        return output[:, :length], [query, key, value]
    shares = [_shares(query, key, rows, scale) for rows in _blocks(query)]
    parts = [_apart(torch.bmm(share, value[:, : share.shape[2]]), query) for share in shares]
    output = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
    return output[:, :length], [query, key, value, *shares]


def backward(
    gradient: torch.Tensor, kept: Sequence[torch.Tensor], scale: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients by query, key and value of the document, from the one by its output."""
    (query, key, value), shares = kept[:3], kept[3:]
    length, above = gradient.shape[1], _even(gradient)
    by_query = torch.empty_like(query)
    by_key = by_value = torch.empty(0)
    for index, rows in reversed(list(enumerate(_blocks(query)))):
        share = shares[index] if shares else _shares(query, key, rows, scale)
        seen, coming = slice(0, rows.stop), _grouped(above[:, rows], key)
        of_values = torch.bmm(share.transpose(1, 2), coming)
        of_shares = torch.bmm(coming, value[:, seen].transpose(1, 2))
        # share · (its gradient − the sum over the row of share · gradient)
        of_scores = torch._softmax_backward_data(of_shares, share, -1, share.dtype).mul_(scale)
        by_query[:, rows] = _apart(torch.bmm(of_scores, key[:, seen]), query)
        of_keys = torch.bmm(of_scores.transpose(1, 2), _grouped(query[:, rows], key))
        if rows.stop == query.shape[1]:
            by_key, by_value = of_keys, of_values
        else:
            by_key[:, seen] += of_keys
            by_value[:, seen] += of_values
    return by_query[:, :length], by_key[:, :length], by_value[:, :length]


def _by_flash(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
    whole = (item.repeat_interleave(len(query) // len(item), 0)[None] for item in (query, key, value))
    output, _ = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*whole, 0.0, True, scale=scale)
    return output[0]


def _even(item: torch.Tensor) -> torch.Tensor:
    missing = -item.shape[1] % EVEN
    narrow = item.to(torch.bfloat16)
    return functional.pad(narrow, (0, 0, 0, missing)) if missing else narrow.contiguous()


def _grouped(item: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """The rows of all heads that share a head of keys, one after another: (heads of keys, heads of each × rows, …)."""
    return item.reshape(len(key), -1, item.shape[2])


def _apart(item: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """`_grouped` undone: (heads, rows, …)."""
    return item.reshape(len(query), -1, item.shape[2])


def _blocks(query: torch.Tensor) -> Iterator[slice]:
    for start in range(0, query.shape[1], ROWS):
        yield slice(start, min(start + ROWS, query.shape[1]))


def _shares(query: torch.Tensor, key: torch.Tensor, rows: slice, scale: float) -> torch.Tensor:
    """softmax(q kᵀ · scale) of these queries over all keys up to each: (heads of keys, heads of each × queries, keys)."""
    scores = torch.bmm(_grouped(query[:, rows], key), key[:, : rows.stop].transpose(1, 2)).mul_(scale)
    _apart(scores, query)[:, :, rows.start :] += _later(rows.stop - rows.start)
    return torch.softmax(scores, -1)


@lru_cache(maxsize=ROWS // EVEN)
def _later(size: int) -> torch.Tensor:
    """−∞ where a key comes after the query."""
    return torch.full((size, size), float("-inf"), dtype=torch.bfloat16).triu_(1)
