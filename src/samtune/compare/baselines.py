"""Baselines that learn from the labelled images without SAM: a regression on blurred colour, and a small U-Net."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samtune.data import Augmentation, view
from samtune.methods import Probe, fit_probe
from samtune.types import ImageSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data import Dataset
    from samtune.tasks import Task

COLOUR_SPEC = ImageSpec(image_size=256, patch=8, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
"""Input of the regression, normalized by ImageNet's mean and standard deviation."""

SIGMAS_PX = (2, 6, 16)
"""Standard deviations of the Gaussian blurs, in pixels of the 256-pixel square; the unblurred pixel is used too."""


def fit_colour(dataset: Dataset, train: Sequence[int], task: Task) -> Probe:
    """Fit a logistic regression on a pixel's colour, unblurred and at three blurs, and the squares, at 128 pixels.

    Args:
        dataset: images and masks.
        train: indices of the images to learn from.
        task: what is learned of the masks.

    Returns:
        A probe on `colour_planes`.
    """
    planes, annotations = [], []
    for index in train:
        pixels, annotation, _ = view(
            dataset.image(index), task.annotation(dataset, index), COLOUR_SPEC, augmentation=None, seed=0, index=0
        )
        planes.append(colour_planes(pixels))
        annotations.append(annotation)
    labels = task.label_maps(torch.stack(annotations))
    return fit_probe(F.avg_pool2d(torch.stack(planes), 2), labels, task.num_maps(dataset.num_classes))


def colour_planes(pixels: Tensor) -> Tensor:
    """Return prepared pixels (3, S, S) as (24, S, S): each channel unblurred and at three blurs, and the squares."""
    image = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    blurs = [image, *(cv2.GaussianBlur(image, (0, 0), sigma) for sigma in SIGMAS_PX)]
    planes = torch.from_numpy(np.concatenate(blurs, axis=2)).permute(2, 0, 1)
    return torch.cat([planes, planes.square()])


UNET_SPEC = ImageSpec(image_size=128, patch=8, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
"""Input of the U-Net, normalized by ImageNet's mean and standard deviation."""

BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 4, 2e-3, 1e-2
WIDTHS = (16, 32, 64, 96, 128)


class UNet(nn.Module):
    """U-Net of five levels, 16 to 128 channels, batch norm; (B, 3, S, S) -> (B, K, S, S), S a multiple of 16.

    Source: Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015, arXiv 1505.04597; widths, resolution and recipe are ours,
    chosen so that it trains in a minute on a CPU.

    Args:
        num_classes: K.
    """

    def __init__(self, num_classes: int = 1) -> None:
        super().__init__()
        self.down = nn.ModuleList(_double_conv(a, b) for a, b in zip((3, *WIDTHS[:-1]), WIDTHS, strict=True))
        self.up = nn.ModuleList(_double_conv(a + b, b) for a, b in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.head = nn.Conv2d(WIDTHS[0], num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits at the input's resolution."""
        skips = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], 1))
        logits: Tensor = self.head(x)
        return logits


def _double_conv(num_in: int, num_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for num in (num_in, num_out):
        layers += [nn.Conv2d(num, num_out, 3, padding=1, bias=False), nn.BatchNorm2d(num_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def train_unet(
    dataset: Dataset,
    train: Sequence[int],
    task: Task,
    *,
    seed: int,
    updates: int = 300,
    device: torch.device | str = "cpu",
) -> UNet:
    """Train a U-Net: batches of 4 augmented views at 128 pixels, AdamW 2e-3, the task's own loss.

    Args:
        dataset: images and masks.
        train: indices of the images to learn from.
        task: what is learned of the masks.
        seed: seed of the initial values and of the draw of images.
        updates: optimiser steps.
        device: device to train on.

    Returns:
        The trained network in eval mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = UNet(task.num_maps(dataset.num_classes))
    model, rng = model.to(device), np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    total = max(updates, 30)  # OneCycleLR divides by zero where the warm-up is shorter than a step
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=total, pct_start=0.05)
    images = {index: (dataset.image(index), task.annotation(dataset, index)) for index in train}
    loss_name = task.loss_name("auto", dataset.num_classes)
    for step in range(updates):
        batch = [
            view(*images[train[i]], UNET_SPEC, augmentation=Augmentation(), seed=int(i), index=1 + step)
            for i in rng.choice(len(train), BATCH_SIZE)
        ]
        logits = model(torch.stack([pixels for pixels, _, _ in batch]).to(device))
        annotations = torch.stack([annotation for _, annotation, _ in batch]).to(device)
        loss = task.loss(logits, task.targets(annotations, None), loss_name)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return model.eval()
