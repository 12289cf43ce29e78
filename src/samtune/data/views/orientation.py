"""Whether masks tell up from down: scenes that stand upright lose by being turned in training, others gain.

    a_i  shares of the classes and the background of image i on a 24 x 24 grid, each centred on its mean
    m_i  mean of those of all other images, mirrored left-right and as they are
    g_i  = corr(a_i, m_i) - corr(a_i upside down, m_i)

An image whose classes lie as those of the other images do, and do not when it is turned upside down, has a positive
g_i. Upright is said where the mean of g_i is at least .05 and so large by chance at most once in a hundred: if up and
down were the same, each g_i might as well have the other sign (a sign-flip test, Fisher 1935; exact up to 13 images,
else 10,000 draws). The measure is ours. Seven images are the fewest that can pass. Labels alone are looked at: what
images show besides, a caption in a corner for example, says nothing of the object.

What it finds on real sets stands in `docs/design/orientation.md`.
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
"""Rows and columns that a label map is looked at in."""

LEAST_GAP = 0.05
"""Of the mean of g_i: below it an orientation, however sure, is too weak to matter."""

LARGEST_CHANCE = 0.01
"""Of so large a mean without any orientation."""

MOST_IMAGES = 200
"""So many images, evenly drawn, are looked at."""

EXACT = 13
"""Up to so many images all signs are tried."""


@dataclass(frozen=True)
class Orientation:
    """What the masks of some images say.

    Attributes:
        num_images: looked at, those without anything to compare left out.
        gap: mean over images of how much more an image is like the others as it is than upside down, -2..2; 0 for none.
        chance: probability of so large a gap if up and down were the same, 0..1; 1 where nothing could be compared.
    """

    num_images: int
    gap: float
    chance: float

    @property
    def upright(self) -> bool:
        """Whether the masks tell up from down."""
        return self.gap >= LEAST_GAP and self.chance <= LARGEST_CHANCE


def find_orientation(dataset: Dataset, indices: Sequence[int]) -> Orientation:
    """Look at the masks of some images; reads at most `MOST_IMAGES` of them.

    Args:
        dataset: images and masks.
        indices: which of them, in any order.
    """
    chosen = sorted(indices)
    step = -(-len(chosen) // MOST_IMAGES) or 1
    planes = [class_planes(dataset.labels(index), len(dataset.class_names)) for index in chosen[::step]]
    return orientation_of(np.stack(planes)) if planes else Orientation(0, 0.0, 1.0)


def class_planes(labels: NDArray[np.uint8], num_classes: int) -> NDArray[np.float32]:
    """Shares of the background and the K classes: label map (H, W) -> (K + 1, 24, 24); ignored pixels are of none."""
    size = (GRID, GRID)
    return np.stack(
        [
            cv2.resize((labels == label).astype(np.float32), size, interpolation=cv2.INTER_AREA)
            for label in range(num_classes + 1)
        ]
    )


def orientation_of(planes: NDArray[np.float32]) -> Orientation:
    """The same from the planes of all images.

    Args:
        planes: (N, K + 1, 24, 24), of `class_planes`.
    """
    gaps = gaps_of(planes)
    if not len(gaps):
        return Orientation(0, 0.0, 1.0)
    return Orientation(len(gaps), float(gaps.mean()), _chance(gaps))


def gaps_of(planes: NDArray[np.float32]) -> NDArray[np.float64]:
    """g_i of each image that can be compared: (N, K + 1, 24, 24) -> (M,), M <= N, each -2..2."""
    both_ways = (planes + planes[..., ::-1]) / 2
    total = both_ways.sum(0)
    gaps = []
    for own, counted in zip(planes, both_ways, strict=True):
        image, others = _centred(own), _centred(total - counted)
        size = float(np.sqrt((image**2).sum() * (others**2).sum()))
        if size > 0:
            gaps.append(float((image * others).sum() - (image[:, ::-1] * others).sum()) / size)
    return np.array(gaps)


def _centred(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without each plane's mean, so that how much there is of a class plays no part."""
    centred: NDArray[np.float32] = planes - planes.mean((1, 2), keepdims=True)
    return centred


def _chance(gaps: NDArray[np.float64]) -> float:
    """The share of the choices of signs under which the mean is as large or larger."""
    if len(gaps) <= EXACT:
        signs = np.array(list(product((-1, 1), repeat=len(gaps))))
    else:
        signs = np.random.default_rng(0).choice((-1, 1), (10_000, len(gaps)))
        signs[0] = 1  # the choice that was seen is one of them
    return float((signs @ gaps >= gaps.sum() - 1e-9).mean())
