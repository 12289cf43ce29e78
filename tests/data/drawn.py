"""Masks as people draw them, and what programs do to them: JPEG, resizing, blur."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image

from samtune.data import DataOptions, Dataset, open_dataset
from tests.data.folders import picture, save

HW = (64, 80)
Noise = Callable[[np.ndarray], np.ndarray]


def ellipse(rng: np.random.Generator, hw: tuple[int, int], radii: tuple[int, int]) -> np.ndarray:
    """0/1 uint8: an ellipse somewhere."""
    mask = np.zeros(hw, np.uint8)
    centre = (int(rng.integers(8, hw[1] - 8)), int(rng.integers(8, hw[0] - 8)))
    axes = (int(rng.integers(*radii)), int(rng.integers(*radii)))
    return np.asarray(cv2.ellipse(mask, centre, axes, float(rng.integers(180)), 0, 360, 1, -1))


def blobs(seed: int, num: int = 3, radii: tuple[int, int] = (6, 14)) -> np.ndarray:
    """0/1 uint8: a few areas."""
    rng = np.random.default_rng(seed)
    return np.asarray(np.max([ellipse(rng, HW, radii) for _ in range(num)], axis=0), np.uint8)


def classes(seed: int, ids: Sequence[int]) -> np.ndarray:
    """int64: two areas of each id on 0."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(HW, np.int64)
    for value in (*ids, *ids):
        mask[ellipse(rng, HW, (6, 12)) > 0] = value
    return mask


def lines(seed: int, width: int, num: int = 3) -> np.ndarray:
    """0/1 uint8: bent lines of some width."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(HW, np.uint8)
    for _ in range(num):
        corners = rng.integers(0, [HW[1], HW[0]], (4, 2)).astype(np.int32)
        mask = np.asarray(cv2.polylines(mask, [corners], False, 1, width))
    return mask


def cells(seed: int, num: int, radius: int, hw: tuple[int, int] = (128, 160)) -> np.ndarray:
    """int64: round objects, numbered from 1."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(hw, np.int64)
    for value in range(1, num + 1):
        centre = (int(rng.integers(hw[1])), int(rng.integers(hw[0])))
        disc = np.asarray(cv2.circle(np.zeros(hw, np.uint8), centre, radius, 1, -1))
        mask[(disc > 0) & (mask == 0)] = value
    return np.asarray(np.searchsorted(np.unique(mask), mask))


def street(seed: int, num_classes: int, background: int = 0) -> np.ndarray:
    """int64: every pixel one of the classes, with poles one and two pixels wide; one class may become 0."""
    rng = np.random.default_rng(seed)
    seeds = rng.integers(0, HW, (25, 2))
    labels = np.concatenate([np.arange(1, num_classes + 1), rng.integers(1, num_classes + 1, 25)])[:25]
    y, x = np.mgrid[: HW[0], : HW[1]]
    mask = labels[((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2).argmin(axis=-1)]
    mask[lines(seed, 1) > 0] = num_classes // 2
    mask[lines(seed + 9, 2) > 0] = num_classes // 3
    return np.asarray(np.where(mask == background, 0, mask))


def jpeg(quality: int) -> Noise:
    def noise(mask: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(mask).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return noise


def resized(how: str, factor: float) -> Noise:
    def noise(mask: np.ndarray) -> np.ndarray:
        size = (round(mask.shape[1] * factor), round(mask.shape[0] * factor))
        return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling[how]))

    return noise


def blurred(sigma: float) -> Noise:
    return lambda mask: np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma))


def open_masks(
    root: Path, masks: Sequence[np.ndarray | Image.Image], options: DataOptions | None = None, suffix: str = ".png"
) -> Dataset:
    """Write masks, arrays to TIFF by tifffile, with images of their sizes; then open them."""
    for index, mask in enumerate(masks):
        hw = (mask.size[1], mask.size[0]) if isinstance(mask, Image.Image) else (mask.shape[0], mask.shape[1])
        save(root / "images" / f"{index}.png", picture(index, hw))
        path = root / "masks" / f"{index}{suffix}"
        path.parent.mkdir(exist_ok=True)
        if isinstance(mask, Image.Image):
            mask.save(path)
        elif suffix == ".tif":
            tifffile.imwrite(path, mask, photometric="rgb" if mask.ndim == 3 else "minisblack")
        else:
            Image.fromarray(mask).save(path)
    return open_dataset(root / "images", root / "masks", options)


def assert_reads(dataset: Dataset, truths: Sequence[np.ndarray], num_classes: int) -> None:
    """Check every label map and its counts."""
    assert dataset.num_classes == num_classes, dataset.encoding.sentence
    for index, truth in enumerate(truths):
        labels = dataset.labels(index)
        np.testing.assert_array_equal(labels, truth)
        counted = np.bincount(labels.reshape(-1), minlength=256)
        assert dataset.label_counts[index].tolist() == [*counted[: num_classes + 1], counted[255]]
