"""The streaming scores against a second reading of the definitions."""

from __future__ import annotations

import json
import math
import pickle
import statistics

import numpy as np
import pytest
from numpy.typing import NDArray

from samtune.errors import DataError, ShapeError
from samtune.metrics import Scores, SegmentationScores, merge
from samtune.types import IGNORE

Map = NDArray[np.uint8]
NAMES = ("cell", "debris", "membrane")
KEYS = {
    "num_images",
    "iou_per_image",
    "iou_per_image_std",
    "dice_per_image",
    "dice_per_image_std",
    "precision_per_image",
    "precision_per_image_std",
    "recall_per_image",
    "recall_per_image_std",
    "iou_pooled",
    "dice_pooled",
    "precision_pooled",
    "recall_pooled",
    "worst",
    "per_class",
}


def images(num: int, num_classes: int, seed: int = 0) -> list[tuple[str, Map, Map]]:
    """Random label maps; many lack some classes, some lack all."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(num):
        there = rng.random(num_classes + 1) < 0.6
        there[0] = True
        target = rng.choice(np.flatnonzero(there), size=(9, 7)).astype(np.uint8)
        predicted = np.where(rng.random((9, 7)) < 0.7, target, 0).astype(np.uint8)
        target[rng.random((9, 7)) < 0.05] = IGNORE
        made.append((f"image_{index:03d}", predicted, target))
    return made


def scored(items: list[tuple[str, Map, Map]], names: tuple[str, ...]) -> SegmentationScores:
    scores = SegmentationScores(names)
    for item in items:
        scores.add(*item)
    return scores


def naive_iou(pairs: list[tuple[Map, Map]], label: int) -> float | None:
    """IoU of a label over the pixels of all pairs, None where it is in neither."""
    both = either = 0
    for predicted, target in pairs:
        for p, t in zip(predicted.ravel().tolist(), target.ravel().tolist(), strict=True):
            if t != IGNORE:
                both += p == label and t == label
                either += label in (p, t)
    return both / either if either else None


def naive_mean(pairs: list[tuple[Map, Map]], num_classes: int) -> float:
    values = [value for k in range(num_classes) if (value := naive_iou(pairs, k + 1)) is not None]
    return statistics.fmean(values) if values else 1.0


@pytest.mark.parametrize("num_classes", [1, 3])
def test_per_image_and_pooled_follow_their_definitions(num_classes: int) -> None:
    items = images(25, num_classes)
    result = scored(items, NAMES[:num_classes]).result()
    per_image = [naive_mean([(p, t)], num_classes) for _, p, t in items]
    assert result.num_images == 25
    assert result.iou_per_image == pytest.approx(statistics.fmean(per_image))
    assert result.iou_per_image_std == pytest.approx(statistics.pstdev(per_image))
    assert result.iou_pooled == pytest.approx(naive_mean([(p, t) for _, p, t in items], num_classes))
    expected = sorted(zip(per_image, [name for name, _, _ in items], strict=True))[:10]
    assert [name for name, _ in result.worst] == [name for _, name in expected]
    assert [value for _, value in result.worst] == pytest.approx([value for value, _ in expected])


def test_precision_and_recall_per_image() -> None:
    items = images(25, 1)
    expected = []
    for _, predicted, target in items:
        pairs = [
            (p, t) for p, t in zip(predicted.ravel().tolist(), target.ravel().tolist(), strict=True) if t != IGNORE
        ]
        hit, called, there = sum(p and t for p, t in pairs), sum(p for p, _ in pairs), sum(t for _, t in pairs)
        nothing = not called and not there
        expected.append((hit / called if called else float(nothing), hit / there if there else float(nothing)))
    result = scored(items, NAMES[:1]).result()
    precisions, recalls = zip(*expected, strict=True)
    assert result.precision_per_image == pytest.approx(statistics.fmean(precisions))
    assert result.precision_per_image_std == pytest.approx(statistics.pstdev(precisions))
    assert result.recall_per_image == pytest.approx(statistics.fmean(recalls))
    assert result.recall_per_image_std == pytest.approx(statistics.pstdev(recalls))


def test_per_class_averages_over_the_images_that_have_the_class() -> None:
    items = images(25, 3)
    result = scored(items, NAMES).result()
    for k, name in enumerate(NAMES):
        having = [value for _, p, t in items if (value := naive_iou([(p, t)], k + 1)) is not None]
        assert result.per_class[name]["num_images"] == len(having) < 25
        assert result.per_class[name]["iou_per_image"] == pytest.approx(statistics.fmean(having))
        assert result.per_class[name]["iou_pooled"] == naive_iou([(p, t) for _, p, t in items], k + 1)


def test_dice_follows_from_iou_with_one_class() -> None:
    scores = scored(images(20, 1), NAMES[:1])
    for row in scores.rows():
        assert row.dice == pytest.approx(2 * row.iou / (1 + row.iou))
    result = scores.result()
    assert result.dice_pooled == pytest.approx(2 * result.iou_pooled / (1 + result.iou_pooled))
    harmonic = statistics.harmonic_mean([result.precision_pooled, result.recall_pooled])
    assert result.dice_pooled == pytest.approx(harmonic)


def test_an_image_with_nothing_there_and_nothing_predicted_scores_one() -> None:
    empty = np.zeros((4, 4), np.uint8)
    result = scored([("a", empty, empty), ("b", empty, np.full((4, 4), IGNORE, np.uint8))], NAMES).result()
    assert (result.iou_per_image, result.dice_per_image, result.iou_pooled) == (1, 1, 1)
    assert result.per_class["cell"]["num_images"] == 0
    assert math.isnan(result.per_class["cell"]["iou_per_image"])
    assert result.to_dict()["per_class"]["cell"]["iou_per_image"] is None


def test_no_image_at_all_gives_nan_and_a_count_of_zero() -> None:
    result = SegmentationScores(NAMES).result()
    assert result.num_images == 0
    assert math.isnan(result.iou_per_image)
    assert math.isnan(result.iou_pooled)
    assert result.worst == ()
    assert result.to_dict()["recall_pooled"] is None


def test_to_dict_is_json_with_exactly_the_promised_keys() -> None:
    plain = scored(images(12, 3), NAMES).result().to_dict()
    assert set(plain) == KEYS | {"detection"}  # some images have no object
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert len(plain["worst"]) == 10


def test_merged_accumulators_equal_one_in_any_order() -> None:
    items = images(21, 3)
    whole = scored(items, NAMES).result()
    parts = [scored(items[start::4], NAMES) for start in range(4)]
    travelled = [pickle.loads(pickle.dumps(part)) for part in reversed(parts)]
    merged: Scores = merge(travelled).result()
    assert merged == whole
    assert len(parts[0].rows()) == 6


def test_what_cannot_be_merged_or_added_is_refused() -> None:
    items = images(2, 1)
    scores = scored(items, ("a",))
    with pytest.raises(DataError, match="image_000"):
        scores.add(*items[0])
    with pytest.raises(DataError, match="twice"):
        merge([scores, scored(items[:1], ("a",))])
    with pytest.raises(ShapeError, match="same classes"):
        merge([scores, SegmentationScores(("b",))])
    with pytest.raises(ShapeError, match="at least one"):
        merge([])
    for names in ((), ("a", "a")):
        with pytest.raises(ShapeError, match="class_names"):
            SegmentationScores(names)


def test_a_row_is_flat_and_names_the_classes() -> None:
    target = np.array([[1, 0], [2, 0]], np.uint8)
    row = SegmentationScores(NAMES).add("x", np.array([[1, 0], [0, 0]], np.uint8), target)
    assert row.to_dict(NAMES) == {
        "name": "x",
        "iou": 0.5,
        "dice": 0.5,
        "precision": 0.5,
        "recall": 0.5,
        "iou_cell": 1.0,
        "iou_debris": 0.0,
        "iou_membrane": None,
    }
    assert set(row.to_dict(("one",))) == {"name", "iou", "dice", "precision", "recall"}
