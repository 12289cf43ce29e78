"""Agreement of outlines against loops written from the definitions, and against DAVIS's own outline."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from samtune.metrics.contour import boundary_f_measure, default_tolerance, hausdorff95, outline
from tests.metrics.cases import CASES

Mask = NDArray[np.bool_]


def naive_outline(mask: list[list[bool]]) -> list[tuple[int, int]]:
    def there(i: int, j: int) -> bool:
        return 0 <= i < len(mask) and 0 <= j < len(mask[0]) and mask[i][j]

    return [
        (i, j)
        for i in range(len(mask))
        for j in range(len(mask[0]))
        if mask[i][j] and not all(there(i + a, j + b) for a, b in ((0, 1), (1, 0), (0, -1), (-1, 0)))
    ]


def naive_gaps(a: list[tuple[int, int]], b: list[tuple[int, int]], spacing: tuple[float, float]) -> list[float]:
    """From each place of `a` to the nearest of `b`."""
    return [min(math.hypot((i - k) * spacing[0], (j - m) * spacing[1]) for k, m in b) for i, j in a]


def naive_percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.5), (2.0, 0.7)])
def test_outlines_follow_their_definitions(spacing: tuple[float, float]) -> None:
    for case in CASES:
        ours, theirs = case.predicted == 1, case.target == 1
        a, b = naive_outline(ours.tolist()), naive_outline(theirs.tolist())
        assert [(int(i), int(j)) for i, j in np.argwhere(outline(ours))] == a
        found_f, found_hd = boundary_f_measure(ours, theirs, 1.5, spacing), hausdorff95(ours, theirs, spacing)
        if not a or not b:
            assert found_f == float(a == b)
            assert found_hd == (0.0 if a == b else None)
            continue
        there, back = naive_gaps(a, b, spacing), naive_gaps(b, a, spacing)
        precision = sum(gap <= 1.5 for gap in there) / len(there)
        recall = sum(gap <= 1.5 for gap in back) / len(back)
        expected = 2 * precision * recall / (precision + recall) if precision + recall else 0
        assert found_f == pytest.approx(expected)
        assert found_hd == pytest.approx(max(naive_percentile(there, 0.95), naive_percentile(back, 0.95)))


def test_the_tolerance_is_a_share_of_the_diagonal_rounded_up() -> None:
    assert default_tolerance((480, 640)) == 7
    assert default_tolerance((10, 10)) == 1


def davis_outline(mask: Mask) -> Mask:
    """DAVIS's `seg2bmap`: a pixel whose right, lower or lower right neighbour in the image is on the other side."""
    high, wide = mask.shape
    found = np.zeros_like(mask)
    for row in range(high):
        for col in range(wide):
            for down, right in ((0, 1), (1, 0), (1, 1)):
                if row + down < high and col + right < wide:
                    found[row, col] |= mask[row + down, col + right] != mask[row, col]
    return found


def davis_f(predicted: Mask, target: Mask) -> float:
    """Shares of outline pixels with one of the other's within the tolerance, without distance transforms."""
    reach = math.ceil(0.008 * math.hypot(*target.shape))
    places = [np.argwhere(davis_outline(mask)) for mask in (predicted, target)]
    if not len(places[0]) or not len(places[1]):
        return float(len(places[0]) == len(places[1]))
    apart = np.linalg.norm(places[0][:, None] - places[1][None], axis=2)
    precision, recall = (float((apart.min(axis) <= reach).mean()) for axis in (1, 0))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def rectangle(rows: slice, columns: slice) -> Mask:
    mask = np.zeros((60, 80), bool)
    mask[rows, columns] = True
    return mask


def test_boundary_f_counts_the_edges_of_the_image_which_daviss_does_not() -> None:
    """As docs/metrics.md says: near DAVIS's inside the image, higher where objects touch its edge."""
    inside, shifted = rectangle(slice(20, 40), slice(20, 50)), rectangle(slice(20, 40), slice(23, 53))
    assert boundary_f_measure(shifted, inside) == pytest.approx(davis_f(shifted, inside), abs=0.05)
    whole = rectangle(slice(None), slice(None))
    assert outline(whole)[0].all()
    assert not davis_outline(whole).any()
    left, wider = rectangle(slice(None), slice(0, 40)), rectangle(slice(None), slice(0, 50))
    assert davis_f(wider, left) == 0, "the one border inside the image is 10 pixels off"
    assert boundary_f_measure(wider, left) > 0.6, "the three edges of the image agree"
