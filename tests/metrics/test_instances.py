"""Scores of objects against sets of pixels, exhaustive matching and COCO's rules written as loops."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from samtune.errors import ShapeError
from samtune.metrics.instances import (
    THRESHOLDS,
    AveragePrecision,
    mean_segmentation_accuracy,
    num_matched,
    overlaps,
    seg,
    segmentation_accuracy,
)
from samtune.metrics.measures import Case, InstanceScores, areas
from samtune.types import IGNORE

Map = NDArray[np.int64]
Objects = list[set[tuple[int, int]]]


def tiles(rng: np.random.Generator, size_hw: tuple[int, int]) -> Map:
    """Rectangles with ids of their own, drawn over each other; ids have gaps."""
    ids = np.zeros(size_hw, np.int64)
    for number in range(int(rng.integers(0, 7))):
        top, left = rng.integers(0, size_hw[0]), rng.integers(0, size_hw[1])
        ids[top : top + rng.integers(1, 8), left : left + rng.integers(1, 8)] = 3 * number + 2
    return ids


def random_pair(seed: int) -> tuple[Map, Map]:
    """A map and one that mostly agrees: objects shifted, split, merged or lost."""
    rng = np.random.default_rng(seed)
    target = tiles(rng, (16, 18))
    predicted = np.roll(target, tuple(rng.integers(-1, 2, 2)), axis=(0, 1)) if seed % 5 else tiles(rng, (16, 18))
    for value in np.unique(predicted)[1:]:
        fate = rng.random()
        if fate < 0.15:
            predicted[predicted == value] = 0
        elif fate < 0.3:
            rows = np.flatnonzero((predicted == value).any(axis=1))
            middle = rows[len(rows) // 2]
            predicted[middle:][predicted[middle:] == value] = value + 100
        elif fate < 0.4:
            predicted[predicted == value] = 2
    return predicted, target


def degenerate_pairs() -> list[tuple[Map, Map]]:
    pairs: list[tuple[Map, Map]] = []
    for size_hw in ((1, 1), (2, 2), (4, 6)):
        empty, full = np.zeros(size_hw, np.int64), np.ones(size_hw, np.int64)
        each = np.arange(1, full.size + 1).reshape(size_hw)
        halves = full.copy()
        halves[:, size_hw[1] // 2 :] = 2
        kinds: list[Map] = [empty, full, each, halves]
        pairs += [(a, b) for a in kinds for b in kinds]
    return pairs


PAIRS = [random_pair(seed) for seed in range(200)] + degenerate_pairs()


def objects(ids: Map) -> Objects:
    values = sorted(set(ids.reshape(-1).tolist()) - {0})
    return [{(int(i), int(j)) for i, j in np.argwhere(ids == value)} for value in values]


def fits_at(a: set[tuple[int, int]], b: set[tuple[int, int]], threshold: float) -> bool:
    return len(a & b) * 100 >= round(threshold * 100) * len(a | b)


def most_matches(ours: Objects, theirs: Objects, threshold: float) -> int:
    """The largest number of pairs, by augmenting paths."""
    good = [[fits_at(a, b, threshold) for b in theirs] for a in ours]
    partner: dict[int, int] = {}

    def place(a: int, tried: set[int]) -> bool:
        for b, fits in enumerate(good[a]):
            if fits and b not in tried:
                tried.add(b)
                if b not in partner or place(partner[b], tried):
                    partner[b] = a
                    return True
        return False

    return sum(place(a, set()) for a in range(len(ours)))


def test_accuracy_and_seg_follow_their_definitions() -> None:
    assert len(degenerate_pairs()) >= 20
    for predicted, target in PAIRS:
        ours, theirs = objects(predicted), objects(target)
        found = overlaps(predicted, target)
        expected = []
        for threshold in THRESHOLDS:
            matched = most_matches(ours, theirs, threshold)
            assert num_matched(found.iou, threshold) == matched
            total = len(ours) + len(theirs) - matched
            expected.append(matched / total if total else 1.0)
            assert segmentation_accuracy(found, threshold) == pytest.approx(expected[-1])
        assert mean_segmentation_accuracy(found) == pytest.approx(statistics.fmean(expected))
        best = [next((len(a & b) / len(a | b) for a in ours if 2 * len(a & b) > len(b)), 0.0) for b in theirs]
        assert seg(found) == pytest.approx(statistics.fmean(best) if best else None)


def naive_average_precision(images: list[tuple[Map, Map, list[float]]], threshold: float) -> float:
    """COCO's rules; objects of equal score enter together."""
    ranked: list[tuple[float, bool]] = []
    num_target = 0
    for predicted, target, scores in images:
        ours, theirs = objects(predicted), objects(target)
        num_target += len(theirs)
        taken: set[int] = set()
        for index in sorted(range(len(ours)), key=lambda i: -scores[i]):
            fits = {
                b: len(ours[index] & other) / len(ours[index] | other)
                for b, other in enumerate(theirs)
                if b not in taken
                and len(ours[index] & other) * 100 >= round(threshold * 100) * len(ours[index] | other)
            }
            if fits:
                taken.add(max(fits, key=lambda b: fits[b]))
            ranked.append((scores[index], bool(fits)))
    if not num_target:
        return float(not ranked)
    points = []
    for cut in sorted({score for score, _ in ranked}, reverse=True):
        chosen = [hit for score, hit in ranked if score >= cut]
        points.append((sum(chosen) / num_target, sum(chosen) / len(chosen)))
    total = 0.0
    for step in range(101):
        total += max((precision for recall, precision in points if recall * 100 >= step - 1e-7), default=0.0)
    return total / 101


def test_average_precision_follows_cocos_rules() -> None:
    rng = np.random.default_rng(0)
    for start in range(0, 240, 6):
        images = []
        for predicted, target in PAIRS[start : start + 6]:
            num = len(objects(predicted))
            images.append((predicted, target, np.round(rng.random(num), 1 + start % 2).tolist()))
        collected, backwards = AveragePrecision(), AveragePrecision()
        for image in images:
            collected.add(overlaps(*image[:2]), image[2])
        for image in reversed(images):
            backwards.add(overlaps(*image[:2]), image[2])
        for index, threshold in enumerate(THRESHOLDS):
            assert collected.at(index) == pytest.approx(naive_average_precision(images, threshold))
        assert collected.result() == backwards.result()
        result = collected.result()
        assert result["ap50_95"] == pytest.approx(statistics.fmean(collected.at(index) for index in range(10)))
        assert (result["ap50"], result["ap75"]) == (collected.at(0), collected.at(5))


def test_without_scores_all_objects_rank_alike() -> None:
    target = np.zeros((4, 8), np.int64)
    target[:2, :2], target[:2, 4:6] = 1, 2
    predicted = target.copy()
    predicted[3, 7], predicted[target == 2] = 5, 0
    collected = AveragePrecision()
    collected.add(overlaps(predicted, target))
    assert collected.at(0) == pytest.approx(0.5 * 51 / 101)
    assert AveragePrecision().at(0) == 1


def test_instance_scores_of_a_set() -> None:
    target = np.zeros((6, 9), np.uint8)
    target[1:4, 1:4] = target[1:4, 5:8] = 1
    ids = areas(target == 1)
    scores = InstanceScores()
    whole = scores.add(Case("whole", target, target, target.astype(float), ids))
    assert set(whole.values()) == {1.0}
    merged = target.copy()
    merged[2, 4] = 1
    row = scores.add(Case("merged", merged, target, None, ids))
    assert row["segmentation_accuracy_50"] == 0
    assert row["seg"] == pytest.approx(9 / 19)
    nothing = scores.add(Case("nothing", np.zeros_like(target), np.zeros_like(target)))
    assert (nothing["seg"], nothing["mean_segmentation_accuracy"]) == (None, 1.0)
    result = scores.result()
    assert (result["num_objects"], result["num_predicted_objects"], result["seg_num_undefined"]) == (4, 3, 1)
    assert result["mean_segmentation_accuracy_per_image"] == pytest.approx(2 / 3)
    assert result["seg_per_image"] == pytest.approx((1 + 9 / 19) / 2)
    assert result["ap50_95"] == pytest.approx(2 / 3 * 51 / 101)


def test_touching_objects_are_told_apart_by_the_given_ids_and_ignored_pixels_belong_to_none() -> None:
    ids = np.ones((4, 4), np.int64)
    ids[:, 2:] = 2
    target = np.ones((4, 4), np.uint8)
    assert InstanceScores().add(Case("a", target, target))["seg"] == 1
    assert InstanceScores().add(Case("a", target, target, None, ids))["seg"] == 0.5
    target[:, 2:] = IGNORE
    assert InstanceScores().add(Case("a", np.ones_like(target), target, None, ids))["seg"] == 1


def test_maps_that_are_no_objects_are_refused() -> None:
    good = np.zeros((3, 3), np.int64)
    wrongs: list[NDArray[Any]] = [np.zeros((3, 4), np.int64), np.zeros((3, 3)), np.full((3, 3), -1)]
    for wrong in wrongs:
        with pytest.raises(ShapeError):
            overlaps(wrong, good)
    for scores in ([1.0], [float("nan")] * 2):
        with pytest.raises(ShapeError, match="score"):
            AveragePrecision().add(overlaps(np.array([[1, 2]]), np.array([[1, 2]])), scores)
