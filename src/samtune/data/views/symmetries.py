"""The eight symmetries of a square, applied to an image and inverted on its prediction.

Symmetry s of 0..7 mirrors left-right if s >= 4, then rotates anticlockwise by s mod 4 quarter turns; 0 is the identity.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from samtune.types import Averaging

SYMMETRIES: dict[Averaging, tuple[int, ...]] = {"none": (0,), "mirror": (0, 4), "d4": tuple(range(8))}
"""Symmetries that are averaged; an image is encoded once for each."""

IN_WORDS: dict[Averaging, str] = {
    "none": "the image as it is",
    "mirror": "the image and its left-right mirror",
    "d4": "the eight flips and quarter turns of each image",
}
"""Descriptions of what is averaged, to end a sentence."""


def apply_symmetry(image: np.ndarray, symmetry: int) -> np.ndarray:
    """Return an image (H, W, ..) under a symmetry: (H, W, ..), or (W, H, ..) for a symmetry of odd number."""
    image = image[:, ::-1] if symmetry >= 4 else image
    return np.ascontiguousarray(np.rot90(image, symmetry % 4))


def undo_symmetry(planes: Tensor, symmetry: int) -> Tensor:
    """Return planes (.., H', W') predicted from an image under a symmetry, in the frame of the image: (.., H, W)."""
    planes = torch.rot90(planes, -(symmetry % 4), (-2, -1))
    return planes.flip(-1) if symmetry >= 4 else planes
