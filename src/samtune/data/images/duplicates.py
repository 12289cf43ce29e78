"""Images that are the same or nearly the same, found from small grey thumbnails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import ArrayLike

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
    """Return the groups of two or more indices whose images are equal or correlate above `MIN_CORRELATION`, chained.

    Args:
        thumbnails: one per image, from `thumbnail`.
        content_ids: sha256 of each image.
    """
    if not thumbnails:
        return []
    first: dict[str, int] = {}
    same = [first.setdefault(identity, index) for index, identity in enumerate(content_ids)]
    stack = np.stack(thumbnails)

    def links() -> Iterator[ArrayLike]:
        yield [same, list(range(len(same)))]
        for start in range(0, len(stack), CHUNK):
            rows, columns = np.nonzero(stack[start : start + CHUNK] @ stack.T > MIN_CORRELATION)
            yield np.stack([rows + start, columns])

    return [members for members in linked_sets(len(stack), links()) if len(members) > 1]


def linked_sets(num_items: int, links: Iterable[ArrayLike]) -> list[list[int]]:
    """Return the sets of items that hang together through links, ordered by their first item; each item is in one.

    Args:
        num_items: items are the numbers below it.
        links: arrays (2, n) of items; each item of the first row is linked with the one below it.
    """
    from scipy.sparse import coo_array  # slow to import
    from scipy.sparse.csgraph import connected_components

    labels = np.arange(num_items)
    for pair in links:
        ends = labels[np.asarray(pair, int)]
        graph = coo_array((np.ones(ends.shape[1]), ends), shape=(num_items, num_items))
        labels = connected_components(graph, directed=False)[1][labels]
    sets: dict[int, list[int]] = {}
    for item, label in enumerate(labels.tolist()):
        sets.setdefault(label, []).append(item)
    return list(sets.values())
