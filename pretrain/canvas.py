"""A canvas with its two label maps, and the masks that are painted on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator

    from materials import Bank

Array = Any
MOST_INSTANCES = 250


class Part(NamedTuple):
    """A mask uint8 (h, w) at a place of the canvas, with coverage 0..1 (None: the blurred mask) and own colours."""

    mask: Array
    top: int
    left: int
    coverage: Array | None = None
    own: Array | None = None


class Canvas:
    """An image under way, with category and instance maps."""

    def __init__(self, image: Array) -> None:
        self.image = np.ascontiguousarray(image, np.float32)
        self.category, self.instance = np.zeros((2, *image.shape[:2]), np.uint8)
        self.count = 0

    def shade(self, part: Part, strength: float, offset: tuple[int, int], blur: float) -> None:
        """Darken the ground beside a part: its shadow."""
        cover = np.zeros(self.image.shape[:2], np.float32)
        height, width = part.mask.shape
        cover[part.top : part.top + height, part.left : part.left + width] = part.mask
        move = np.array([[1, 0, offset[0]], [0, 1, offset[1]]], np.float32)
        cover = cv2.GaussianBlur(cv2.warpAffine(cover, move, cover.shape[::-1]), (0, 0), blur)
        self.image *= (1 - strength * cover)[..., None]

    def paint(self, part: Part, body: Array, edge: float, opacity: float, category: int) -> None:
        """Paint one instance; category 0 clears the labels below it."""
        height, width = part.mask.shape
        window = (slice(part.top, part.top + height), slice(part.left, part.left + width))
        cover = part.mask.astype(np.float32) if part.coverage is None else part.coverage
        alpha = cv2.GaussianBlur(cover, (0, 0), edge) if edge > 0.25 else cover
        self.image[window] += (body - self.image[window]) * (alpha * opacity)[..., None]
        on = part.mask > 0
        self.count = min(self.count + 1, MOST_INSTANCES)
        self.category[window][on] = category
        self.instance[window][on] = self.count if category else 0


def clipped(coverage: Array, top: int, left: int, side: int, own: Array | None = None) -> Part | None:
    """Cut a coverage map (h, w) 0..1 at a place that may lie partly outside the canvas; None if nothing is left."""
    height, width = coverage.shape
    t, l, b, r = max(0, top), max(0, left), min(side, top + height), min(side, left + width)  # noqa: E741
    if b - t < 2 or r - l < 2:
        return None
    cut = np.ascontiguousarray(coverage[t - top : b - top, l - left : r - left], np.float32)
    mask = (cut > 0.5).astype(np.uint8)
    if not mask.any():
        return None
    return Part(mask, t, l, cut, None if own is None else own[t - top : b - top, l - left : r - left])


def stamped(rng: Generator, asset: Array, at: Array, size: float, angle: float, side: int) -> Part | None:
    """Turn and scale an asset, coverage (128, 128) or RGBA (128, 128, 4) uint8, to `size` pixels around a place."""
    reach = int(np.ceil(size * 0.72)) + 1
    scale = size / 120
    matrix = cv2.getRotationMatrix2D((63.5, 63.5), np.rad2deg(angle), scale)
    matrix[:, 2] += reach - 63.5
    if rng.random() < 0.5:
        asset = asset[:, ::-1]
    if scale < 0.5:
        small = 64 if scale > 0.25 else 32
        asset = cv2.resize(np.ascontiguousarray(asset), (small, small), interpolation=cv2.INTER_AREA)
        matrix[:, :2] *= 128 / small
        matrix[:, 2] = reach - matrix[:, :2] @ np.full(2, (small - 1) / 2)
    turned = cv2.warpAffine(np.ascontiguousarray(asset), matrix, (2 * reach, 2 * reach), flags=cv2.INTER_LINEAR)
    top, left = round(float(at[1])) - reach, round(float(at[0])) - reach
    if turned.ndim == 2:
        return clipped(turned.astype(np.float32) / 255, top, left, side)
    own = turned[..., :3].astype(np.float32) / 255
    return clipped(turned[..., 3].astype(np.float32) / 255, top, left, side, own)


def filled(outlines: list[Array], side: int) -> Part | None:
    """Fill polygons (n, 2) in pixels, antialiased: their union."""
    low = np.min([o.min(0) for o in outlines], axis=0) - 3
    high = np.max([o.max(0) for o in outlines], axis=0) + 3
    left, top = (int(v) for v in np.clip(np.floor(low), 0, side))
    right, bottom = (int(v) for v in np.clip(np.ceil(high), 0, side))
    if right - left < 3 or bottom - top < 3:
        return None
    fine = np.zeros(((bottom - top) * 2, (right - left) * 2), np.uint8)
    for outline in outlines:
        cv2.fillPoly(fine, [np.round((outline - (left, top)) * 32).astype(np.int32)], 255, cv2.LINE_AA, 4)
    coverage = cv2.resize(fine, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return clipped(coverage.astype(np.float32) / 255, top, left, side)


def lines(paths: list[tuple[Array, float]], side: int, least: float = 0.4) -> Part | None:
    """Draw lines ((n, 2) pixels, width in pixels), antialiased, on the whole canvas; labelled where covered enough."""
    fine = np.zeros((side * 2, side * 2), np.uint8)
    for path, width in paths:
        points = [np.round(path * 32).astype(np.int32)]
        cv2.polylines(fine, points, False, 255, max(1, round(2 * width)), cv2.LINE_AA, 4)
    coverage = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    mask = (coverage >= least).astype(np.uint8)
    return Part(mask, 0, 0, coverage) if mask.any() else None


def voronoi(rng: Generator, bank: Bank, seeds: Array, side: int, warp: float) -> tuple[Array, Array]:
    """Cells round seeds (n, 2), warped: the nearest seed's number from 1 on, and the distance to it; (side, side)."""
    marks = np.ones((side, side), np.uint8)
    places = np.clip(np.round(seeds), 0, side - 1).astype(int)
    marks[places[:, 1], places[:, 0]] = 0
    distance, labels = cv2.distanceTransformWithLabels(marks, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    if warp:
        rows, columns = np.mgrid[:side, :side].astype(np.float32)
        bend = [cv2.GaussianBlur(bank.patch(rng, int(rng.integers(24)) * 6, side, side), (0, 0), 4) for _ in (0, 1)]
        map_x, map_y = columns + bend[0] * warp * 3, rows + bend[1] * warp * 3
        labels = cv2.remap(labels.astype(np.float32), map_x, map_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
        distance = cv2.remap(distance, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return labels.astype(np.int32), distance


def spread(rng: Generator, num: int, side: int, manner: int) -> Array:
    """Places (num, 2): 0 anywhere, 1 in clusters, 2 on a jittered grid."""
    if manner == 1:
        centres = rng.uniform(0, side, (max(1, num // 6), 2))
        return centres[rng.integers(len(centres), size=num)] + rng.normal(0, side / 12, (num, 2))
    if manner == 2:
        step = side / max(1.0, np.sqrt(num))
        grid = np.stack(np.meshgrid(np.arange(step / 2, side, step), np.arange(step / 2, side, step)), -1).reshape(
            -1, 2
        )
        grid = grid + rng.normal(0, step / 6, grid.shape)
        return grid[rng.permutation(len(grid))[:num]]
    return rng.uniform(-0.03, 1.03, (num, 2)) * side
