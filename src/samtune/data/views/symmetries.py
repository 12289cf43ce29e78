"""The eight symmetries of a square, applied to an image and undone on what was predicted for it.

Number s of 0..7: the image mirrored left-right where s >= 4, then turned anticlockwise by s mod 4 quarters. 0 is the
image as it is.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from samtune.types import Averaging

SYMMETRIES: dict[Averaging, tuple[int, ...]] = {"none": (0,), "mirror": (0, 4), "d4": tuple(range(8))}
"""The numbers of the views that are averaged; an image is encoded once for each."""

IN_WORDS: dict[Averaging, str] = {
    "none": "the image as it is",
    "mirror": "the image and its left-right mirror",
    "d4": "the eight flips and quarter turns of each image",
}
"""What is averaged, as the end of a sentence."""


def turned(image: np.ndarray, symmetry: int) -> np.ndarray:
    """The image (H, W, ..) under a symmetry: (H, W, ..), or (W, H, ..) where the number is odd."""
    image = image[:, ::-1] if symmetry >= 4 else image
    return np.ascontiguousarray(np.rot90(image, symmetry % 4))


def turned_back(planes: Tensor, symmetry: int) -> Tensor:
    """Planes (.., H', W') of a turned image as those of the image itself."""
    planes = torch.rot90(planes, -(symmetry % 4), (-2, -1))
    return planes.flip(-1) if symmetry >= 4 else planes
