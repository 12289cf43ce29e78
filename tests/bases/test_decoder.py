"""The mask decoder against transformers' own in float64: logits, predicted IoU and every gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from samtune.bases.kernels import few_tokens, two_way
from samtune.types import Features
from tests.tiny import tiny_library, tiny_sam


@pytest.mark.parametrize("few", [0, few_tokens.FEW, 1000])
@pytest.mark.parametrize("prompts", [0, 1, 3])
def test_gradients_equal_the_librarys(prompts: int, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of three prompts with nine tokens each, 27 meet the image in the first layer, and nine in the second.
    monkeypatch.setattr(few_tokens, "FEW", few)
    monkeypatch.setattr(few_tokens, "FEW_BESIDE_FROZEN", few)
    draw = torch.Generator().manual_seed(2)
    embedding = torch.randn(2, 16, 6, 6, generator=draw, dtype=torch.float64)
    sparse = torch.randn(2, prompts, 4, 16, generator=draw, dtype=torch.float64) if prompts else None
    library, base = tiny_library().double(), tiny_sam().double()
    positions = torch.randn(1, 16, 6, 6, generator=draw, dtype=torch.float64)
    for module in (library.mask_decoder, base.mask_decoder):
        module.requires_grad_(True)
    inputs = [embedding, positions] if sparse is None else [embedding, positions, sparse]
    theirs, ours = ([tensor.clone().requires_grad_() for tensor in inputs] for _ in range(2))
    nothing = torch.zeros_like(embedding)
    expected = library.mask_decoder(
        theirs[0], theirs[1].expand(2, -1, -1, -1), theirs[2] if prompts else None, nothing, multimask_output=True
    )
    found = base.mask_decoder.masks(Features(ours[0]), ours[1], ours[2] if prompts else None, (1, 2, 3))
    for right, mine in zip(expected, found, strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-10, atol=1e-12)
    sum(out.square().mean() for out in expected).backward()
    sum(out.square().mean() for out in found).backward()  # type: ignore[union-attr]
    for right, mine in zip(theirs, ours, strict=True):
        torch.testing.assert_close(mine.grad, right.grad, rtol=1e-8, atol=1e-12)
    wanted = dict(library.mask_decoder.named_parameters())
    for name, parameter in base.mask_decoder.named_parameters():
        right = wanted[name].grad
        if parameter.grad is None:  # of the mask tokens, only those asked for become masks
            assert right is None or not right.any(), name
        else:
            torch.testing.assert_close(parameter.grad, right, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("prompts", "trained", "ways"),
    [
        (1, "nothing", [True, True, True]),
        (1, "tokens", [True, False, False]),  # nine tokens: few, but not beside frozen maps that gradients pass
        (1, "all", [True, True, True]),
        (3, "all", [False, True, True]),
    ],
)
def test_the_image_is_projected_where_that_is_cheaper(
    prompts: int, trained: str, ways: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def watched(*arguments: Any) -> bool:
        taken.append(few_tokens.are_few(*arguments))
        return taken[-1]

    monkeypatch.setattr(two_way, "are_few", watched)
    decoder = tiny_sam().mask_decoder.requires_grad_(trained == "all")
    tokens = torch.randn(2, prompts, 4, 16, requires_grad=trained != "nothing")
    decoder.masks(Features(torch.randn(2, 16, 6, 6)), torch.randn(1, 16, 6, 6), tokens, (0,))
    assert taken == ways
