"""Attention whose logits have a bias made of a row term and a column term, without ever holding it whole.

    logits[q, k] = <q, k> / sqrt(d) + rows[q, row(k)] + columns[q, column(k)]      keys of the grid
    logits[q, p] = <q, p> / sqrt(d) + lead                                          keys ahead of the grid

SAM's decomposed relative positions are such a bias. Added whole, it takes N x N numbers for each head (805 MB for a
global block of ViT-B at 1024 in float32), and since it depends on the queries it needs a gradient, for which no fused
kernel of torch's has a way. Three exact ways to the same result:

    explicit   the whole bias, handed to torch's kernel; what stock SAM does
    folded     longer vectors, q' = [q, rows, columns] and k' = [k, one-hot(row), one-hot(column)], whose plain dot
               product holds the bias: any fused kernel does it, at (d + H + W) / d times the arithmetic
    tiled      the bias of a few queries at a time, in a buffer that stays in the processor's cache; the backward pass
               computes the weights again, tile by tile, and keeps none

`biased_attention` takes `tiled` on CPUs. Elsewhere `explicit` where the whole bias is smaller than longer vectors would
be, as in a window, and `folded` for larger grids; docs/performance.md says why, with the figures.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from collections.abc import Iterator

    Tile = tuple[slice, slice, slice]

TILE = 2**19
"""Logits of a tile for each thread: 2 MB in float32, which second-level caches hold or nearly hold."""

KERNEL_STEP = 8
"""Fused kernels want the length of a head's vectors to be a multiple of this."""


_first_tile_alone = False  # not a context variable: the backward pass may run in another thread


@contextmanager
def first_tile_alone() -> Iterator[None]:
    """Within, attention in tiles does the first of them and leaves the rest of its output undefined.

    For counting memory on tensors without content: no tile takes more than the first, and there may be thousands.
    """
    global _first_tile_alone
    before, _first_tile_alone = _first_tile_alone, True
    try:
        yield
    finally:
        _first_tile_alone = before


@dataclass(frozen=True)
class GridBias:
    """The bias of N = H * W queries over the keys of their grid and over those ahead of it.

    Attributes:
        rows: (B, heads, N, H) what each query adds for each row of keys.
        columns: (B, heads, N, W) the same for each column.
        lead: scalar added for the keys ahead of the grid, or None for 0.
    """

    rows: Tensor
    columns: Tensor
    lead: Tensor | None = None

    @property
    def num_cells(self) -> int:
        """Keys of the grid, H * W."""
        return self.rows.shape[-1] * self.columns.shape[-1]


def biased_attention(query: Tensor, key: Tensor, value: Tensor, bias: GridBias) -> Tensor:
    """Softmax attention with the bias of a grid, in the way that suits the device.

    Args:
        query: (B, heads, N, d).
        key: (B, heads, P + H * W, d), the P keys ahead of the grid first.
        value: like `key`.
        bias: of these queries.

    Returns:
        (B, heads, N, d).
    """
    if query.device.type == "cpu":
        return tiled(query, key, value, bias)
    # For each query and head: the bias over all keys, or longer copies of the query, its key and its value.
    longer = 3 * (query.shape[-1] + bias.rows.shape[-1] + bias.columns.shape[-1])
    return (explicit if key.shape[2] <= longer else folded)(query, key, value, bias)


def explicit(query: Tensor, key: Tensor, value: Tensor, bias: GridBias) -> Tensor:
    """See `biased_attention`; with the whole bias (B, heads, N, P + H * W) in memory."""
    whole = (bias.rows[..., :, None] + bias.columns[..., None, :]).flatten(-2)
    num_lead = key.shape[2] - bias.num_cells
    if num_lead:
        lead = whole.new_zeros(()) if bias.lead is None else bias.lead.to(whole.dtype)
        whole = torch.cat([lead.expand(*whole.shape[:-1], num_lead), whole], dim=-1)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=whole.to(query.dtype))


def folded(query: Tensor, key: Tensor, value: Tensor, bias: GridBias) -> Tensor:
    """See `biased_attention`; with longer vectors and a plain kernel."""
    batch, heads, tokens, depth = query.shape
    height, width = bias.rows.shape[-1], bias.columns.shape[-1]
    num_lead = key.shape[2] - bias.num_cells
    # The kernel scales the whole dot product, so the bias is multiplied by sqrt(d) beforehand.
    longer = [query, bias.rows * depth**0.5, bias.columns * depth**0.5]
    cell = torch.arange(height * width, device=key.device)
    row, column = cell.div(width, rounding_mode="floor"), cell % width
    places = torch.cat([_one_hot(row, height), _one_hot(column, width)], dim=1).to(key.dtype)
    places = F.pad(places, (0, 0, num_lead, 0))
    if num_lead and bias.lead is not None:
        ahead = (torch.arange(len(places), device=key.device) < num_lead).to(key.dtype)
        longer.append(query.new_full((batch, heads, tokens, 1), depth**0.5))
        places = torch.cat([places, (ahead * bias.lead.to(key.dtype))[:, None]], dim=1)
    missing = -(depth + places.shape[1]) % KERNEL_STEP
    if missing:
        longer.append(query.new_zeros(batch, heads, tokens, missing))
        places = F.pad(places, (0, missing))
    query = torch.cat([part.to(query.dtype) for part in longer], dim=-1)
    key = torch.cat([key, places.expand(batch, heads, -1, -1)], dim=-1)
    value = F.pad(value, (0, places.shape[1]))  # the kernels want vectors of one length
    return F.scaled_dot_product_attention(query, key, value, scale=depth**-0.5)[..., :depth]


def _one_hot(index: Tensor, length: int) -> Tensor:
    return index[:, None] == torch.arange(length, device=index.device)


def tiled(query: Tensor, key: Tensor, value: Tensor, bias: GridBias) -> Tensor:
    """See `biased_attention`; with the bias and, in the backward pass, the weights of one tile at a time."""
    lead = query.new_zeros(()) if bias.lead is None else bias.lead
    rows, columns = bias.rows.to(query.dtype), bias.columns.to(query.dtype)
    out: Tensor = _Tiled.apply(query, key, value, rows, columns, lead)  # type: ignore[no-untyped-call]
    return out


class _Tiled(torch.autograd.Function):
    """`tiled` and its gradient, which keeps the inputs and nothing else."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor, lead: Tensor
    ) -> Tensor:
        """Let torch's fused kernel do each tile."""
        ctx.save_for_backward(query, key, value, rows, columns, lead)
        batch, heads, tokens, depth = query.shape
        out = query.new_empty(batch, tokens, heads, depth).transpose(1, 2)  # joining the heads is then no copy
        buffer = query.new_empty(0)
        with torch.autocast(query.device.type, enabled=False):
            for images, some, queries in _tiles(query, key):
                tile = (images, some, queries)
                bias, buffer = _tile_of_bias(buffer, rows[tile], columns[tile], lead, key.shape[2])
                out[tile] = F.scaled_dot_product_attention(
                    query[tile], key[images, some], value[images, some], attn_mask=bias
                )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Compute each tile's weights again and push the gradient through them."""
        saved = ctx.saved_tensors  # looked at once: recomputation hands them out a single time
        # In one piece, so that the products below read slices of them without copies.
        query, key, value, rows, columns, lead = (tensor.contiguous() for tensor in saved)
        with torch.autocast(query.device.type, enabled=False):
            grads = _backward(query, key, value, rows, columns, lead, gradient.contiguous())
        return tuple(
            grad.to(tensor.dtype) if needed else None
            for grad, tensor, needed in zip(grads, saved, ctx.needs_input_grad, strict=True)
        )


def _backward(
    query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor, lead: Tensor, gradient: Tensor
) -> tuple[Tensor, ...]:
    """The gradients of all six inputs; logits and sums over tiles in float32 at least."""
    exact = torch.promote_types(query.dtype, torch.float32)
    scale = query.shape[-1] ** -0.5
    num_lead = key.shape[2] - rows.shape[-1] * columns.shape[-1]
    d_query, d_rows, d_columns = (torch.empty_like(tensor) for tensor in (query, rows, columns))
    d_key, d_value = (torch.zeros_like(tensor, dtype=exact) for tensor in (key, value))
    d_lead = torch.zeros((), dtype=exact, device=query.device)
    buffer = query.new_empty(0, dtype=exact)
    for tile in _tiles(query, key):
        groups = tile[:2]
        q, g = query[tile].flatten(0, 1), gradient[tile].flatten(0, 1)
        k, v = key[groups].flatten(0, 1), value[groups].flatten(0, 1)
        bias, buffer = _tile_of_bias(buffer, rows[tile], columns[tile], lead, key.shape[2])
        logits = bias.flatten(0, 1)
        _add_product(logits, q, k.transpose(1, 2), scale)
        weights = torch.softmax(logits, dim=-1, out=logits)
        _add_product(d_value[groups].flatten(0, 1), weights.to(g.dtype).transpose(1, 2), g, 1.0)
        d_logits = torch.bmm(g, v.transpose(1, 2)).to(exact).mul_(weights)
        d_logits.addcmul_(weights, d_logits.sum(-1, keepdim=True), value=-1)
        low = d_logits.to(q.dtype)
        d_query[tile] = torch.bmm(low, k).mul_(scale).view_as(d_query[tile])
        _add_product(d_key[groups].flatten(0, 1), low.transpose(1, 2), q, scale)
        cells = d_logits[..., num_lead:].view(*d_logits.shape[:2], rows.shape[-1], columns.shape[-1])
        d_rows[tile] = cells.sum(-1).view_as(d_rows[tile])
        d_columns[tile] = cells.sum(-2).view_as(d_columns[tile])
        d_lead += d_logits[..., :num_lead].sum()
    return d_query, d_key, d_value, d_rows, d_columns, d_lead


def _tiles(query: Tensor, key: Tensor) -> Iterator[Tile]:
    """Cut the queries into tiles of at most about `TILE` logits a thread: whole images, else heads, else queries.

    A tile that holds more than one image holds all heads, and one of more than one head all queries, so that a tile
    of a tensor in one piece is in one piece.
    """
    batch, heads, tokens, _ = query.shape
    room = TILE * torch.get_num_threads()
    images = max(1, room // (key.shape[2] * tokens * heads))
    some = heads if images > 1 else max(1, room // (key.shape[2] * tokens))
    queries = tokens if some > 1 else max(1, room // key.shape[2])
    for first in range(0, batch, images):
        for head in range(0, heads, some):
            for start in range(0, tokens, queries):
                yield slice(first, first + images), slice(head, head + some), slice(start, start + queries)
                if _first_tile_alone:
                    return


def _tile_of_bias(buffer: Tensor, rows: Tensor, columns: Tensor, lead: Tensor, num_keys: int) -> tuple[Tensor, Tensor]:
    """Write a tile's bias (B, heads, N, keys) into the buffer, which is made larger where it does not do.

    Returns:
        The bias, a view of the buffer, and the buffer.
    """
    height, width = rows.shape[-1], columns.shape[-1]
    shape = (*rows.shape[:3], num_keys)
    size = shape[0] * shape[1] * shape[2] * num_keys
    if len(buffer) < size:
        buffer = buffer.new_empty(size)
    bias = buffer[:size].view(shape)
    num_lead = num_keys - height * width
    bias[..., :num_lead] = lead
    cells = bias[..., num_lead:].view(*shape[:3], height, width)
    torch.add(rows[..., :, None], columns[..., None, :], out=cells)
    return bias, buffer


def _add_product(total: Tensor, left: Tensor, right: Tensor, scale: float) -> None:
    """Add scale * left @ right (G, ., .) to `total` in place, in its type."""
    if total.dtype == left.dtype:
        total.baddbmm_(left, right, alpha=scale)
    else:
        total.add_(torch.bmm(left, right), alpha=scale)
