"""Masks of several bit depths are read if they are on one scale, or binary; else refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samtune.errors import DataError
from tests.data.drawn import assert_reads, jpeg, open_masks
from tests.data.masks.cases import BLOBS, IDS, u8


def one_bit(mask: np.ndarray) -> Image.Image:
    return Image.fromarray(mask * np.uint8(255)).convert("1")


def deep(mask: np.ndarray, factor: int = 65535) -> np.ndarray:
    return mask.astype(np.uint16) * np.uint16(factor)


WHITES = [mask * np.uint8(255) for mask in BLOBS]
NOISY = [np.asarray(jpeg(90)(mask)) for mask in WHITES]
DEPTHS: dict[str, tuple[list[np.ndarray | Image.Image], list[np.ndarray], int, str]] = {
    "8 and 16 bit": ([WHITES[0], deep(BLOBS[1])], BLOBS[:2], 1, "255 and 65535 are foreground"),
    "0/1 and 16 bit": ([BLOBS[0], deep(BLOBS[1])], BLOBS[:2], 1, "1 and 65535 are foreground"),
    "1 and 8 bit": ([one_bit(BLOBS[0]), WHITES[1]], BLOBS[:2], 1, "both 1 and 255"),
    "1 bit and 0/1": ([one_bit(BLOBS[0]), BLOBS[1]], BLOBS[:2], 1, "0/1"),
    "1 and 16 bit": ([one_bit(BLOBS[0]), deep(BLOBS[1])], BLOBS[:2], 1, "1 and 65535"),
    "1, 8 and 16 bit": ([one_bit(BLOBS[0]), WHITES[1], deep(BLOBS[2])], BLOBS, 1, "1 and 255 and 65535"),
    "the same ids": ([u8(IDS)[0], deep(IDS[1], 1)], u8(IDS)[:2], 3, "class ids"),
    "1 bit among ids": ([one_bit((IDS[0] == 1).astype(np.uint8)), u8(IDS)[1]], [(IDS[0] == 1) * 1, IDS[1]], 3, "ids"),
    "255 in 16 bit": ([WHITES[0], deep(BLOBS[1], 255)], BLOBS[:2], 1, "0/255"),
    "grey and RGB": ([WHITES[0], np.dstack([WHITES[1]] * 3)], BLOBS[:2], 1, "0/255"),
}

DEPTHS_REFUSED: dict[str, tuple[list[np.ndarray | Image.Image], str]] = {
    "ids times 257": ([u8(IDS)[0], deep(IDS[1], 257)], "16 bits with the values 257, 514, 771.*different scales"),
    "ids and 65535": ([u8(IDS)[0], deep(BLOBS[1])], "different scales"),
    "noise in both": ([NOISY[0], deep(NOISY[1], 257)], "different scales"),
    "noise in 16 bit": ([WHITES[0], deep(NOISY[1], 257)], "different scales"),
    "1 bit and grey levels": (
        [one_bit(BLOBS[0]), u8(IDS)[1] * np.uint8(85)],
        "8 bits .*85, 170, 255.*different scales",
    ),
    "1 bit and noise": ([one_bit(BLOBS[0]), NOISY[1]], "0 and 1, while other masks are blurred 0/255"),
}


@pytest.mark.parametrize("name", DEPTHS)
def test_mixed_depths_are_read_on_one_scale(name: str, tmp_path: Path) -> None:
    masks, truths, num_classes, message = DEPTHS[name]
    dataset = open_masks(tmp_path, masks)
    assert_reads(dataset, truths, num_classes)
    assert message in dataset.encoding.sentence


@pytest.mark.parametrize("name", DEPTHS_REFUSED)
def test_depths_on_different_scales_are_refused(name: str, tmp_path: Path) -> None:
    masks, message = DEPTHS_REFUSED[name]
    with pytest.raises(DataError, match=message):
        open_masks(tmp_path, masks)
