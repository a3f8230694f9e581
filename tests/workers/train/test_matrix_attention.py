"""Attention by matrix products is causal attention inside each document, forward and backward (S8.4)."""

import pytest
import torch
from torch.nn import functional

from workers.train import attention, matrix_attention


def attended(sides: list[torch.Tensor], lengths: list[int], above: torch.Tensor) -> list[torch.Tensor]:
    """Output and gradients of the registered attention."""
    given = [item.clone().requires_grad_() for item in sides]
    with attention.packed(lengths):
        output, _ = attention.attend(torch.nn.Module(), *given, None)
    output.backward(above.to(output.dtype))
    return [output.detach(), *(item.grad for item in given if item.grad is not None)]


def exact(sides: list[torch.Tensor], lengths: list[int], above: torch.Tensor) -> list[torch.Tensor]:
    """The same in 64 bits, each document by itself."""
    given = [item.double().requires_grad_() for item in sides]
    parts = zip(*(item.split(lengths, 2) for item in given), strict=True)
    found = [functional.scaled_dot_product_attention(*part, is_causal=True, enable_gqa=True) for part in parts]
    output = torch.cat(found, 2).transpose(1, 2)
    output.backward(above.double())
    return [output.detach(), *(item.grad for item in given if item.grad is not None)]


@pytest.mark.parametrize("shared", [1, 3], ids=["as many keys", "grouped"])
@pytest.mark.parametrize("lengths", [[100, 33, 128], [300, 90], [400], [383, 384, 1]])
def test_output_and_gradients_are_those_of_each_document_alone(lengths: list[int], shared: int) -> None:
    heads, size, generator = 6, 16, torch.Generator().manual_seed(len(lengths))
    each = (heads, heads // shared, heads // shared)
    sides = [torch.randn(1, count, sum(lengths), size, generator=generator).bfloat16() for count in each]
    above = torch.randn(1, sum(lengths), heads, size, generator=generator)
    assert matrix_attention.pays(heads, lengths, torch.bfloat16)
    for found, expected in zip(attended(sides, lengths, above), exact(sides, lengths, above), strict=True):
        assert float((found.double() - expected).norm() / expected.norm()) < 0.01


def test_what_fills_a_row_up_gets_no_attention_and_no_gradient() -> None:
    sides = [torch.randn(1, 6, 160, 16).bfloat16() for _ in range(3)]
    sides[1][:, :, 130:], sides[2][:, :, 130:] = 100, 100
    output, *gradients = attended(sides, [130], torch.ones(1, 160, 6, 16))
    assert not output[:, 130:].any()
    assert all(not item[:, :, 130:].any() and item.isfinite().all() for item in gradients)


def test_short_documents_and_wide_numbers_keep_the_kernel_that_serves_them_better() -> None:
    assert not matrix_attention.pays(6, [20] * 50, torch.bfloat16)
    assert not matrix_attention.pays(6, [300], torch.float32)
