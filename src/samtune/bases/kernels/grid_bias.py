"""Attention whose logits have a bias of a row term and a column term, which is never stored whole.

    logits[q, k] = <q, k> / sqrt(d) + rows[q, row(k)] + columns[q, column(k)]      keys of the grid
    logits[q, p] = <q, p> / sqrt(d) + lead                                          keys ahead of the grid

SAM's decomposed relative positions are such a bias. Stored whole, it takes N x N numbers per head (805 MB for a global
block of ViT-B at 1024 in float32), and since it depends on the queries it needs a gradient, which torch's fused kernels
do not compute. There are three exact implementations:

    explicit   the whole bias, passed to torch's kernel; what stock SAM does
    folded     longer vectors, q' = [q, rows, columns] and k' = [k, one-hot(row), one-hot(column)], whose dot product
               includes the bias: works with any fused kernel, at (d + H + W) / d times the arithmetic
    tiled      the bias of a few queries at a time, in a buffer that fits in the processor's cache; the backward pass
               recomputes the attention weights tile by tile

`biased_attention` uses `tiled` on CPUs. On other devices it uses `explicit` if the whole bias is smaller than the
longer vectors would be, as in a window, and `folded` for larger grids. docs/performance.md has the measurements.
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
"""Logits per tile and thread: 2 MB in float32, about the size of a second-level cache."""

KERNEL_STEP = 8
"""Fused kernels require the length of a head's vectors to be a multiple of this."""


_first_tile_alone = False  # not a context variable: the backward pass may run in another thread


@contextmanager
def first_tile_alone() -> Iterator[None]:
    """Compute only the first tile of each attention in this context; the rest of its output is undefined.

    For measuring memory with tensors without content: no tile takes more than the first, and there can be thousands.
    """
    global _first_tile_alone
    before, _first_tile_alone = _first_tile_alone, True
    try:
        yield
    finally:
        _first_tile_alone = before


@dataclass(frozen=True)
class GridBias:
    """Bias of the logits of N = H * W queries, for the keys of their grid and for keys ahead of it.

    Attributes:
        rows: (B, heads, N, H), added by each query for each row of keys.
        columns: (B, heads, N, W), added by each query for each column of keys.
        lead: scalar added for the keys ahead of the grid, or None for 0.
    """

    rows: Tensor
    columns: Tensor
    lead: Tensor | None = None

    @property
    def num_cells(self) -> int:
        """Number of keys of the grid, H * W."""
        return self.rows.shape[-1] * self.columns.shape[-1]


def biased_attention(query: Tensor, key: Tensor, value: Tensor, bias: GridBias) -> Tensor:
    """Compute softmax attention with the bias of a grid, with the implementation that suits the device.

    Args:
        query: (B, heads, N, d).
        key: (B, heads, P + H * W, d), first the P keys ahead of the grid.
        value: (B, heads, P + H * W, d).
        bias: of these queries.

    Returns:
        (B, heads, N, d).
    """
    if query.device.type == "cpu":
        return tiled(query, key, value, bias)
    # Numbers per query and head: the bias of all keys, or longer copies of a query, a key and a value.
    longer = 3 * (query.shape[-1] + bias.rows.shape[-1] + bias.columns.shape[-1])
    return (explicit if key.shape[2] <= longer else folded)(query, key, value, bias)


def plain_biased_attention(query: Tensor, key: Tensor, value: Tensor, bias: GridBias) -> Tensor:
    """Compute the same as `biased_attention`, by the definition, one key after the other."""
    width, num_lead = bias.columns.shape[-1], key.shape[2] - bias.num_cells
    logits = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    lead = query.new_zeros(()) if bias.lead is None else bias.lead
    terms = [lead.expand(logits.shape[:3])] * num_lead
    terms += [bias.rows[..., cell // width] + bias.columns[..., cell % width] for cell in range(bias.num_cells)]
    out: Tensor = (logits + torch.stack(terms, dim=-1)).softmax(-1) @ value
    return out


def explicit(query: Tensor, key: Tensor, value: Tensor, bias: GridBias) -> Tensor:
    """See `biased_attention`; keeps the whole bias (B, heads, N, P + H * W) in memory."""
    whole = (bias.rows[..., :, None] + bias.columns[..., None, :]).flatten(-2)
    num_lead = key.shape[2] - bias.num_cells
    if num_lead:
        lead = whole.new_zeros(()) if bias.lead is None else bias.lead.to(whole.dtype)
        whole = torch.cat([lead.expand(*whole.shape[:-1], num_lead), whole], dim=-1)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=whole.to(query.dtype))


def folded(query: Tensor, key: Tensor, value: Tensor, bias: GridBias) -> Tensor:
    """See `biased_attention`; lengthens queries and keys so that their dot product includes the bias."""
    batch, heads, tokens, depth = query.shape
    height, width = bias.rows.shape[-1], bias.columns.shape[-1]
    num_lead = key.shape[2] - bias.num_cells
    # The kernel scales the whole dot product, so the bias is multiplied by sqrt(d) beforehand.
    longer = [query, bias.rows * depth**0.5, bias.columns * depth**0.5]
    cell = torch.arange(height * width, device=key.device)
    row, column = cell.div(width, rounding_mode="floor"), cell % width
    one_hot = torch.cat([_one_hot(row, height), _one_hot(column, width)], dim=1).to(key.dtype)
    one_hot = F.pad(one_hot, (0, 0, num_lead, 0))
    if num_lead and bias.lead is not None:
        is_lead = (torch.arange(len(one_hot), device=key.device) < num_lead).to(key.dtype)
        longer.append(query.new_full((batch, heads, tokens, 1), depth**0.5))
        one_hot = torch.cat([one_hot, (is_lead * bias.lead.to(key.dtype))[:, None]], dim=1)
    missing = -(depth + one_hot.shape[1]) % KERNEL_STEP
    if missing:
        longer.append(query.new_zeros(batch, heads, tokens, missing))
        one_hot = F.pad(one_hot, (0, missing))
    query = torch.cat([part.to(query.dtype) for part in longer], dim=-1)
    key = torch.cat([key, one_hot.expand(batch, heads, -1, -1)], dim=-1)
    value = F.pad(value, (0, one_hot.shape[1]))  # the kernels require vectors of one length
    return F.scaled_dot_product_attention(query, key, value, scale=depth**-0.5)[..., :depth]


def _one_hot(index: Tensor, length: int) -> Tensor:
    return index[:, None] == torch.arange(length, device=index.device)


def tiled(query: Tensor, key: Tensor, value: Tensor, bias: GridBias) -> Tensor:
    """See `biased_attention`; keeps the bias and, in the backward pass, the weights of one tile in memory."""
    lead = query.new_zeros(()) if bias.lead is None else bias.lead
    rows, columns = bias.rows.to(query.dtype), bias.columns.to(query.dtype)
    out: Tensor = _Tiled.apply(query, key, value, rows, columns, lead)  # type: ignore[no-untyped-call]
    return out


class _Tiled(torch.autograd.Function):
    """Implementation of `tiled` and of its gradient, which saves only the inputs."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor, lead: Tensor
    ) -> Tensor:
        """Compute each tile with torch's fused kernel."""
        ctx.save_for_backward(query, key, value, rows, columns, lead)
        batch, heads, tokens, depth = query.shape
        out = query.new_empty(batch, tokens, heads, depth).transpose(1, 2)  # so that joining the heads copies nothing
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
        """Recompute the weights of each tile and propagate the gradient through them."""
        saved = ctx.saved_tensors  # read once: under recomputation a second access raises
        # Contiguous, so that the products below read slices of them without copies.
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
    """Return the gradients of all six inputs; logits and sums over tiles are computed in float32 at least."""
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
    """Split the queries into tiles of at most about `TILE` logits per thread: whole images, else heads, else queries.

    A tile of more than one image has all heads, and one of more than one head has all queries, so that a tile of a
    contiguous tensor is contiguous.
    """
    batch, heads, tokens, _ = query.shape
    limit = TILE * torch.get_num_threads()
    num_images = max(1, limit // (key.shape[2] * tokens * heads))
    num_heads = heads if num_images > 1 else max(1, limit // (key.shape[2] * tokens))
    num_queries = tokens if num_heads > 1 else max(1, limit // key.shape[2])
    for image in range(0, batch, num_images):
        for head in range(0, heads, num_heads):
            for start in range(0, tokens, num_queries):
                yield (
                    slice(image, image + num_images), slice(head, head + num_heads), slice(start, start + num_queries)
                )  # fmt: skip
                if _first_tile_alone:
                    return


def _tile_of_bias(buffer: Tensor, rows: Tensor, columns: Tensor, lead: Tensor, num_keys: int) -> tuple[Tensor, Tensor]:
    """Write a tile's bias (B, heads, N, keys) into the buffer, or into a new one if it is too small.

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
    """Add scale * left @ right, (G, ., .), to `total` in place, in its dtype."""
    if total.dtype == left.dtype:
        total.baddbmm_(left, right, alpha=scale)
    else:
        total.add_(torch.bmm(left, right), alpha=scale)
