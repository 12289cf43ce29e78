"""Optimisers: AdamW, and Muon (orthogonalised momentum) for the inner matrices with AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

INNER = ("layers.", "hypernetworks", "attn", "upscale", "neck.conv", "iou_prediction_head.layers")


@torch.no_grad()
def orthogonalised(matrix: Tensor, steps: int = 5, half: bool = False) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly (singular values 0.7-1.2), by five Newton-Schulz steps.

    `half` computes in bfloat16, whose rounding is small beside the method's own error.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    x = x.bfloat16() if half else x
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.T if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised per matrix, scaled so that AdamW's learning rates fit (0.2 sqrt(longer side))."""

    def __init__(self, params: list[nn.Parameter], lr: float, half: bool = False) -> None:
        super().__init__(params, {"lr": lr, "momentum": 0.95, "decay": 0.05, "half": half})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every matrix; convolutions count as (out, in x taps), stacked qkv as three matrices."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                average = state.setdefault("average", torch.zeros_like(weight))
                average.lerp_(weight.grad, 1 - group["momentum"])
                flat = weight.grad.lerp(average, group["momentum"]).flatten(1)
                parts = flat.chunk(3) if flat.shape[0] == 3 * flat.shape[1] else (flat,)
                turned = [orthogonalised(p, half=group["half"]) * (0.2 * max(p.shape) ** 0.5) for p in parts]
                weight.mul_(1 - group["lr"] * group["decay"])
                weight.sub_(torch.cat(turned).view_as(weight), alpha=group["lr"])


def optimisers(
    named: dict[str, nn.Parameter], lr: float, use_muon: bool, half: bool = False
) -> list[torch.optim.Optimizer]:
    """Build them; weight decay 0.05 on matrices, none on embeddings, norms and biases."""
    matrices = {n for n, p in named.items() if p.ndim > 1 and "embed" not in n and "token.w" not in n}
    inner = {n for n in matrices if use_muon and any(part in n for part in INNER) and min(named[n].shape) > 1}
    rest = matrices - inner
    groups = [
        {"params": [named[n] for n in named if n in rest], "weight_decay": 0.05},
        {"params": [named[n] for n in named if n not in matrices], "weight_decay": 0.0},
    ]
    built: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), fused=True)]
    if inner:
        built.append(Muon([named[n] for n in named if n in inner], lr, half))
    return built
