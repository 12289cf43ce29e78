"""Equality of results that come from floating-point numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

NEAR_THE_THRESHOLD = 1e-3
"""The share of pixels that may differ: another batch size, layout or processor moves probabilities in the last bits,
and one that lies at the threshold to the other side."""


def assert_same_labels(found: np.ndarray, expected: np.ndarray) -> None:
    """Hold a label map that was thresholded against another of the same image."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    differing = float((found != expected).mean())
    assert differing <= NEAR_THE_THRESHOLD, f"{differing:.2%} of the pixels differ"
