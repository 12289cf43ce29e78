"""Masks in the alpha channel: visible is the object; mixed opacities are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from samtune.data import DataOptions
from samtune.errors import DataError
from tests.data.drawn import HW, blurred, open_masks
from tests.data.masks.cases import BLOBS, COLOURS, IDS, MAP, Read, check_read, u8


def with_alpha(alpha: np.ndarray, colour: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    return np.dstack([np.full(HW, value, np.uint8) for value in colour] + [alpha.astype(np.uint8)])


def strokes(*alphas: int) -> list[np.ndarray]:
    return [with_alpha(mask * np.uint8(alpha)) for mask, alpha in zip(BLOBS, alphas, strict=True)]


SOFT = [np.asarray(blurred(1)(mask * np.uint8(100))) for mask in BLOBS]
HARD = [np.asarray(blurred(1)(mask * np.uint8(255))) for mask in BLOBS]
FAINT_COLOURS = [np.dstack([COLOURS[mask], (mask > 0) * np.uint8(100)]) for mask in IDS]
ALPHAS: dict[str, Read] = {
    **{f"opacity {alpha}": (strokes(alpha, alpha, alpha), DataOptions(), BLOBS, 1, "alpha above 0 is foreground")
       for alpha in (1, 60, 100, 127)},
    **{f"opacity {alpha}": (strokes(alpha, alpha, alpha), DataOptions(), BLOBS, 1, "visible pixels are foreground")
       for alpha in (128, 255)},
    "soft brush of low opacity": ([with_alpha(a) for a in SOFT], DataOptions(),
                                  [(a > 0).astype(np.uint8) for a in SOFT], 1, "at most 100 of 255"),
    "soft opaque brush": ([with_alpha(a) for a in HARD], DataOptions(), [(a > 127).astype(np.uint8) for a in HARD], 1,
                          "visible"),
    "grey with alpha": ([np.dstack([m * 0 + np.uint8(255), m * np.uint8(100)]) for m in BLOBS], DataOptions(), BLOBS, 1,
                        "alpha above 0"),
    "mixed opacities, by option": (strokes(100, 255, 255), DataOptions(threshold=0), BLOBS, 1, "alpha above 0"),
    "faint colours": (FAINT_COLOURS, DataOptions(colours=MAP), u8(IDS), 3, "read by the map"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALPHAS)
def test_transparency_is_read_as_intended(name: str, tmp_path: Path) -> None:
    check_read(tmp_path, ALPHAS[name], ".png")


OPACITIES_REFUSED: dict[str, tuple[list[np.ndarray], str, str]] = {
    "opacities differ between masks": (strokes(100, 255, 255), ".png", "alpha up to 100 only.*--threshold 0"),
    "opacities differ within masks": ([with_alpha(np.array([0, 100, 255, 255])[m]) for m in IDS], ".png",
                                      "areas of alpha 100"),
    "faint colours without a map": (FAINT_COLOURS, ".png", r"which colour is which class.*\(0, 0, 200\)"),
    "all transparent": (strokes(0, 0, 0), ".png", "empty|object"),
}  # fmt: skip


@pytest.mark.parametrize("name", OPACITIES_REFUSED)
def test_ambiguous_opacities_are_refused(name: str, tmp_path: Path) -> None:
    masks, suffix, message = OPACITIES_REFUSED[name]
    with pytest.raises(DataError, match=message):
        open_masks(tmp_path, masks, suffix=suffix)
