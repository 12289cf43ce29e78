"""Images that are the same or nearly the same, found from small grey thumbnails."""

from __future__ import annotations

import cv2
import numpy as np

MIN_CORRELATION = 0.98
"""Thumbnails that correlate more than this are taken for near-duplicates (resized, a frame later)."""

THUMBNAIL_SIDE = 32
CHUNK = 512


def thumbnail(image: np.ndarray) -> np.ndarray:
    """float32 (1024,) of unit length and zero mean: uint8 (H, W, 3) as 32 x 32 grey; zeros if uniform."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(grey, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA).reshape(-1)
    small = small - small.mean()
    length = float(np.linalg.norm(small))
    unit: np.ndarray = small / length if length > THUMBNAIL_SIDE * 0.5 else np.zeros_like(small)
    return unit


def duplicate_groups(thumbnails: list[np.ndarray], content_ids: list[str]) -> list[list[int]]:
    """Groups of two or more indices whose images are equal or correlate above `MIN_CORRELATION`, chained.

    Args:
        thumbnails: one per image, from `thumbnail`.
        content_ids: sha256 of each image.
    """
    parent = list(range(len(thumbnails)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[str, int] = {}
    for index, identity in enumerate(content_ids):
        parent[root(index)] = root(first.setdefault(identity, index))
    if thumbnails:
        stack = np.stack(thumbnails)
        for start in range(0, len(stack), CHUNK):
            close = stack[start : start + CHUNK] @ stack.T > MIN_CORRELATION
            for row, column in zip(*np.nonzero(close), strict=True):
                if row + start < column:
                    parent[root(int(column))] = root(int(row) + start)
    groups: dict[int, list[int]] = {}
    for index in range(len(parent)):
        groups.setdefault(root(index), []).append(index)
    return sorted(sorted(members) for members in groups.values() if len(members) > 1)
