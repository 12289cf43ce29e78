"""Test whether masks tell up from down, because rotated views harm training on upright scenes and help on others.

    a_i  shares of the classes and the background of image i on a 24 x 24 grid, each centred on its mean
    m_i  mean of the a_j of all other images, as they are and mirrored left-right
    g_i  = corr(a_i, m_i) - corr(a_i upside down, m_i)

g_i is positive if the classes of an image lie where those of the other images do, and no longer do so upside down. A
data set is upright if the mean of g_i is at least .05 with a p-value of at most .01: if up and down were equivalent,
each g_i would be as likely to have the other sign (sign-flip test, Fisher 1935; exact for up to 13 images, else 10,000
draws). At least seven images are needed. Only labels are tested: other content of an image, such as a caption in a
corner, does not show which way up its objects are.

Results on real data sets: `docs/benchmarks/orientation.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from samtune.data.dataset import Dataset

GRID = 24
"""Rows and columns to which a label map is reduced."""

MIN_DIFFERENCE = 0.05
"""Smallest mean of g_i that counts as upright; a weaker orientation does not matter, however significant."""

MAX_P_VALUE = 0.01
"""Largest p-value: the probability of so large a mean without any orientation."""

MAX_IMAGES = 200
"""Largest number of images that are read, evenly spaced."""

MAX_EXACT = 13
"""Largest number of images for which all combinations of signs are enumerated."""


@dataclass(frozen=True)
class Orientation:
    """The result of the test.

    Attributes:
        num_images: number of images with a g_i; images whose classes do not vary over the grid have none.
        mean_difference: mean of g_i, -2..2; 0 without images.
        p_value: probability of so large a mean if up and down were equivalent, 0..1; 1 without images.
    """

    num_images: int
    mean_difference: float
    p_value: float

    @property
    def upright(self) -> bool:
        """Whether the masks tell up from down."""
        return self.mean_difference >= MIN_DIFFERENCE and self.p_value <= MAX_P_VALUE


def find_orientation(dataset: Dataset, indices: Sequence[int]) -> Orientation:
    """Test the masks of some images; reads at most `MAX_IMAGES` of them.

    Args:
        dataset: images and masks.
        indices: the images to test, in any order.
    """
    step = -(-len(indices) // MAX_IMAGES) or 1
    planes = [class_planes(dataset.labels(index), len(dataset.class_names)) for index in sorted(indices)[::step]]
    return orientation_of(np.stack(planes)) if planes else Orientation(0, 0.0, 1.0)


def class_planes(labels: NDArray[np.uint8], num_classes: int) -> NDArray[np.float32]:
    """Return the shares of background and classes in each grid cell: label map (H, W) -> (K + 1, 24, 24), in 0..1.

    Ignored pixels belong to none of them.
    """
    size = (GRID, GRID)
    return np.stack(
        [
            cv2.resize((labels == label).astype(np.float32), size, interpolation=cv2.INTER_AREA)
            for label in range(num_classes + 1)
        ]
    )


def orientation_of(planes: NDArray[np.float32]) -> Orientation:
    """Test the class planes of all images.

    Args:
        planes: (N, K + 1, 24, 24), from `class_planes`.
    """
    differences = differences_of(planes)
    if not len(differences):
        return Orientation(0, 0.0, 1.0)
    return Orientation(len(differences), float(differences.mean()), _p_value(differences))


def differences_of(planes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return g_i of each image that can be compared: (N, K + 1, 24, 24) -> (M,), M <= N, each in -2..2."""
    symmetrised = (planes + planes[..., ::-1]) / 2
    total = symmetrised.sum(0)
    differences = []
    for own, in_total in zip(planes, symmetrised, strict=True):
        image, others = _centred(own), _centred(total - in_total)
        norm = float(np.sqrt((image**2).sum() * (others**2).sum()))
        if norm > 0:
            differences.append(float((image * others).sum() - (image[:, ::-1] * others).sum()) / norm)
    return np.array(differences)


def _centred(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract each plane's mean, so that the amount of a class does not count."""
    centred: NDArray[np.float32] = planes - planes.mean((1, 2), keepdims=True)
    return centred


def _p_value(differences: NDArray[np.float64]) -> float:
    """Return the share of the combinations of signs under which the mean is at least as large."""
    if len(differences) <= MAX_EXACT:
        signs = np.array(list(product((-1, 1), repeat=len(differences))))
    else:
        signs = np.random.default_rng(0).choice((-1, 1), (10_000, len(differences)))
        signs[0] = 1  # the observed combination is one of them
    return float((signs @ differences >= differences.sum() - 1e-9).mean())
