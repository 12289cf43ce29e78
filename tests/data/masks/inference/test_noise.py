"""Drawn ids stay ids, however thin or rare; noise among ids is refused or reported."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from samtune.data import DataOptions, inspect
from samtune.errors import DataError
from tests.data.drawn import HW, assert_reads, blobs, classes, jpeg, lines, open_masks, street
from tests.data.masks.noise import NOISE, outlined


def spots(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = np.zeros(HW, np.int64)
    for value in (1, 2, 3):
        mask[rng.integers(0, HW[0], 15), rng.integers(0, HW[1], 15)] = value
    return mask


def with_rare(ids: tuple[int, ...], rare: int, size: int) -> Callable[[int], np.ndarray]:
    def draw(seed: int) -> np.ndarray:
        mask = classes(seed, ids)
        mask[3 : 3 + size, 60 : 60 + size] = rare if seed == 0 else 0
        return mask

    return draw


def crossed(area: int, line: int, width: int) -> Callable[[int], np.ndarray]:
    def draw(seed: int) -> np.ndarray:
        mask = classes(seed, (area,))
        mask[lines(seed + 10, width) > 0] = line
        return mask

    return draw


def kinds_of_lines(width: int, areas: tuple[int, ...] = ()) -> Callable[[int], np.ndarray]:
    def draw(seed: int) -> np.ndarray:
        mask = classes(seed, areas) if areas else np.zeros(HW, np.int64)
        for value in (1, 2, 3):
            mask[lines(seed * 7 + value, width, 2) > 0] = value
        return mask

    return draw


IDS = ((1, 2, 3), (2, 7, 10), (85, 170, 255), (64, 128, 191, 255), (1, 5), (100, 200), (3,), (1, 254), (7, 250, 251))
AS_DRAWN: dict[str, Callable[[int], np.ndarray]] = {
    **{f"areas {ids}": partial(classes, ids=ids) for ids in IDS},
    **{f"{ids} and a rare {size} x {size}": with_rare(ids, 4, size) for ids in IDS[:3] for size in (1, 2, 3)},
    **{
        f"{line} drawn {width} wide over {area}": crossed(area, line, width)
        for width in (1, 2)
        for area, line in ((1, 2), (2, 1), (128, 255), (255, 128), (3, 1), (200, 50))
    },
    **{f"three kinds of lines {width} wide": kinds_of_lines(width) for width in (1, 2)},
    **{f"three kinds of lines {width} wide, two areas": kinds_of_lines(width, (4, 5)) for width in (1, 2)},
    **{f"1 with border 2, {width} wide": outlined(1, 2, width) for width in (1, 2)},
    **{f"2 with border 1, {width} wide": outlined(2, 1, width) for width in (1, 2)},
    **{f"1 with border 3, {width} wide": outlined(1, 3, width) for width in (1, 2)},
    **{f"128 with border 255, {width} wide": outlined(128, 255, width) for width in (1, 2)},
    "points of three kinds": spots,
    "trimap of a matting set": lambda seed: blobs(seed) * 128 + cv2.erode(blobs(seed), np.ones((7, 7))) * 127,
    **{f"street, {num} classes": partial(street, num_classes=num, background=num) for num in (8, 12, 19)},
    **{f"street, {num} classes, no background": partial(street, num_classes=num) for num in (8, 12, 19)},
}


@pytest.mark.parametrize("name", AS_DRAWN)
def test_drawn_ids_stay_ids(name: str, tmp_path: Path) -> None:
    masks = [AS_DRAWN[name](seed) for seed in range(3)]
    ids = sorted({int(v) for mask in masks for v in np.unique(mask)} - {0})
    dataset = open_masks(tmp_path, [mask.astype(np.uint8) for mask in masks])
    assert_reads(dataset, [np.searchsorted([0, *ids], mask) for mask in masks], len(ids))


def test_voc_borders_stay_ignored(tmp_path: Path) -> None:
    masks = [classes(seed, (5, 15)) for seed in range(3)]
    for mask in masks:
        grown = cv2.dilate((mask > 0).astype(np.uint8), np.ones((5, 5)))
        mask[(grown > 0) & (mask == 0)] = 255
    truths = [np.select([mask == 5, mask == 15, mask == 255], [1, 2, 255]) for mask in masks]
    assert_reads(open_masks(tmp_path, [mask.astype(np.uint8) for mask in masks]), truths, 2)


AMONG_IDS: dict[str, tuple[tuple[int, ...], str, str]] = {
    "2, 7, 10 bilinear x 2": ((2, 7, 10), "bilinear x 2", "1, 3, 4, 5, 6, 8, 9 occur only along borders"),
    "2, 7, 10 bilinear x 0.5": ((2, 7, 10), "bilinear x 0.5", "occur only along borders"),
    "2, 7, 10 bicubic x 2": ((2, 7, 10), "bicubic x 2", "occur only along borders"),
    "2, 7, 10 JPEG": ((2, 7, 10), "jpeg 90", "occur only along borders"),
    "2, 7, 10 blurred": ((2, 7, 10), "blur 1.5", "occur only along borders"),
    "10, 20, 30 JPEG": ((10, 20, 30), "jpeg 75", "occur only along borders"),
    "10, 20, 30 bilinear x 3.3": ((10, 20, 30), "bilinear x 3.3", "occur only along borders"),
    "85, 170, 255 bilinear x 2": ((85, 170, 255), "bilinear x 2", "occur only along borders"),
    "1, 5 bilinear x 2": ((1, 5), "bilinear x 2", "occur only along borders"),
    "1, 5 JPEG": ((1, 5), "jpeg 95", "occur only along borders"),
}


@pytest.mark.parametrize("name", AMONG_IDS)
def test_noise_among_ids_is_refused_by_name(name: str, tmp_path: Path) -> None:
    ids, noise, message = AMONG_IDS[name]
    masks = [np.array(NOISE[noise](classes(seed, ids).astype(np.uint8))) for seed in range(3)]
    with pytest.raises(DataError, match=message):
        open_masks(tmp_path, masks)


def test_noise_among_ids_is_read_where_the_user_says_that_all_are_classes(tmp_path: Path) -> None:
    masks = [np.array(NOISE["bilinear x 2"](classes(seed, (2, 7, 10)).astype(np.uint8))) for seed in range(2)]
    assert_reads(open_masks(tmp_path, masks, DataOptions(ids=tuple(range(1, 11)))), masks, 10)
    assert_reads(open_masks(tmp_path, masks, DataOptions(num_classes=10)), masks, 10)


def test_an_id_between_two_others_alone_is_reported(tmp_path: Path) -> None:
    masks = [outlined(2, 1, 1)(seed).astype(np.uint8) for seed in range(2)]
    dataset = open_masks(tmp_path, masks)
    assert any("1 occur only as thin borders" in note for note in dataset.notes)
    kinds = [problem.kind for problem in inspect(tmp_path / "images", tmp_path / "masks").problems]
    assert "border_ids" in kinds


@pytest.mark.parametrize("quality", [75, 90, 95])
@pytest.mark.parametrize("num_classes", [1, 3])
def test_jpeg_noise_beyond_small_ids_is_refused_or_reported(num_classes: int, quality: int, tmp_path: Path) -> None:
    """0/1 and 0..3 saved as JPEG and again as PNG have a 2 and a 4 along the edges of the highest id."""
    masks = [np.minimum(classes(seed, (1, 2, 3)), num_classes) for seed in range(3)]
    noisy = [np.array(jpeg(quality)(mask.astype(np.uint8))) for mask in masks]
    assert max(mask.max() for mask in noisy) > num_classes
    with suppress(DataError):
        dataset = open_masks(tmp_path, noisy)
        assert any("may be drawn or noise" in note for note in dataset.notes)
    findings = inspect(tmp_path / "images", tmp_path / "masks")
    assert {problem.kind for problem in findings.problems} & {"border_ids", "interpolated_ids"}


@pytest.mark.parametrize("names", [None, ("area", "points")])
def test_points_on_an_area_are_refused_unless_named(names: tuple[str, ...] | None, tmp_path: Path) -> None:
    masks = []
    for seed in range(3):
        mask = blobs(seed)
        inner = np.argwhere(cv2.erode(mask, np.ones((7, 7), np.uint8)))
        mask[tuple(inner[:: max(1, len(inner) // 3)].T)] = 2
        masks.append(mask)
    if names is None:
        with pytest.raises(DataError, match=r"value\(s\) 2 occur only .* `--ids 1,2`"):
            open_masks(tmp_path, masks)
    else:
        assert_reads(open_masks(tmp_path, masks, DataOptions(class_names=names)), masks, 2)
