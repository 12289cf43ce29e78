"""Colours are read by a map, within a tolerance; without one they are refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from samtune.data import DataOptions, inspect
from samtune.errors import DataError
from tests.data.drawn import HW, jpeg, open_masks, resized
from tests.data.masks.cases import COLOURS, IDS, MAP, NUM, Read, Refused, check_read, u8


def off_by(steps: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    noise = [rng.integers(-steps, steps + 1, (*HW, 3)) * (mask > 0)[..., None] for mask in IDS]
    return [np.clip(COLOURS[m] + n, 0, 255).astype(np.uint8) for m, n in zip(IDS, noise, strict=True)]


def colour_jpeg(quality: int) -> list[np.ndarray]:
    return [np.asarray(jpeg(quality)(COLOURS[mask])) for mask in IDS]


CLOSE = np.array([(0, 0, 0), (201, 0, 0), (203, 0, 0), (0, 0, 200)], np.uint8)
CLOSE_MAP = {"a": (200, 0, 0), "b": (203, 0, 0), "c": (0, 0, 200)}
NEAR: dict[str, Read] = {
    **{f"off by {steps}": (off_by(steps), DataOptions(colours=MAP), u8(IDS), 3, "within a tolerance of 16 steps")
       for steps in (1, 3, 8, 16)},
    "off by 20, tolerated": (off_by(20), DataOptions(colours=MAP, colour_tolerance=20), u8(IDS), 3, "of 20 steps"),
    "close colours": ([CLOSE[m] for m in IDS], DataOptions(colours=CLOSE_MAP), u8(IDS), 3, "of 1 steps"),
    "exact": ([COLOURS[m] for m in IDS], DataOptions(colours=MAP), u8(IDS), 3, "read by the map"),
    "background and void": ([np.array([(9, 9, 9), (200, 0, 0), (0, 200, 0), (60, 60, 60)], np.uint8)[m] for m in IDS],
                            DataOptions(colours={"a": (200, 0, 0), "b": (0, 200, 0), "background": (10, 9, 9),
                                                 "void": (60, 61, 60)}),
                            [np.array([0, 1, 2, 255], np.uint8)[m] for m in IDS], 2, "tolerance"),
}  # fmt: skip


@pytest.mark.parametrize("name", NEAR)
def test_colours_near_the_map_are_read_and_reported(name: str, tmp_path: Path) -> None:
    check_read(tmp_path, NEAR[name], ".png")


COLOURS_REFUSED: dict[str, Refused] = {
    "off by 20": (off_by(20), DataOptions(colours=MAP), "more than 16 steps from every colour of the map: "),
    "off by 1, not tolerated": (off_by(1), DataOptions(colours=MAP, colour_tolerance=0), "more than 0 steps"),
    "JPEG": (colour_jpeg(50), DataOptions(colours=MAP), "--colour-tolerance 255"),
    "anti-aliased": ([resized("BILINEAR", 0.5)(COLOURS[m]) for m in IDS], DataOptions(colours=MAP),
                     "--colour-tolerance 255"),
    "between two close colours": ([np.where(COLOURS[m] == 200, 202, COLOURS[m]).astype(np.uint8) for m in IDS],
                                  DataOptions(colours=CLOSE_MAP), "more than 1 steps"),
    "without a map": (off_by(1), DataOptions(), "which colour is which class"),
    "a photograph": ([np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)], DataOptions(),
                     "a photograph"),
}  # fmt: skip


@pytest.mark.parametrize("name", COLOURS_REFUSED)
def test_colours_far_from_the_map_are_refused(name: str, tmp_path: Path) -> None:
    masks, options, message = COLOURS_REFUSED[name]
    with pytest.raises(DataError, match=message):
        open_masks(tmp_path, masks, options)


def test_a_wide_tolerance_reads_blurred_colours(tmp_path: Path) -> None:
    dataset = open_masks(tmp_path, colour_jpeg(90), DataOptions(colours=MAP, colour_tolerance=255))
    for index, mask in enumerate(IDS):
        assert (dataset.labels(index) == mask).mean() > 0.97
    assert "near_colours" in [
        p.kind for p in inspect(tmp_path / "images", tmp_path / "masks", dataset.options).problems
    ]


def random_colours() -> list[np.ndarray]:
    masks = [np.zeros((*HW, 3), np.uint8) for _ in range(NUM)]
    rng = np.random.default_rng(0)
    for mask in masks:
        for k in range(4):
            disc = np.asarray(cv2.circle(np.zeros(HW, np.uint8), (10 + 18 * k, 15 + 10 * k), 6, 1, -1))
            mask[disc > 0] = rng.integers(20, 256, 3)
    return masks


def test_one_random_colour_for_each_object(tmp_path: Path) -> None:
    masks = random_colours()
    with pytest.raises(DataError, match=r"each may be one object.*--instances"):
        open_masks(tmp_path, masks)
    truths = [(mask.sum(axis=2) > 0).astype(np.uint8) for mask in masks]
    dataset = check_read(tmp_path, (masks, DataOptions(instances=True), truths, 1, "one colour per object"), ".png")
    objects = dataset.objects(0)
    assert objects is not None
    assert len(np.unique(objects)) == 5
