"""The mask decoder against transformers' own in float64: logits, predicted IoU and every gradient."""

from __future__ import annotations

import pytest
import torch

from tests.tiny import tiny_library, tiny_sam


@pytest.mark.parametrize("prompts", [0, 1, 3])
def test_gradients_equal_the_librarys(prompts: int) -> None:
    draw = torch.Generator().manual_seed(2)
    embedding = torch.randn(2, 16, 6, 6, generator=draw, dtype=torch.float64)
    sparse = torch.randn(2, prompts, 4, 16, generator=draw, dtype=torch.float64) if prompts else None
    library, sam = tiny_library().double(), tiny_sam().double()
    positions = torch.randn(1, 16, 6, 6, generator=draw, dtype=torch.float64)
    for module in (library.mask_decoder, sam.mask_decoder):
        module.requires_grad_(True)
    inputs = [embedding, positions] if sparse is None else [embedding, positions, sparse]
    theirs, ours = ([tensor.clone().requires_grad_() for tensor in inputs] for _ in range(2))
    nothing = torch.zeros_like(embedding)
    expected = library.mask_decoder(
        theirs[0], theirs[1].expand(2, -1, -1, -1), theirs[2] if prompts else None, nothing, multimask_output=True
    )
    found = sam.mask_decoder.masks(ours[0], ours[1], ours[2] if prompts else None, (1, 2, 3))
    for right, mine in zip(expected, found, strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-10, atol=1e-12)
    sum(out.square().mean() for out in expected).backward()
    sum(out.square().mean() for out in found).backward()  # type: ignore[union-attr]
    for right, mine in zip(theirs, ours, strict=True):
        torch.testing.assert_close(mine.grad, right.grad, rtol=1e-8, atol=1e-12)
    wanted = dict(library.mask_decoder.named_parameters())
    for name, parameter in sam.mask_decoder.named_parameters():
        right = wanted[name].grad
        if parameter.grad is None:  # of the mask tokens, only those asked for become masks
            assert right is None or not right.any(), name
        else:
            torch.testing.assert_close(parameter.grad, right, rtol=1e-8, atol=1e-12)
