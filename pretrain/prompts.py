"""Sampling of prompts out of label maps: points, boxes, and cells of support images.

All in numpy on integer maps; pixel coordinates (x, y) of the crop, pixel centres at +0.5. Targets are kept at the
decoder's resolution as counts 0-4 of the pixels covered out of 2 x 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

Array = Any
MIN_AREA = 12
NUM_CROSS_TOKENS = 8
CELL_COUNTS = (1, 2, 4, 8, 16)


def halved(masks: Array) -> Array:
    """Counts 0-4 of the pixels covered, (..., S / 2, S' / 2) uint8, of bool masks (..., S, S')."""
    ones = masks.view(np.uint8)
    rows = ones[..., ::2, :] + ones[..., 1::2, :]
    counts: Array = rows[..., ::2] + rows[..., 1::2]
    return counts


@dataclass
class InstancePrompts:
    """Prompts for one instance each, for B images and P prompts; `valid` says which exist."""

    points_xy: Array  # (B, P, 2)
    boxes_xyxy: Array  # (B, P, 4)
    masks: Array  # (B, P, S, S) bool
    valid: Array  # (B, P) bool


def _deepest(mask: Array) -> tuple[int, int]:
    """The row and column of the pixel farthest from a mask's outline."""
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row), int(column)


def instance_prompts(rng: Generator, instances: Array, num: int, jitter: float) -> InstancePrompts:
    """Draw `num` instances an image, a point inside (half of them the deepest) and a jittered box round each.

    Args:
        rng: source of chance.
        instances: (B, S, S') instance ids, 0 none.
        num: prompts an image.
        jitter: largest standard deviation of a box's sides, as a share of its extent.
    """
    images, height, width = instances.shape
    out = InstancePrompts(
        np.zeros((images, num, 2), np.float32),
        np.zeros((images, num, 4), np.float32),
        np.zeros((images, num, height, width), bool),
        np.zeros((images, num), bool),
    )
    for i, ids in enumerate(instances):
        areas = np.bincount(ids.ravel(), minlength=2)
        areas[0] = 0
        choices = np.flatnonzero(areas >= MIN_AREA)
        if not len(choices):
            continue
        share = areas[choices] ** 0.25  # a little more of the large ones
        repeated = len(choices) < num
        for p, chosen in enumerate(rng.choice(choices, num, replace=repeated, p=share / share.sum())):
            mask = ids == chosen
            ys, xs = np.nonzero(mask)
            k = rng.integers(len(ys))
            row, column = _deepest(mask) if rng.random() < 0.5 else (ys[k], xs[k])
            out.points_xy[i, p] = column + 0.5, row + 0.5
            box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float32)
            extent = np.array([box[2] - box[0], box[3] - box[1]] * 2)
            box = box + np.clip(rng.normal(0, 1, 4), -2, 2) * rng.uniform(0, jitter) * extent
            out.boxes_xyxy[i, p] = np.clip(box, 0, [width, height, width, height])
            out.masks[i, p], out.valid[i, p] = mask, True
    return out


def category_points(rng: Generator, categories: Array, num: int) -> tuple[Array, Array, Array, Array]:
    """Draw one category an image with `num` points, about a third of them (never the first) off it.

    Returns:
        Points (B, num, 2), labels (B, num), masks (B, S, S') bool, valid (B,) bool.
    """
    images, height, width = categories.shape
    points, labels = np.zeros((images, num, 2), np.float32), np.ones((images, num), np.int64)
    masks, valid = np.zeros((images, height, width), bool), np.zeros(images, bool)
    for i, ids in enumerate(categories):
        present = np.flatnonzero(np.bincount(ids.ravel(), minlength=2)[1:] >= MIN_AREA) + 1
        if not len(present):
            continue
        mask = ids == rng.choice(present)
        inside, outside = np.nonzero(mask), np.nonzero(~mask)
        off = rng.random() < 0.5
        for p in range(num):
            negative = off and p > 0 and rng.random() < 0.4 and len(outside[0]) > 0
            ys, xs = outside if negative else inside
            k = rng.integers(len(ys))
            points[i, p], labels[i, p] = (xs[k] + 0.5, ys[k] + 0.5), 0 if negative else 1
        masks[i], valid[i] = mask, True
    return points, labels, masks, valid


@dataclass
class CrossPrompts:
    """Tokens made of cells of support images: B images, P prompts, 8 tokens, up to 16 cells averaged in each."""

    cells: Array  # (B, P, 8, 16) index into the flattened (B * N) cells
    weights: Array  # (B, P, 8, 16), sum to 1 over the cells of a token
    labels: Array  # (B, P, 8) 1 category, 0 background
    masks: Array  # (B, P, S, S') bool
    valid: Array  # (B, P) bool
    categories: Array  # (B, P) the category asked for


def cell_shares(mask: NDArray[Any], patch: int) -> NDArray[Any]:
    """The share of each cell that a mask (B, S, S') covers, flattened to (B * N,)."""
    images, height, width = mask.shape
    cells = mask.reshape(images, height // patch, patch, width // patch, patch)
    share: NDArray[Any] = cells.mean((2, 4), dtype=np.float32).ravel()
    return share


def cross_prompts(rng: Generator, categories: Array, inside: Array, group: int, num: int, patch: int) -> CrossPrompts:
    """Draw category prompts whose tokens come from one or more of the other images of the same scene.

    Args:
        rng: source of chance.
        categories: (B, S, S'), images of one scene adjacent, `group` of each.
        inside: (B, S, S') bool, False on padding.
        group: images a scene.
        num: prompts an image.
        patch: pixels a cell.
    """
    images, height, width = categories.shape
    cells = (height // patch) * (width // patch)
    most, deep = NUM_CROSS_TOKENS, CELL_COUNTS[-1]
    out = CrossPrompts(
        np.zeros((images, num, most, deep), np.int64),
        np.zeros((images, num, most, deep), np.float32),
        np.zeros((images, num, most), np.int64),
        np.zeros((images, num, height, width), bool),
        np.zeros((images, num), bool),
        np.zeros((images, num), np.int64),
    )
    shares = {v: cell_shares(categories == v, patch) for v in np.unique(categories) if v > 0}
    real = cell_shares(inside, patch)
    for i in range(images):
        first = i - i % group
        others = [j for j in range(first, first + group) if j != i]
        present = [v for v in np.unique(categories[first : first + group]) if v > 0]
        for p in range(num if present else 0):
            chosen = present[rng.integers(len(present))]
            support = rng.permutation(others)[: int(rng.integers(1, len(others) + 1))]
            at = np.concatenate([np.arange(j * cells, (j + 1) * cells) for j in support])
            share = shares[chosen][at]
            if share.max() <= 0.05:
                continue
            target = categories[i] == chosen
            if not target.any() and rng.random() < 0.8:
                continue
            background = real[at] - share
            num_inside = int(rng.integers(3, 7)) if background.max() > 0.3 else most
            for t in range(most):
                cover = share if t < num_inside else background
                pool = at[cover >= min(0.6, cover.max() * 0.8)]
                count = int(rng.choice(CELL_COUNTS))
                out.cells[i, p, t, :count] = rng.choice(pool, count)
                out.weights[i, p, t, :count] = 1 / count
                out.labels[i, p, t] = int(t < num_inside)
            out.masks[i, p], out.valid[i, p], out.categories[i, p] = target, True, chosen
    return out
