"""Special values, absent backgrounds and ignore labels: read as intended, or refused with the options to pass."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from samtune.data import DataOptions, inspect
from samtune.errors import DataError
from tests.data.drawn import HW, open_masks
from tests.data.masks.cases import BLOBS, IDS, NUM, Read, Refused, changed, check_read, u8


def trimaps(border: int) -> list[np.ndarray]:
    """1 object, 2 background, and a border."""
    masks = [np.where(mask > 0, 1, 2).astype(np.uint8) for mask in BLOBS]
    for mask, drawn in zip(masks, BLOBS, strict=True):
        mask[cv2.dilate(drawn, np.ones((3, 3))) > cv2.erode(drawn, np.ones((3, 3)))] = border
    return masks


TRIMAPS = trimaps(3)
PETS = [np.select([mask == 1, mask == 3], [1, 255]).astype(np.uint8) for mask in TRIMAPS]
ONE_TWO = [np.where(mask > 0, 1, 2).astype(np.uint8) for mask in BLOBS]


def random_ids() -> list[np.ndarray]:
    masks = [np.zeros(HW, np.uint32) for _ in range(NUM)]
    rng = np.random.default_rng(0)
    for mask in masks:
        for k in range(3):
            disc = np.asarray(cv2.circle(np.zeros(HW, np.uint8), (20 + 20 * k, 20 + 10 * k), 6, 1, -1))
            mask[disc > 0] = rng.integers(10**6, 2**32)
    return masks


RANDOM_IDS = random_ids()
HUGE = [np.array([0, 17, 2 * 10**9, 4 * 10**9], np.uint32)[mask] for mask in IDS]
NAN_OR_ONE = [np.where(mask > 0, 1, np.nan).astype(np.float32) for mask in BLOBS]
VALUES: dict[str, Read] = {
    "NaN is ignored": (changed(IDS, math.nan, np.float32), DataOptions(ignore_label=math.nan), changed(IDS, 255), 3,
                       "class ids"),
    "NaN is background": (changed(IDS, math.nan, np.float32), DataOptions(background=(0, math.nan)), changed(IDS, 0), 3,
                          "background"),
    "NaN around the objects": (NAN_OR_ONE, DataOptions(background=(math.nan,)), BLOBS, 1, "NaN is background"),
    "NaN beside 0..1": (changed([m * np.float32(0.9) for m in BLOBS], math.nan, np.float32),
                        DataOptions(ignore_label=math.nan), changed(BLOBS, 255), 1, "float 0..1"),
    "-1 is ignored": (changed(IDS, -1, np.int16), DataOptions(ignore_label=-1), changed(IDS, 255), 3, "class ids"),
    "-1 as a float": (changed(IDS, -1, np.float64), DataOptions(ignore_label=-1), changed(IDS, 255), 3, "class ids"),
    "-1 is background": (changed(IDS, -1, np.int32), DataOptions(background=(0, -1)), changed(IDS, 0), 3, "-1 and 0"),
    "ids to 2**32": (HUGE, DataOptions(), u8(IDS), 3, "2000000000 -> 2, 4000000000 -> 3"),
    "64-bit ids": ([m * 10**12 for m in IDS], DataOptions(), u8(IDS), 3, "1000000000000 -> 1"),
    "random 32-bit ids": (RANDOM_IDS, DataOptions(), [(m > 0).astype(np.uint8) for m in RANDOM_IDS], 1, "per object"),
    "trimap": (TRIMAPS, DataOptions(background=(2,), ignore_label=3), PETS, 1, "2/1: 1 is foreground, 2 is background"),
    "trimap by ids": (TRIMAPS, DataOptions(ids=(1,), background=(2,), ignore_label=3), PETS, 1, "1 is foreground"),
    "trimap, all classes": (TRIMAPS, DataOptions(num_classes=3), TRIMAPS, 3, "class ids"),
    "1/2": (ONE_TWO, DataOptions(class_names=("pet",), background=(2,)), BLOBS, 1, "2 is background"),
    "1/2, two classes": (ONE_TWO, DataOptions(num_classes=2), ONE_TWO, 2, "class ids"),
    "255 is background": ([(1 - m) * np.uint8(255) for m in BLOBS], DataOptions(background=(255,)), BLOBS, 1,
                          "0 -> 1 (255 is background)"),
    "0 is a class": (u8(IDS), DataOptions(ids=(0, 1, 2, 3)), [m + 1 for m in u8(IDS)], 4, "0 -> 1"),
    "0 is ignored": (u8(IDS), DataOptions(ignore_label=0, num_classes=3), [np.where(m, m, 255) for m in u8(IDS)], 3,
                     "class ids"),
    "255 is the third class": ([np.array([0, 10, 20, 255], np.uint8)[m] for m in IDS], DataOptions(num_classes=3),
                               u8(IDS), 3, "255 -> 3"),
    "255 is the named class": ([np.array([0, 10, 20, 255], np.uint8)[m] for m in IDS],
                               DataOptions(class_names=("a", "b", "c")), u8(IDS), 3, "255 -> 3"),
    "255 is not the third of two": ([np.array([0, 1, 2, 255], np.uint8)[m] for m in IDS], DataOptions(num_classes=2),
                                    [np.array([0, 1, 2, 255], np.uint8)[m] for m in IDS], 2, "ignore label"),
    "255 by ids": ([np.array([0, 1, 2, 255], np.uint8)[m] for m in IDS], DataOptions(ids=(1, 2, 255)), u8(IDS), 3,
                   "255 -> 3"),
    "65535 is the third class": ([np.array([0, 100, 200, 65535], np.uint16)[m] for m in IDS],
                                 DataOptions(num_classes=3), u8(IDS), 3, "65535 -> 3"),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_values_are_read_as_intended(name: str, tmp_path: Path) -> None:
    check_read(tmp_path, VALUES[name], ".tif")


VALUES_REFUSED: dict[str, Refused] = {
    "NaN": (changed(IDS, math.nan, np.float32), DataOptions(), "NaN.*--ignore-label nan` or `--background 0,nan"),
    "NaN around the objects": (NAN_OR_ONE, DataOptions(), "--background 0,nan"),
    "-1": (changed(IDS, -1, np.int16), DataOptions(), "value -1.*--ignore-label -1"),
    "-1 and -9999": (changed(changed(IDS, -1, np.int16), -9999, np.int16)[:1] + changed(IDS, -1, np.int16),
                     DataOptions(ignore_label=-1), "value -9999"),
    "infinity": (changed(IDS, math.inf, np.float32), DataOptions(), "infinity"),
    "ids beyond 2**53": ([m.astype(np.uint64) << np.uint64(61) for m in IDS], DataOptions(), "2\\*\\*53"),
    "trimap": (TRIMAPS, DataOptions(), "no pixel of any mask is 0.*--background 2.*--ignore-label 3.*--classes 3"),
    "trimap of one named class": (TRIMAPS, DataOptions(class_names=("pet",)), "--background 2"),
    "1/2": (ONE_TWO, DataOptions(), "no pixel of any mask is 0.*--background 2`, or pass `--classes 2"),
    "1/2/255": (trimaps(255), DataOptions(), "--ignore-label 255"),
    "255 beside 1 and 2, three expected": ([np.array([0, 1, 2, 255], np.uint8)[m] for m in IDS],
                                        DataOptions(num_classes=3), "--ids 1,2,255.*--ignore-label 255"),
    "255 beside 1, two expected": ([np.array([0, 1, 1, 255], np.uint8)[m] for m in IDS], DataOptions(num_classes=2),
                                "--ids 1,255"),
    "ids that lack one": (u8(IDS), DataOptions(ids=(1, 2)), r"\[3\].*--ignore-label` or `--background"),
    "three float levels": ([np.array([0, 0.5, 1], np.float32)[np.minimum(m, 2)] for m in IDS], DataOptions(),
                           "several float levels.*0.5"),
    "one faint float mask": ([BLOBS[0] * np.float32(0.3), BLOBS[1] * np.float32(0.9)], DataOptions(), "float levels"),
    "float ids with fractions": ([m * np.float32(2.5) for m in IDS], DataOptions(),
                                 "neither whole numbers nor within 0..1"),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES_REFUSED)
def test_ambiguous_values_are_refused(name: str, tmp_path: Path) -> None:
    masks, options, message = VALUES_REFUSED[name]
    with pytest.raises(DataError, match=message):
        open_masks(tmp_path, masks, options, ".tif")


def test_a_map_without_background_is_reported(tmp_path: Path) -> None:
    masks = [np.maximum(mask + 4 * (np.arange(HW[1]) // 40), 1).astype(np.uint8) for mask in IDS]
    dataset = open_masks(tmp_path, masks)
    assert any("there is no background" in note for note in dataset.notes)
    problems = inspect(tmp_path / "images", tmp_path / "masks").problems
    assert "no_background" in [p.kind for p in problems]
    assert not any(p.stops_training for p in problems)


def test_ids_take_memory_by_their_number_not_their_value(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        dataset = open_masks(tmp_path, HUGE, suffix=".tif")
        dataset.labels(0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30e6
