"""A block's frozen MLP, a strip of tokens at a time, so that the processor's caches hold what lies between its linears.

    out = lin2(act(lin1(tokens)))

Four times as wide as the tokens, the hidden units of a whole image take 50 MB at ViT-B and 1024, several times a pass;
on a CPU the time goes to fresh memory rather than to the activation. In strips the same few megabytes serve again and
again. Exact: each token passes the MLP alone. docs/performance.md has the figures.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

STRIP = 1024
"""Tokens of a strip: 12.6 MB of hidden units at ViT-B. 512 took as long, 256 longer."""


def run_mlp(mlp: Any, tokens: Tensor) -> Tensor:
    """The MLP of a block, in strips where that pays: on a CPU, with plain linears that are not learning.

    Args:
        mlp: with `lin1`, `act` and `lin2`; an `act` without parameters that treats each number alone.
        tokens: (..., C).

    Returns:
        (..., C), what `mlp(tokens)` returns.
    """
    flat = tokens.reshape(-1, tokens.shape[-1])
    if len(flat) <= STRIP or not _is_plain(mlp, tokens):
        out: Tensor = mlp(tokens)
        return out
    if torch.is_grad_enabled() and tokens.requires_grad:
        out = _Strips.apply(flat, mlp)  # type: ignore[no-untyped-call]
    else:
        out = torch.cat([mlp.lin2(mlp.act(mlp.lin1(strip))) for strip in torch.split(flat, STRIP)])
    return out.view(tokens.shape)


def _is_plain(mlp: Any, tokens: Tensor) -> bool:
    if tokens.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    if type(mlp.lin1) is not nn.Linear or type(mlp.lin2) is not nn.Linear:
        return False  # a method's own, which may want the whole grid
    return not (torch.is_grad_enabled() and any(parameter.requires_grad for parameter in mlp.parameters()))


class _Strips(torch.autograd.Function):
    """The MLP where a gradient passes it; the first linear's answer is kept, as plain autograd would."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, mlp: Any) -> Tensor:
        """(N, C) -> (N, C)."""
        hidden = mlp.lin1(tokens)
        ctx.save_for_backward(hidden)
        ctx.mlp, ctx.dtype = mlp, tokens.dtype
        return torch.cat([mlp.lin2(mlp.act(strip)) for strip in torch.split(hidden, STRIP)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Push the gradient back through a strip at a time."""
        (hidden,) = ctx.saved_tensors
        kind = hidden.dtype  # under autocast what the products were computed in, else the weights' own
        first, second = (linear.weight.to(kind) for linear in (ctx.mlp.lin1, ctx.mlp.lin2))
        strips = zip(torch.split(hidden, STRIP), torch.split(gradient, STRIP), strict=True)
        found = torch.cat([_through(ctx.mlp.act, h, g.to(kind) @ second) @ first for h, g in strips])
        return found.to(ctx.dtype), None


def _through(act: Any, hidden: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of the activation's input."""
    with torch.enable_grad():
        hidden = hidden.detach().requires_grad_()
        (found,) = torch.autograd.grad(act(hidden), hidden, gradient)
    return found
