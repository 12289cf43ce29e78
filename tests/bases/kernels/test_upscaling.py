"""Upscaling cell by cell against the plain twin, which uses SAM's own convolutions; gradients included."""

from __future__ import annotations

import torch

from samtune.bases.kernels.upscaling import masks_of, plain_masks, upscale
from tests.tiny import tiny_library


def test_it_equals_the_plain_twin() -> None:
    decoder = tiny_library().double().mask_decoder.requires_grad_(True)
    draw = torch.Generator().manual_seed(4)
    image = torch.randn(2, 12, 16, generator=draw, dtype=torch.float64).requires_grad_()
    weights = torch.randn(2, 3, 2, generator=draw, dtype=torch.float64).requires_grad_()
    layers = (decoder.upscale_conv1, decoder.upscale_layer_norm, decoder.upscale_conv2)
    leaves = [image, weights, *(parameter for layer in layers for parameter in layer.parameters())]
    expected, actual = plain_masks(decoder, image, (3, 4), weights), masks_of(weights, upscale(decoder, image, (3, 4)))
    assert actual.shape == (2, 3, 12, 16)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)
    gradients = [torch.autograd.grad(out.square().mean(), leaves) for out in (expected, actual)]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-9, atol=1e-12)
