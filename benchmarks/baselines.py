"""Two baselines that know nothing of SAM: a logistic regression on blurred colour, and a small U-Net from scratch.

Both learn from the same training images as the methods and answer with a label map of an image's own size. One class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samtune.data import Augmentation, to_input, view
from samtune.data.restore import decide, to_original
from samtune.losses import segmentation_loss
from samtune.methods import fit_probe
from samtune.types import Features, ImageSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from samtune.data import Dataset

SPEC = ImageSpec(side=256, patch=8)


def blurred_colour(dataset: Dataset, train: Sequence[int]) -> Callable[[np.ndarray], np.ndarray]:
    """Logistic regression on a pixel's colour at four blurs (0, 2, 6, 16 pixels of 256) and their squares."""
    planes, labels = [], []
    for index in train:
        pixels, label, _ = view(dataset.image(index), dataset.labels(index), SPEC, augmentation=None, seed=0, index=0)
        planes.append(_colour_planes(pixels))
        labels.append(label)
    probe = fit_probe(F.avg_pool2d(torch.stack(planes), 2), torch.stack(labels), 1)

    def predict(image: np.ndarray) -> np.ndarray:
        pixels, geometry = to_input(image, SPEC)
        logits = probe.logits(Features(_colour_planes(pixels)[None]))[0]
        return decide(to_original(logits, geometry)).numpy()

    return predict


def _colour_planes(pixels: Tensor) -> Tensor:
    """(3, S, S) -> (24, S, S)."""
    image = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    blurs = [image, *(cv2.GaussianBlur(image, (0, 0), sigma) for sigma in (2, 6, 16))]
    planes = torch.from_numpy(np.concatenate(blurs, axis=2)).permute(2, 0, 1)
    return torch.cat([planes, planes.square()])


class UNet(nn.Module):
    """Five levels, 16 to 128 channels, batch norm; (B, 3, S, S) -> (B, 1, S, S)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64, 96, 128)
        self.down = nn.ModuleList(_double(a, b) for a, b in zip((3, *widths[:-1]), widths, strict=True))
        self.up = nn.ModuleList(_double(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.head = nn.Conv2d(widths[0], 1, 1)

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


def unet(
    dataset: Dataset, train: Sequence[int], *, seed: int, updates: int = 300
) -> Callable[[np.ndarray], np.ndarray]:
    """A U-Net from random weights: 300 updates of 4 augmented views at 128 pixels, AdamW 2e-3, BCE + Dice."""
    spec = ImageSpec(side=128, patch=8)
    torch.manual_seed(seed)
    model, draw = UNet(), np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=updates, pct_start=0.05)
    images = {index: (dataset.image(index), dataset.labels(index)) for index in train}
    for step in range(updates):
        chosen = draw.choice(len(train), 4)
        parts = [
            view(*images[train[i]], spec, augmentation=Augmentation(), seed=int(i), index=1 + step) for i in chosen
        ]
        logits = model(torch.stack([pixels for pixels, _, _ in parts]))
        loss = segmentation_loss(logits, torch.stack([labels for _, labels, _ in parts]))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    model.eval()

    def predict(image: np.ndarray) -> np.ndarray:
        pixels, geometry = to_input(image, spec)
        with torch.inference_mode():
            return decide(to_original(model(pixels[None])[0], geometry)).numpy()

    return predict
