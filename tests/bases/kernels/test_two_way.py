"""The two-way transformer against its plain twin; `tests/bases/test_decoder.py` compares it with transformers'."""

from __future__ import annotations

import pytest
import torch

from samtune.bases.kernels import few_tokens
from samtune.bases.kernels.two_way import plain_two_way, two_way
from tests.tiny import tiny_library


@pytest.mark.parametrize("few", [0, few_tokens.FEW, 1000])
@pytest.mark.parametrize("prompts", [1, 3])
def test_it_equals_the_plain_twin(prompts: int, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_tokens, "FEW", few)
    monkeypatch.setattr(few_tokens, "FEW_BESIDE_FROZEN", few)
    transformer = tiny_library().double().mask_decoder.transformer
    draw = torch.Generator().manual_seed(3)
    tokens, image, positions = (
        torch.randn(*shape, generator=draw, dtype=torch.float64).requires_grad_()
        for shape in ((2, prompts, 9, 16), (2, 1, 36, 16), (36, 16))
    )
    results = []
    for way in (plain_two_way, two_way):
        out = way(transformer, tokens, image, positions)
        loss = out[0].square().mean() + out[1].square().mean()
        results.append([*out, *torch.autograd.grad(loss, [tokens, image, positions])])
    torch.testing.assert_close(results[1], results[0], rtol=1e-8, atol=1e-12)
