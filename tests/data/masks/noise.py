"""What JPEG, resizing and blur make of masks."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from tests.data.drawn import Noise, blobs, blurred, jpeg, lines, resized

NOISE: dict[str, Noise] = {
    **{f"jpeg {quality}": jpeg(quality) for quality in (100, 95, 90, 75, 50, 30, 10)},
    **{
        f"{how.lower()} x {factor}": resized(how, factor)
        for how in ("BILINEAR", "BICUBIC", "LANCZOS", "BOX", "HAMMING")
        for factor in (0.5, 0.37, 2, 3.3)
        if how != "BOX" or factor < 1
    },
    "blur 0.7": blurred(0.7),
    "blur 1.5": blurred(1.5),
}

DRAWN: dict[str, Callable[[int], np.ndarray]] = {
    "areas": blobs,
    "small": lambda seed: blobs(seed, 1, (3, 5)),
    "lines 3 wide": lambda seed: lines(seed, 3),
}


def seen_by(drawn: str, noise: str) -> list[np.ndarray]:
    return [np.array(NOISE[noise](DRAWN[drawn](seed) * np.uint8(255))) for seed in range(2)]


def above(masks: list[np.ndarray], threshold: float = 127) -> list[np.ndarray]:
    return [(mask > threshold).astype(np.uint8) for mask in masks]


def outlined(inner: int, border: int, width: int) -> Callable[[int], np.ndarray]:
    def draw(seed: int) -> np.ndarray:
        whole = blobs(seed)
        mask = whole.astype(np.int64) * border
        mask[cv2.erode(whole, np.ones((2 * width + 1, 2 * width + 1), np.uint8)) > 0] = inner
        return mask

    return draw
