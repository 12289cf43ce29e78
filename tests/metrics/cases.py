"""Small random and degenerate cases that all measures share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samtune.types import IGNORE

NUM_RANDOM = 200


@dataclass(frozen=True, eq=False)
class Small:
    """A map of one class with its mask."""

    foreground: NDArray[np.float64]
    target: NDArray[np.uint8]

    @property
    def predicted(self) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = (self.foreground > 0.5).astype(np.uint8)
        return found


def blobs(rng: np.random.Generator, size_hw: tuple[int, int], num: int) -> NDArray[np.uint8]:
    """Rectangles, so that masks are no mere noise."""
    mask = np.zeros(size_hw, np.uint8)
    for _ in range(num):
        top, left = rng.integers(0, size_hw[0]), rng.integers(0, size_hw[1])
        mask[top : top + rng.integers(1, 9), left : left + rng.integers(1, 9)] = 1
    return mask


def random_case(seed: int) -> Small:
    """A mask of rectangles and a map that finds most of it, with noise; 8-bit levels, 16 to 24 pixels a side."""
    rng = np.random.default_rng(seed)
    size_hw = (int(rng.integers(16, 25)), int(rng.integers(16, 25)))
    target = blobs(rng, size_hw, int(rng.integers(1, 5)))
    near = np.where(rng.random(size_hw) < 0.85, target, blobs(rng, size_hw, 2))
    values = np.clip(near * rng.uniform(0.4, 1) + rng.normal(0, 0.15, size_hw), 0, 1)
    return Small(np.round(values * 255) / 255, target)


def degenerate_cases() -> list[Small]:
    """Empty, full, one pixel, one row, a target of one pixel, constant maps: 20 and more."""
    shapes = [(1, 1), (1, 9), (7, 1), (16, 17)]
    cases = []
    for size_hw in shapes:
        zeros, ones = np.zeros(size_hw), np.ones(size_hw)
        dot = np.zeros(size_hw)
        dot[-1, -1] = 1
        for target in (zeros, ones, dot):
            for foreground in (zeros, ones, np.full(size_hw, 0.4), dot):
                cases.append(Small(foreground.copy(), target.astype(np.uint8)))
    return cases


CASES = [random_case(seed) for seed in range(NUM_RANDOM)] + degenerate_cases()


def with_ignored(case: Small, seed: int) -> Small:
    """The same with a tenth of the target's pixels to be ignored; every fiftieth with all of them."""
    rng = np.random.default_rng(seed)
    target = case.target.copy()
    target[rng.random(target.shape) < (0.1 if seed % 50 else 1.1)] = IGNORE
    return Small(case.foreground, target)
