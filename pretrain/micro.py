"""Scenes from microscopes: fluorescent nuclei, stained tissue, membranes, colonies; bubbles and pebbles held out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from canvas import MOST_INSTANCES, Canvas, Part, filled, lines, spread, voronoi
from materials import Bank, Material, draw_camera, draw_material, light_from, rgb
from shapes import blob

if TYPE_CHECKING:
    from numpy.random import Generator

Array = Any


def _plain(base: Array, **more: Any) -> Material:
    return Material(np.clip(base, 0, 1), np.clip(base, 0, 1), 0, 0.0, **more)


class Cells:
    """Nuclei, bright on dark (fluorescence) or dark on light (stain): packed, touching, of uneven brightness."""

    def __init__(self, rng: Generator, bank: Bank) -> None:
        self.bank, self.camera = bank, draw_camera(rng)
        self.dark = bool(rng.random() < 0.6)
        self.camera = replace(
            self.camera, vignette=0.0, grey=self.dark and bool(rng.random() < 0.7), coarse=1.0, exposes=not self.dark
        )
        self.radius = float(np.exp(rng.uniform(np.log(4), np.log(30))))
        self.cover, self.vary = rng.uniform(0.08, 0.75), rng.uniform(0.05, 0.35)
        self.aspect, self.irregular = float(np.exp(rng.uniform(0, 0.6))), rng.uniform(0, 0.3)
        self.manner, self.haze = int(rng.integers(3)), rng.uniform(0, 0.25)
        self.texture, self.contrast = int(rng.integers(1 << 20)), rng.uniform(0, 0.5)
        self.blur, self.lumens = rng.uniform(0.4, 1.6), bool(not self.dark and rng.random() < 0.35)
        if self.dark:
            channel = np.array([[1, 1, 1], [0.25, 0.4, 1], [0.2, 1, 0.3], [1, 0.3, 0.25], [0.2, 0.9, 0.9]])
            self.tint = channel[int(rng.choice(5, p=[0.5, 0.2, 0.15, 0.1, 0.05]))]
            self.ground = self.tint * rng.uniform(0.0, 0.12) + 0.01
            self.paint, self.spread = self.tint * rng.uniform(0.2, 0.9), rng.uniform(0.1, 0.6)
        else:
            self.ground = np.array([0.93, 0.76, 0.85]) + rng.normal(0, 0.06, 3) - rng.uniform(0, 0.2)
            self.paint = np.array([0.42, 0.22, 0.55]) + rng.normal(0, 0.1, 3)
            self.spread = rng.uniform(0.05, 0.25)
            if rng.random() < 0.25:  # a brown or blue counterstain
                self.paint = np.array([[0.45, 0.28, 0.15], [0.3, 0.4, 0.7]])[int(rng.integers(2))]
        self.second = rng.random() < 0.3
        shift = self.paint * rng.uniform(0.3, 0.7) if self.dark else self.paint + rng.normal(0, 0.15, 3)
        self.other = (shift, rng.uniform(0.4, 2.2))

    def _ground(self, rng: Generator, side: int) -> Array:
        bank = self.bank
        image = np.empty((side, side, 3), np.float32)
        image[:] = self.ground
        cloud = cv2.GaussianBlur(bank.patch(rng, 0, side, side, 1.5, 3), (0, 0), 8)
        if self.dark:
            return image + (np.clip(cloud + 0.4, 0, None) * self.haze)[..., None] * self.tint.astype(np.float32)
        fibre = bank.patch(rng, 1 + 6 * int(rng.integers(20)), side, side)
        image -= (fibre * 0.05)[..., None] * rgb(0.6, 1.2, 0.8)
        image -= np.clip(cloud * 0.25 + 0.1, 0, None)[..., None] * rgb(0.35, 0.75, 0.45)
        white = cv2.GaussianBlur((bank.patch(rng, 0, side, side, 1, 3) > 0.75).astype(np.float32), (0, 0), 1.2)
        return image + (0.95 - image) * white[..., None]

    def _nucleus(self, rng: Generator, canvas: Canvas, at: Array, scale: float, paint: Array, label: int) -> None:
        radius = self.radius * scale * float(np.exp(rng.normal(0, self.vary)))
        shape = blob(rng, max(1.8, radius), self.irregular, self.aspect, rng.uniform(0, 6.3), 28)
        part = filled([shape + at], canvas.image.shape[0])
        if part is None:
            return
        height, width = part.mask.shape
        gain = float(np.exp(rng.normal(0, self.spread)))
        body = np.empty((height, width, 3), np.float32)
        body[:] = paint * gain if self.dark else paint + (gain - 1) * 0.4
        body *= (1 + self.contrast * self.bank.patch(rng, self.texture, height, width))[..., None]
        if self.dark:
            under = canvas.image[part.top : part.top + height, part.left : part.left + width]
            body = np.maximum(body, under * 0.8)
        canvas.paint(part, body, self.blur, 1.0 if self.dark else 0.9, label)

    def render(self, rng: Generator, side: int = 256) -> tuple[Array, Array, Array]:
        """Draw one layout; see `Things.render`."""
        canvas = Canvas(self._ground(rng, side))
        if self.dark and rng.random() < 0.6:  # others out of focus
            for at in spread(rng, 6, side, 0):
                self._nucleus(rng, canvas, at, 1.4, self.paint * 0.35, 0)
            canvas.image = cv2.GaussianBlur(canvas.image, (0, 0), self.radius * 0.3 + 2)
        if self.lumens:
            for at in spread(rng, int(rng.integers(1, 5)), side, 2):
                part = filled([blob(rng, rng.uniform(12, 34), 0.3, 1.4, rng.uniform(0, 6)) + at], side)
                if part is not None:
                    canvas.paint(part, rgb(0.95, 0.93, 0.95) + 0 * part.mask[..., None], 1.0, 1.0, 2)
        num = int(np.clip(self.cover * rng.uniform(0.6, 1.2) * side**2 / (3.3 * self.radius**2), 2, 160))
        for at in spread(rng, num, side, self.manner):
            self._nucleus(rng, canvas, at, 1.0, self.paint, 1)
        if self.second:
            for at in spread(rng, max(2, num // 4), side, 0):
                self._nucleus(rng, canvas, at, self.other[1], self.other[0], 3)
        return self.camera.take(rng, self.bank, canvas.image), canvas.category, canvas.instance


class Membranes:
    """Packed cells with borders, dim or strong, and organelles in them; the borders or the cells are asked for."""

    def __init__(self, rng: Generator, bank: Bank) -> None:
        self.bank, self.camera = bank, replace(draw_camera(rng), vignette=0.0)
        self.grey = bool(rng.random() < 0.6)
        self.camera.grey = self.grey
        self.num, self.warp = int(np.exp(rng.uniform(np.log(8), np.log(140)))), rng.uniform(1, 7)
        self.width, self.spread = rng.uniform(0.8, 3.2), rng.uniform(0.02, 0.25)
        self.inside = np.full(3, rng.uniform(0.35, 0.8)) if self.grey else rng.uniform(0.2, 0.9, 3)
        self.border = np.clip(self.inside * rng.uniform(0.2, 0.75) if rng.random() < 0.7 else self.inside * 1.35, 0, 1)
        self.texture, self.contrast = int(rng.integers(1 << 20)), rng.uniform(0.05, 0.35)
        self.borders_asked = bool(rng.random() < 0.5)
        self.organelle = self.inside * rng.uniform(0.4, 0.85) if rng.random() < 0.6 else None
        self.size, self.edge = rng.uniform(3, 11), rng.uniform(0.4, 1.2)

    def render(self, rng: Generator, side: int = 256) -> tuple[Array, Array, Array]:
        """Draw one layout; see `Things.render`."""
        seeds = spread(rng, self.num, side, int(rng.choice([0, 2])))
        labels, _ = voronoi(rng, self.bank, seeds, side, self.warp)
        shades = np.exp(rng.normal(0, self.spread, labels.max() + 1)).astype(np.float32)
        image = shades[labels][..., None] * self.inside.astype(np.float32)
        image *= (1 + self.contrast * self.bank.patch(rng, self.texture, side, side))[..., None]
        canvas = Canvas(image)
        near = cv2.GaussianBlur(labels.astype(np.float32), (0, 0), 0.01)
        change = (cv2.dilate(near, np.ones((3, 3))) != cv2.erode(near, np.ones((3, 3)))).astype(np.uint8)
        depth = cv2.distanceTransform(1 - change, cv2.DIST_L2, 3)
        wall = np.clip(self.width + 0.5 - depth, 0, 1)
        if self.organelle is not None:
            for at in spread(rng, int(self.num * 0.8) + 2, side, 0):
                shape = blob(rng, self.size * rng.uniform(0.6, 1.5), 0.25, 1.6, rng.uniform(0, 6.3), 20) + at
                part = filled([shape], side)
                if part is not None:
                    body = self.organelle.astype(np.float32) + 0 * part.mask[..., None].astype(np.float32)
                    body *= 1 + 0.3 * self.bank.patch(rng, self.texture + 6, *part.mask.shape)[..., None]
                    canvas.paint(part, body, 0.8, 1.0, 2)
        walls = Part((wall > 0.5).astype(np.uint8), 0, 0, wall)
        tone = self.border.astype(np.float32) * (1 + 0.3 * self.bank.patch(rng, 3, side, side))[..., None]
        canvas.paint(walls, tone, self.edge, 0.95, 1 if self.borders_asked else 0)
        if not self.borders_asked:
            free = (wall <= 0.5) & (canvas.category == 0)
            canvas.category[free] = 1
            numbers = canvas.count + labels
            canvas.instance[free] = np.where(numbers > MOST_INSTANCES, 0, numbers)[free]
        return self.camera.take(rng, self.bank, canvas.image), canvas.category, canvas.instance


class Bubbles:
    """Held out: translucent overlapping bubbles, or packed pebbles with relief."""

    def __init__(self, rng: Generator, bank: Bank) -> None:
        self.bank, self.camera = bank, draw_camera(rng)
        self.pebbles = bool(rng.random() < 0.5)
        self.num, self.warp = int(rng.integers(12, 90)), rng.uniform(1, 3)
        self.ground = draw_material(rng, bank, np.array([0.5, 0.45, 0.4]))
        self.gap = rng.uniform(1, 4)
        tone = np.array([0.55, 0.5, 0.45]) + rng.normal(0, 0.12, 3)
        self.stone = replace(draw_material(rng, bank, tone), base=tone, matcap=-1, dome=0.7, contrast=0.3, light=0.12)
        self.rare = replace(self.stone, base=np.clip(tone + rng.normal(0, 0.2, 3), 0, 1))

    def render(self, rng: Generator, side: int = 256) -> tuple[Array, Array, Array]:
        """Draw one layout; see `Things.render`."""
        light = light_from(rng)
        ground = replace(self.ground, dome=0.0, rim=0.0, matcap=-1)
        canvas = Canvas(ground.body(rng, self.bank, np.ones((side, side), np.uint8), light))
        (self._pebbles if self.pebbles else self._bubbles)(rng, canvas, light)
        return self.camera.take(rng, self.bank, canvas.image), canvas.category, canvas.instance

    def _pebbles(self, rng: Generator, canvas: Canvas, light: Array) -> None:
        side = canvas.image.shape[0]
        labels, _ = voronoi(rng, self.bank, spread(rng, self.num, side, 2), side, self.warp)
        for k in range(1, labels.max() + 1):
            mask = cv2.erode((labels == k).astype(np.uint8), np.ones((3, 3)), iterations=int(self.gap))
            ys, xs = np.nonzero(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5))))
            if len(ys) > 20:
                top, left = max(0, ys.min() - 2), max(0, xs.min() - 2)
                part = Part(np.ascontiguousarray(mask[top : ys.max() + 3, left : xs.max() + 3]), top, left)
                rare = rng.random() < 0.25
                body = (self.rare if rare else self.stone).body(rng, self.bank, part.mask, light)
                canvas.paint(part, body, 0.7, 1.0, 2 if rare else 1)

    def _bubbles(self, rng: Generator, canvas: Canvas, light: Array) -> None:
        side = canvas.image.shape[0]
        for at in spread(rng, self.num, side, 0):
            radius = float(np.exp(rng.uniform(np.log(4), np.log(34))))
            part = filled([blob(rng, radius, 0.0, 1.0, 0.0) + at], side)
            if part is None:
                continue
            height, width = part.mask.shape
            depth = cv2.distanceTransform(part.mask, cv2.DIST_L2, 3) / max(2.0, radius)
            under = canvas.image[part.top : part.top + height, part.left : part.left + width]
            rim = np.exp(-depth * 9)[..., None]
            body = under * (1.08 - 0.5 * rim) + 0.25 * np.exp(-((depth - 0.45) ** 2) * 90)[..., None]
            canvas.paint(part, body.astype(np.float32), 0.5, 1.0, 1)


def threads(rng: Generator, side: int, num: int, width: float) -> Part | None:
    """Curved threads across the canvas."""
    paths = []
    for _ in range(num):
        turn = rng.uniform(0, 6.3) + np.cumsum(rng.normal(0, 0.12, 60))
        path = rng.uniform(0, side, 2) + np.cumsum(np.stack([np.cos(turn), np.sin(turn)], 1) * 5, 0)
        paths.append((path, width * rng.uniform(0.7, 1.3)))
    return lines(paths, side)
