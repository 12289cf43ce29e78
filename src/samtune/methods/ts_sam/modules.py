"""The three parts of TS-SAM: side adapter, refinement, fusion decoder. Maps are (B, channels, H, W) throughout.

    U_k(z) = relu(norm(Conv_k x k(z)))        norm: over the batch (`paper`), or over each image alone

    SideAdapter     u = U_1(s),  m = x + u,  s' = U_1(m)
    Refinement      c = U_1(x),  f2 = G(up(c)),  f1 = G'(up(up'(c))),    G(z) = z * tanh(W2 relu(W1 z))
    FusionDecoder   twice:  y = U_3([y; pool(U_3(c))]),  y = U_3([up2(y); c]);   then a 1 x 1 convolution

In these modules, the default differs from the published form in `norm`, and in `up2` by half a pixel.
Source: Yu et al., arXiv 2408.01835, and its public code (TS-SAM edd171c).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def norm(channels: int, *, paper: bool) -> nn.Module:
    """Return BatchNorm as published, else GroupNorm with at most 32 groups, of at least four channels if possible.

    A group of one channel would cancel every bias ahead of it, as BatchNorm does.
    """
    if paper:
        return nn.BatchNorm2d(channels)
    groups = next(number for number in range(min(32, max(1, channels // 4)), 0, -1) if channels % number == 0)
    return nn.GroupNorm(groups, channels)


def unit(convolution: nn.Conv2d | nn.ConvTranspose2d, *, paper: bool) -> nn.Sequential:
    """Return convolution, norm and ReLU; initialises a plain convolution with bias as published (see `_fan_out`)."""
    if isinstance(convolution, nn.Conv2d) and convolution.bias is not None:
        _fan_out(convolution)
    return nn.Sequential(convolution, norm(convolution.out_channels, paper=paper), nn.ReLU())


def _fan_out(convolution: nn.Conv2d) -> None:
    """Draw weights from N(0, 2 / (k^2 out)), set the bias to 0. Other convolutions keep PyTorch's, as published."""
    assert convolution.bias is not None
    area = convolution.kernel_size[0] * convolution.kernel_size[1]
    nn.init.normal_(convolution.weight, std=(2 / (area * convolution.out_channels)) ** 0.5)
    nn.init.zeros_(convolution.bias)


class SideAdapter(nn.Module):
    """Side adapter: adds the side stream to the main stream, and computes the next side stream from the sum.

    Args:
        main: X, channels of the main stream.
        side: S, input channels of the side stream.
        out: output channels of the side stream.
        paper: BatchNorm instead of GroupNorm.
    """

    def __init__(self, main: int, side: int, out: int, *, paper: bool) -> None:
        super().__init__()
        self.inject = unit(nn.Conv2d(side, main, 1), paper=paper)
        self.collect = unit(nn.Conv2d(main, out, 1), paper=paper)

    def forward(self, main: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
        """Main (B, X, H, W) and side (B, S, H, W) -> side (B, out, H, W), main (B, X, H, W)."""
        main = main + self.inject(side)
        return self.collect(main), main


class Gate(nn.Module):
    """z * tanh(W2 relu(W1 z)), for each pixel over the channels; no biases.

    Args:
        channels: of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Conv2d(channels, channels, 1, bias=False)
        self.outer = nn.Conv2d(channels, channels, 1, bias=False)
        for layer in (self.inner, self.outer):
            nn.init.trunc_normal_(layer.weight, std=0.02)

    def forward(self, planes: Tensor) -> Tensor:
        """(B, h, H, W) -> (B, h, H, W)."""
        gated: Tensor = planes * self.outer(self.inner(planes).relu()).tanh()
        return gated


class Refinement(nn.Module):
    """Multi-scale refinement: a map of the encoder at twice and at four times its grid.

    Args:
        main: X, channels of the map.
        hidden: h, output channels.
        paper: BatchNorm in place of GroupNorm.
    """

    def __init__(self, main: int, hidden: int, *, paper: bool) -> None:
        super().__init__()
        self.squeeze = unit(nn.Conv2d(main, hidden, 1), paper=paper)
        self.fourfold = nn.Sequential(*(unit(_doubling(hidden), paper=paper) for _ in range(2)))
        self.twofold = unit(_doubling(hidden), paper=paper)
        self.gates = nn.ModuleList(Gate(hidden) for _ in range(2))

    def forward(self, main: Tensor) -> tuple[Tensor, Tensor]:
        """(B, X, H, W) -> (B, h, 4 H, 4 W) and (B, h, 2 H, 2 W)."""
        squeezed = self.squeeze(main)
        return self.gates[0](self.fourfold(squeezed)), self.gates[1](self.twofold(squeezed))


def _doubling(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 2, stride=2)


class Fusion(nn.Module):
    """One stage of the decoder: combines a coarse map with one of twice its grid, before and after enlarging it.

    Args:
        hidden: h.
        paper: BatchNorm in place of GroupNorm, and the published enlargement.
    """

    def __init__(self, hidden: int, *, paper: bool) -> None:
        super().__init__()
        self.paper = paper
        self.fine = _three(hidden, hidden, paper=paper)
        self.coarse = _three(2 * hidden, hidden, paper=paper)
        self.merged = _three(2 * hidden, hidden, paper=paper)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Coarse (B, h, H, W) and fine (B, h, 2 H, 2 W) -> (B, h, 2 H, 2 W)."""
        own = self.fine(fine)
        pooled = F.max_pool2d(own, 2) + F.avg_pool2d(own, 2)
        mixed = self.coarse(torch.cat([coarse, pooled], dim=1))
        # The published align_corners shifts the map against the skip connection by up to half a pixel.
        mixed = F.interpolate(mixed, scale_factor=2, mode="bilinear", align_corners=self.paper)
        merged: Tensor = self.merged(torch.cat([mixed, fine], dim=1))
        return merged


class FusionDecoder(nn.Module):
    """Feature fusion decoder: the side stream and the two refined maps become logits in two stages.

    Args:
        side: channels of the side stream after the neck.
        hidden: h, channels of the refined maps.
        num_classes: K.
        paper: as published; see `Fusion`.
    """

    def __init__(self, side: int, hidden: int, num_classes: int, *, paper: bool) -> None:
        super().__init__()
        self.enter = _three(side, hidden, paper=paper)
        self.stages = nn.ModuleList(Fusion(hidden, paper=paper) for _ in range(2))
        self.logits = nn.Conv2d(hidden, num_classes, 1)

    def forward(self, side: Tensor, twofold: Tensor, fourfold: Tensor) -> Tensor:
        """(B, side, H, W), (B, h, 2 H, 2 W), (B, h, 4 H, 4 W) -> logits (B, K, 4 H, 4 W)."""
        mixed = self.enter(side)
        for stage, fine in zip(self.stages, (twofold, fourfold), strict=True):
            mixed = stage(mixed, fine)
        logits: Tensor = self.logits(mixed)
        return logits


def _three(inputs: int, outputs: int, *, paper: bool) -> nn.Sequential:
    return unit(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), paper=paper)
