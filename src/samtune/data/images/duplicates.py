"""Equal and nearly equal images, by correlation of small grey thumbnails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import ArrayLike

MIN_CORRELATION = 0.98
"""Images whose thumbnails correlate above this are near-duplicates: resized copies, neighbouring frames."""

THUMBNAIL_SIDE = 32
"""Rows and columns of a thumbnail."""

CHUNK = 512
"""Thumbnails that are compared with all others at once."""


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Return an image as a vector that `duplicate_groups` compares.

    Args:
        image: uint8 (H, W, 3) RGB.

    Returns:
        float32 (1024,): 32 x 32 grey values of zero mean and unit length; zeros for a uniform image.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(grey, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA).reshape(-1)
    small = small - small.mean()
    length = float(np.linalg.norm(small))
    unit: np.ndarray = small / length if length > THUMBNAIL_SIDE * 0.5 else np.zeros_like(small)
    return unit


def duplicate_groups(thumbnails: list[np.ndarray], content_ids: list[str]) -> list[list[int]]:
    """Return groups of images that are equal or correlate above `MIN_CORRELATION`.

    Groups are transitive: A and C are in one group if both resemble B.

    Args:
        thumbnails: one for each image, from `thumbnail`.
        content_ids: `content_id` of each image.

    Returns:
        Sorted lists of two or more indices each.
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
    """Return the connected components of a graph, ordered by their first item.

    Args:
        num_items: number of nodes; items are the integers below it.
        links: arrays (2, n) of items; each column is an edge.

    Returns:
        Lists of items, each sorted; every item is in one of them.
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
