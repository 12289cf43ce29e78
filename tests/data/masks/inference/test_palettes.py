"""Palettes in order are ids; palettes that a program made for each image are colours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samtune.data import DataOptions, open_dataset
from samtune.errors import DataError
from tests.data.drawn import assert_reads, open_masks
from tests.data.folders import disc, picture, save, save_palette
from tests.data.masks.cases import BLOBS, COLOURS, IDS, MAP, Read, changed, check_read, u8


def voc_palette() -> np.ndarray:
    colours = np.zeros((256, 3), np.uint8)
    for index in range(256):
        for bit in range(8):
            for channel in range(3):
                colours[index, channel] |= ((index >> (3 * bit + channel)) & 1) << (7 - bit) if 3 * bit < 8 else 0
    return colours


VOC = voc_palette()
CITYSCAPES = np.zeros((256, 3), np.uint8)
CITYSCAPES[:4] = [(128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156)]

RANDOM = np.array([(12, 200, 40), (90, 10, 180), (240, 130, 30), (30, 120, 220)], np.uint8)
GREYS = np.array([(0, 0, 0), (128, 128, 128), (200, 200, 200), (255, 255, 255)], np.uint8)
BLACK_LAST = COLOURS[[1, 2, 3, 0]]
WHITE_LAST = np.array([(200, 0, 0), (0, 200, 0), (0, 0, 200), (255, 255, 255)], np.uint8)


def with_palette(indices: list[np.ndarray], colours: np.ndarray) -> list[Image.Image]:
    images = [Image.fromarray(mask.astype(np.uint8)) for mask in indices]
    for image in images:
        image.putpalette(colours.reshape(-1).tolist())
    return images


def shown_in(colours: np.ndarray, convert: Callable[[Image.Image], Image.Image]) -> list[Image.Image]:
    return [convert(Image.fromarray(colours[mask])) for mask in IDS]


LAST = [np.array([3, 0, 1, 2])[mask] for mask in IDS]
QUANTISED = {
    "median cut": shown_in(COLOURS, lambda image: image.quantize(8, method=Image.Quantize.MEDIANCUT)),
    "octree": shown_in(COLOURS, lambda image: image.quantize(8, method=Image.Quantize.FASTOCTREE)),
    "adaptive": shown_in(COLOURS, lambda image: image.convert("P", palette=Image.Palette.ADAPTIVE)),
}

PALETTES: dict[str, tuple[Read, str]] = {
    "VOC": ((with_palette(IDS, VOC), DataOptions(), u8(IDS), 3, "class ids"), ".png"),
    "VOC with gaps": ((with_palette([np.array([0, 5, 15, 20])[m] for m in IDS], VOC), DataOptions(), u8(IDS), 3,
                       "5 -> 1, 15 -> 2, 20 -> 3"), ".png"),
    "VOC as GIF": ((with_palette(IDS, VOC), DataOptions(), u8(IDS), 3, "class ids"), ".gif"),
    "Cityscapes": ((with_palette(changed(IDS, 255), CITYSCAPES), DataOptions(), changed(IDS, 255), 3, "ignore label"),
                   ".png"),
    "random colours, 0 most frequent": ((with_palette(IDS, RANDOM), DataOptions(), u8(IDS), 3, "class ids"), ".png"),
    "greys in order": ((with_palette(IDS, GREYS), DataOptions(), u8(IDS), 3, "class ids"), ".png"),
    "black last, by ids": ((with_palette(LAST, BLACK_LAST), DataOptions(ids=(0, 1, 2), background=(3,)), u8(IDS), 3,
                              "0 -> 1, 1 -> 2, 2 -> 3 (3 is background)"), ".png"),
    **{f"{name}, with a map": ((images, DataOptions(colours=MAP), u8(IDS), 3, "read by the map"), ".png")
       for name, images in QUANTISED.items()},
    "GIF of colours, with a map": ((shown_in(COLOURS, lambda image: image), DataOptions(colours=MAP), u8(IDS), 3,
                                    "read by the map"), ".gif"),
    "GIF of 0/255": (([Image.fromarray(m * np.uint8(255)) for m in BLOBS], DataOptions(), BLOBS, 1,
                      "255 is foreground"),
                     ".gif"),
}  # fmt: skip


@pytest.mark.parametrize("name", PALETTES)
def test_palettes_of_ids_are_ids(name: str, tmp_path: Path) -> None:
    case, suffix = PALETTES[name]
    check_read(tmp_path, case, suffix)


PALETTES_REFUSED: dict[str, tuple[list[Image.Image], str]] = {
    **{name: (images, ".png") for name, images in QUANTISED.items()},
    "GIF of colours": (shown_in(COLOURS, lambda image: image), ".gif"),
    "black last": (with_palette(LAST, BLACK_LAST), ".png"),
    "white last": (with_palette(LAST, WHITE_LAST), ".png"),
    "one index, two colours": ([*with_palette(IDS[:2], COLOURS), *with_palette(IDS[2:], COLOURS[[0, 2, 1, 3]])],
                               ".png"),
}  # fmt: skip


@pytest.mark.parametrize("name", PALETTES_REFUSED)
def test_palettes_whose_order_means_nothing_are_colours(name: str, tmp_path: Path) -> None:
    images, suffix = PALETTES_REFUSED[name]
    with pytest.raises(DataError, match=r"palettes are not in a consistent order.*--colour class_1=#.*--ids"):
        open_masks(tmp_path, images, suffix=suffix)


def test_one_colour_that_moves_from_index_to_index_is_one_class(tmp_path: Path) -> None:
    truths = [(mask == 1).astype(np.uint8) for mask in IDS]
    images = [*with_palette(truths[:1], COLOURS), *with_palette([m * 2 for m in truths[1:]], COLOURS[[0, 3, 1]])]
    assert_reads(open_masks(tmp_path, images), truths, 1)


def test_palettes_that_differ_are_colours(tmp_path: Path) -> None:
    mask = disc()
    save(tmp_path / "images" / "0.png", picture(0))
    save(tmp_path / "images" / "1.png", picture(1))
    save_palette(tmp_path / "masks" / "0.png", mask, [(0, 0, 0), (255, 0, 0)])
    save_palette(tmp_path / "masks" / "1.png", 1 - mask, [(255, 0, 0), (0, 0, 0)])
    dataset = open_dataset(tmp_path / "images", tmp_path / "masks")
    np.testing.assert_array_equal(dataset.labels(0), mask)
    np.testing.assert_array_equal(dataset.labels(1), mask)
