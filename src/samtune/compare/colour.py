"""A logistic regression on blurred colour: what can be had from the labelled images without any network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from samtune.data import view
from samtune.methods import Probe, fit_probe
from samtune.types import ImageSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data import Dataset

COLOUR_SPEC = ImageSpec(image_size=256, patch=8, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
"""ImageNet's mean and standard deviation."""

SIGMAS_PX = (2, 6, 16)
"""Blurs in pixels of the 256-pixel square; the pixel as it is makes a fourth."""


def fit_colour(dataset: Dataset, train: Sequence[int]) -> Probe:
    """Fit it on a pixel's colour at four blurs and their squares, at 128 pixels.

    Args:
        dataset: images and masks.
        train: indices of the images to learn from.

    Returns:
        A probe on `colour_planes`.
    """
    planes, labels = [], []
    for index in train:
        pixels, label, _ = view(
            dataset.image(index), dataset.labels(index), COLOUR_SPEC, augmentation=None, seed=0, index=0
        )
        planes.append(colour_planes(pixels))
        labels.append(label)
    return fit_probe(F.avg_pool2d(torch.stack(planes), 2), torch.stack(labels), dataset.num_classes)


def colour_planes(pixels: Tensor) -> Tensor:
    """Prepared pixels (3, S, S) -> (24, S, S): each channel at four blurs, and the squares."""
    image = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    blurs = [image, *(cv2.GaussianBlur(image, (0, 0), sigma) for sigma in SIGMAS_PX)]
    planes = torch.from_numpy(np.concatenate(blurs, axis=2)).permute(2, 0, 1)
    return torch.cat([planes, planes.square()])
