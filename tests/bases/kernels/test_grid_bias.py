"""The implementations of attention with a grid bias against the plain twin, gradients included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from samtune.bases.kernels import grid_bias
from samtune.bases.kernels.grid_bias import (
    GridBias,
    biased_attention,
    explicit,
    folded,
    plain_biased_attention,
    tiled,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Way = Callable[[Tensor, Tensor, Tensor, GridBias], Tensor]

INPUTS = ("query", "key", "value", "rows", "columns", "lead")
GRIDS = {"square": (4, 4), "wide": (3, 5), "tall": (6, 2)}


def inputs(grid_hw: tuple[int, int], num_lead: int, *, batch: int = 3, heads: int = 2, depth: int = 6) -> list[Tensor]:
    """Random float64 inputs in the order of INPUTS; keys and values are slices of one tensor, as in the encoder."""
    draw = torch.Generator().manual_seed(0)
    height, width = grid_hw
    tokens = height * width

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    joined = noise(batch, tokens + num_lead, 2, heads, depth).permute(2, 0, 3, 1, 4)
    rows, columns = noise(batch, heads, tokens, height), noise(batch, heads, tokens, width)
    return [noise(batch, heads, tokens, depth), joined[0], joined[1], rows, columns, noise(1)[0]]


def plain(tensors: list[Tensor]) -> Tensor:
    """The plain twin, on inputs in the order of INPUTS."""
    query, key, value, rows, columns, lead = tensors
    return plain_biased_attention(query, key, value, GridBias(rows, columns, lead))


def run(way: Way | None, tensors: list[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """The result and the gradients of a weighted sum of it."""
    leaves = [tensor.detach().to(dtype).requires_grad_() for tensor in tensors]
    query, key, value, rows, columns, lead = leaves
    out = plain(leaves) if way is None else way(query, key, value, GridBias(rows, columns, lead))
    weight = torch.linspace(-1, 1, out.numel(), dtype=dtype, device=out.device).view(out.shape)
    grads = torch.autograd.grad((out * weight).sum(), leaves, allow_unused=True)
    zeros = (torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, grads, strict=True))
    return (out.detach(), *zeros)


@pytest.mark.parametrize("num_lead", [0, 2])
@pytest.mark.parametrize("grid_hw", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("way", [explicit, folded, tiled], ids=lambda way: way.__name__)
def test_each_way_equals_the_definition(way: Way, grid_hw: tuple[int, int], num_lead: int) -> None:
    tensors = inputs(grid_hw, num_lead)
    expected, found = run(None, tensors, torch.float64), run(way, tensors, torch.float32)
    for name, right, mine in zip(("out", *INPUTS), expected, found, strict=True):
        assert (mine - right).abs().max() <= 1e-5 * right.abs().max().clamp_min(1e-3), name


@pytest.mark.parametrize("tile", [1, 30, 300, 700, 10_000])
def test_tiles_of_every_kind_give_the_same(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """15 queries of 17 keys, 2 heads, 3 images: a query, some queries, a head, an image, everything."""
    monkeypatch.setattr(grid_bias, "TILE", tile)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    tensors = inputs((3, 5), 2)
    for right, mine in zip(run(None, tensors, torch.float64), run(tiled, tensors, torch.float64), strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-10, atol=1e-12)


def test_without_a_lead_it_is_zero() -> None:
    query, key, value, rows, columns, _ = inputs((3, 5), 2)
    expected = plain([query, key, value, rows, columns, torch.zeros((), dtype=torch.float64)])
    for way in (explicit, folded, tiled):
        found = way(query, key, value, GridBias(rows, columns))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_bfloat16_stays_near() -> None:
    tensors = inputs((4, 4), 2)
    for way in (explicit, folded, tiled):
        expected, found = run(None, tensors, torch.float64), run(way, tensors, torch.bfloat16)
        for name, right, mine in zip(("out", *INPUTS), expected, found, strict=True):
            assert mine.dtype == torch.bfloat16
            assert (mine - right).norm() <= 3e-2 * right.norm(), (way.__name__, name)


@pytest.mark.parametrize(("side", "way"), [(14, "explicit"), (64, "folded")])
def test_elsewhere_the_way_is_what_holds_fewer_numbers(side: int, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of SAM's and its whole grid, on a device without content that stands for one with its own kernels."""
    taken: list[str] = []

    def stand_in(name: str) -> Way:
        def note(query: Tensor, key: Tensor, value: Tensor, bias: GridBias) -> Tensor:
            taken.append(name)
            return query

        return note

    for name in ("explicit", "folded", "tiled"):
        monkeypatch.setattr(grid_bias, name, stand_in(name))
    vectors = torch.empty(1, 2, side**2, 64, device="meta")
    terms = torch.empty(1, 2, side**2, side, device="meta")
    biased_attention(vectors, vectors, vectors, GridBias(terms, terms))
    assert taken == [way]


def test_nothing_of_the_size_of_the_bias_is_kept_for_the_gradient() -> None:
    leaves = [tensor.float().requires_grad_() for tensor in inputs((6, 6), 0, batch=1, depth=4)]
    query, key, value, rows, columns, lead = leaves
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        biased_attention(query, key, value, GridBias(rows, columns, lead))
    assert kept
    assert max(kept) <= 2 * 36 * 6
