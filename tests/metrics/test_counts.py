"""Counts and their scores against loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from samtune.errors import ShapeError
from samtune.metrics import count, dice, iou, precision, recall
from samtune.types import IGNORE

Map = NDArray[np.uint8]


def naive(predicted: Map, target: Map, label: int) -> tuple[int, int, int]:
    tp = fp = fn = 0
    for row_p, row_t in zip(predicted.tolist(), target.tolist(), strict=True):
        for p, t in zip(row_p, row_t, strict=True):
            if t == IGNORE:
                continue
            tp += p == label and t == label
            fp += p == label and t != label
            fn += p != label and t == label
    return tp, fp, fn


def random_pair(seed: int) -> tuple[Map, Map, int]:
    rng = np.random.default_rng(seed)
    num_classes = int(rng.integers(1, 5))
    size_hw = tuple(rng.integers(1, 12, size=2))
    target = rng.integers(0, num_classes + 1, size=size_hw).astype(np.uint8)
    predicted = np.where(rng.random(size_hw) < 0.6, target, rng.integers(0, num_classes + 1, size=size_hw))
    target[rng.random(size_hw) < 0.1] = IGNORE
    predicted[predicted == IGNORE] = 0
    return predicted.astype(np.uint8), target, num_classes


def degenerate_pairs() -> list[tuple[Map, Map, int]]:
    def full(value: int, *size_hw: int) -> Map:
        return np.full(size_hw, value, dtype=np.uint8)

    pairs = []
    for num_classes in (1, 3):
        for size_hw in ((1, 1), (4, 5)):
            for predicted, target in ((0, 0), (1, 1), (0, 1), (1, 0), (1, IGNORE)):
                pairs.append((full(predicted, *size_hw), full(target, *size_hw), num_classes))
    return pairs


CASES = [random_pair(seed) for seed in range(200)] + degenerate_pairs()


def test_there_are_twenty_degenerate_cases() -> None:
    assert len(degenerate_pairs()) == 20


def test_counts_and_scores_agree_with_loops_over_pixels() -> None:
    for predicted, target, num_classes in CASES:
        counts = count(predicted, target, num_classes)
        for index in range(num_classes):
            tp, fp, fn = naive(predicted, target, index + 1)
            assert (counts.tp[index], counts.fp[index], counts.fn[index]) == (tp, fp, fn)
            nowhere = tp + fp + fn == 0
            assert iou(counts)[index] == pytest.approx(1 if nowhere else tp / (tp + fp + fn))
            assert dice(counts)[index] == pytest.approx(1 if nowhere else 2 * tp / (2 * tp + fp + fn))
            assert precision(counts)[index] == pytest.approx(tp / (tp + fp) if tp + fp else float(nowhere))
            assert recall(counts)[index] == pytest.approx(tp / (tp + fn) if tp + fn else float(nowhere))
            assert counts.present[index] == (not nowhere)


def test_counts_are_int64_of_one_entry_a_class() -> None:
    counts = count(np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8), 7)
    for values in (counts.tp, counts.fp, counts.fn):
        assert values.dtype == np.int64
        assert values.shape == (7,)


def test_counts_of_two_images_add_up_to_those_of_both_side_by_side() -> None:
    (p1, t1, _), (p2, t2, _) = random_pair(1), random_pair(1)
    both = count(np.hstack([p1, p2]), np.hstack([t1, t2]), 4)
    added = count(p1, t1, 4) + count(p2, t2, 4)
    np.testing.assert_array_equal(both.tp, added.tp)
    np.testing.assert_array_equal(both.fp, added.fp)
    np.testing.assert_array_equal(both.fn, added.fn)


@pytest.mark.parametrize(
    ("predicted", "target", "num_classes", "words"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 1, "one shape"),
        (np.zeros((1, 2, 3), np.uint8), np.zeros((1, 2, 3), np.uint8), 1, "label map"),
        (np.zeros((2, 3)), np.zeros((2, 3)), 1, "float64"),
        (np.full((2, 3), 2, np.uint8), np.zeros((2, 3), np.uint8), 1, "Expected labels .* in `predicted`"),
        (np.full((2, 3), IGNORE, np.uint8), np.zeros((2, 3), np.uint8), 1, "Expected labels .* in `predicted`"),
        (np.zeros((2, 3), np.uint8), np.full((2, 3), 9, np.uint8), 1, "Expected labels .* in `target`"),
        (np.full((2, 3), -1), np.zeros((2, 3), np.uint8), 1, "Expected labels .* in `predicted`"),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8), 0, "num_classes"),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8), 255, "num_classes"),
    ],
)
def test_maps_that_do_not_belong_together_are_refused(
    predicted: Map, target: Map, num_classes: int, words: str
) -> None:
    with pytest.raises(ShapeError, match=words):
        count(predicted, target, num_classes)
