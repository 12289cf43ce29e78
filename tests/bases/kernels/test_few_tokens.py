"""Attention between cells and a few tokens against the plain twin, gradients included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from samtune.bases.kernels.few_tokens import image_to_tokens, plain_attention, tokens_to_image
from tests.tiny import tiny_library

if TYPE_CHECKING:
    from collections.abc import Callable


def layer(name: str) -> Any:
    return getattr(tiny_library().double().mask_decoder.transformer.layers[0], name).requires_grad_(True)


def value_and_gradients(attention: Any, leaves: list[Tensor], compute: Callable[..., Tensor]) -> list[Tensor]:
    out = compute(*leaves)
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    return [out, *torch.autograd.grad((out * weight).sum(), [*leaves, *attention.parameters()])]


def inputs(*shapes: tuple[int, ...]) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=draw, dtype=torch.float64).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("images_per_prompt", [1, 3], ids=["shared", "own"])
def test_tokens_to_image_equals_the_plain_twin(images_per_prompt: int) -> None:
    attention = layer("cross_attn_token_to_image")
    leaves = inputs((2, 3, 5, 16), (2, images_per_prompt, 12, 16), (2, images_per_prompt, 12, 16))
    actual = value_and_gradients(attention, leaves, lambda q, image, keys: tokens_to_image(attention, q, image, keys))
    expected = value_and_gradients(attention, leaves, lambda q, image, keys: plain_attention(attention, q, keys, image))
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("images_per_prompt", [1, 3], ids=["shared", "own"])
def test_image_to_tokens_equals_the_plain_twin(images_per_prompt: int) -> None:
    attention = layer("cross_attn_image_to_token")
    leaves = inputs((2, images_per_prompt, 12, 16), (2, 3, 5, 16), (2, 3, 5, 16))
    actual = value_and_gradients(attention, leaves, lambda q, k, v: image_to_tokens(attention, q, k, v))
    expected = value_and_gradients(attention, leaves, lambda q, k, v: plain_attention(attention, q, k, v))
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)
