"""Masks of one class, of three classes and of three colours; and what a case of reading them checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from samtune.data import DataOptions, Dataset, open_dataset
from tests.data.drawn import assert_reads, blobs, classes, open_masks

NUM = 3
BLOBS = [blobs(seed) for seed in range(NUM)]
IDS = [classes(seed, (1, 2, 3)) for seed in range(NUM)]
COLOURS = np.array([(0, 0, 0), (200, 0, 0), (0, 200, 0), (0, 0, 200)], np.uint8)
MAP = {"a": (200, 0, 0), "b": (0, 200, 0), "c": (0, 0, 200)}
Masks = list[np.ndarray] | list[Image.Image]
Read = tuple[Masks, DataOptions, list[np.ndarray], int, str]
Refused = tuple[Masks, DataOptions, str]


def u8(masks: list[np.ndarray]) -> list[np.ndarray]:
    return [mask.astype(np.uint8) for mask in masks]


def changed(masks: list[np.ndarray], value: float, dtype: type = np.uint8) -> list[np.ndarray]:
    """The masks with one value in their upper rows."""
    copies: list[np.ndarray] = [mask.astype(dtype) for mask in masks]
    for mask in copies:
        mask[:4] = value
    return copies


def check_read(root: Path, case: Read, suffix: str) -> Dataset:
    masks, options, truths, num_classes, message = case
    dataset = open_masks(root / "first", masks, options, suffix)
    assert_reads(dataset, truths, num_classes)
    assert any(message in note for note in dataset.notes), dataset.notes
    again = open_dataset(root / "first" / "images", root / "first" / "masks", dataset.options)
    assert again.encoding.num_classes == num_classes
    np.testing.assert_array_equal(again.labels(0), truths[0])
    assert again.options == dataset.options
    return dataset


def bands(*ids: int, top: int = 255) -> list[np.ndarray]:
    return [np.dstack([(mask == value) * np.uint8(top) for value in ids]) for mask in IDS]
