"""Attention and its plain twin against loops in float64; windows there and back."""

from __future__ import annotations

import pytest
import torch

from samtune.bases.kernels.attention import PromptKeys, attend, from_windows, plain_attend, to_windows


@pytest.mark.parametrize("gate", [None, 0.7])
@pytest.mark.parametrize("prompts", [0, 2])
@pytest.mark.parametrize("relative", [True, False])
def test_attention_equals_loops(relative: bool, prompts: int, gate: float | None) -> None:
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    height, width, heads, depth = 3, 2, 2, 4
    channels = heads * depth
    qkv = noise(2, height, width, 3 * channels)
    tables = (noise(2 * height - 1, depth), noise(2 * width - 1, depth)) if relative else None
    extra = None
    if prompts:
        number = None if gate is None else torch.tensor(gate, dtype=torch.float64)
        extra = PromptKeys(noise(prompts, channels), noise(prompts, channels), number)
    expected = torch.zeros(2, height, width, channels, dtype=torch.float64)
    cells = [(r, c) for r in range(height) for c in range(width)]
    for b in range(2):
        for head in range(heads):
            part = slice(head * depth, (head + 1) * depth)
            for row, column in cells:
                q, _, _ = (piece[part] for piece in torch.split(qkv[b, row, column], channels))
                logits, values = [], []
                for p in range(prompts):
                    assert extra is not None
                    logits.append(q @ extra.key[p, part] / depth**0.5 + (gate or 0.0))
                    values.append(extra.value[p, part])
                for r, c in cells:
                    _, k, v = (piece[part] for piece in torch.split(qkv[b, r, c], channels))
                    logit = q @ k / depth**0.5
                    if tables is not None:
                        logit = logit + q @ tables[0][row - r + height - 1] + q @ tables[1][column - c + width - 1]
                    logits.append(logit)
                    values.append(v)
                weights = torch.stack(logits).softmax(0)
                expected[b, row, column, part] = weights @ torch.stack(values)
    for way in (attend, plain_attend):
        assert (way(qkv, heads, tables, extra) - expected).abs().max() <= 1e-12, way.__name__


def test_gradients_equal_those_of_the_plain_twin() -> None:
    draw = torch.Generator().manual_seed(1)
    qkv, rows, columns, key, value = (
        torch.randn(*shape, generator=draw, dtype=torch.float64).requires_grad_()
        for shape in ((2, 3, 4, 24), (5, 4), (7, 4), (2, 8), (2, 8))
    )
    gate = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    leaves = [qkv, rows, columns, key, value, gate]
    weight = torch.randn(2, 3, 4, 8, generator=draw, dtype=torch.float64)
    expected, actual = (
        torch.autograd.grad((way(qkv, 2, (rows, columns), PromptKeys(key, value, gate)) * weight).sum(), leaves)
        for way in (plain_attend, attend)
    )
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("height", "width", "window"), [(6, 6, 4), (8, 4, 4), (3, 7, 5), (2, 2, 14)])
def test_windows_there_and_back(height: int, width: int, window: int) -> None:
    tokens = torch.arange(2.0 * height * width * 3).reshape(2, height, width, 3) + 1
    windows, padded = to_windows(tokens, window)
    assert windows.shape == (2 * (padded[0] // window) * (padded[1] // window), window, window, 3)
    assert windows.sum() == tokens.sum(), "padding is zero"
    assert torch.equal(windows[0, : min(window, height), : min(window, width)], tokens[0, :window, :window])
    assert torch.equal(from_windows(windows, padded, (height, width)), tokens)
