"""A small U-Net from random weights: what the labelled images alone teach, without SAM.

Source: Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015, arXiv 1505.04597; widths, resolution and recipe are ours,
chosen so that it trains in a minute on a processor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samtune.data import Augmentation, view
from samtune.losses import segmentation_loss
from samtune.types import ImageSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data import Dataset
    from samtune.losses import LossKind

UNET_SPEC = ImageSpec(image_size=128, patch=8, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
"""ImageNet's mean and standard deviation."""

BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 4, 2e-3, 1e-2
WIDTHS = (16, 32, 64, 96, 128)


class UNet(nn.Module):
    """Five levels, 16 to 128 channels, batch norm; (B, 3, S, S) -> (B, K, S, S), S a multiple of 16.

    Args:
        num_classes: K.
    """

    def __init__(self, num_classes: int = 1) -> None:
        super().__init__()
        self.down = nn.ModuleList(_double(a, b) for a, b in zip((3, *WIDTHS[:-1]), WIDTHS, strict=True))
        self.up = nn.ModuleList(_double(a + b, b) for a, b in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.head = nn.Conv2d(WIDTHS[0], num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits at the input's resolution."""
        kept = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            kept.append(x)
        for block, skip in zip(self.up, kept[-2::-1], strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], 1))
        logits: Tensor = self.head(x)
        return logits


def _double(inside: int, outside: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a in (inside, outside):
        layers += [nn.Conv2d(a, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def train_unet(
    dataset: Dataset, train: Sequence[int], *, seed: int, updates: int = 300, device: torch.device | str = "cpu"
) -> UNet:
    """Train it: updates of 4 augmented views at 128 pixels, AdamW 2e-3, BCE + Dice (cross-entropy for more classes).

    Args:
        dataset: images and masks.
        train: indices of the images to learn from, all of them.
        seed: of the first values and of the draw of images.
        updates: optimiser steps.
        device: where.

    Returns:
        The trained network in eval mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = UNet(dataset.num_classes)
    model, draw = model.to(device), np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    total = max(updates, 30)  # a rise shorter than a step would divide by zero
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=total, pct_start=0.05)
    images = {index: (dataset.image(index), dataset.labels(index)) for index in train}
    loss_kind: LossKind = "bce_dice" if dataset.num_classes == 1 else "ce_dice"
    for step in range(updates):
        chosen = draw.choice(len(train), BATCH_SIZE)
        parts = [
            view(*images[train[i]], UNET_SPEC, augmentation=Augmentation(), seed=int(i), index=1 + step) for i in chosen
        ]
        logits = model(torch.stack([pixels for pixels, _, _ in parts]).to(device))
        labels = torch.stack([labels for _, labels, _ in parts]).to(device)
        loss = segmentation_loss(logits, labels, loss_kind)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return model.eval()
