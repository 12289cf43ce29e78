"""Procedural scenes for `nano`: images of simple things, with category and instance masks, out of a seed.

A `Scene` holds the looks of its background and of 1-4 categories; `Scene.render` draws one more layout of the
same categories each time, so that two layouts give a support image and a query image.
No photograph is read anywhere. Run the file to write a contact sheet.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from shapes import Category, strokes_of

if TYPE_CHECKING:
    from numpy.random import Generator

Array = Any
cv2.setNumThreads(1)

KINDS = ("ellipse", "blob", "polygon", "curve", "tree", "ring", "rod", "creature", "noise", "big")
SHARES = (0.17, 0.14, 0.08, 0.11, 0.06, 0.06, 0.08, 0.13, 0.06, 0.11)
THEMES = ("mixed", "cells", "cracks", "lesion", "creature", "leaf")
THEME_SHARES = (0.46, 0.16, 0.1, 0.09, 0.1, 0.09)
MARGIN = 6


def fractal(rng: Generator, side: int, power: float) -> Array:
    """Draw 1/f^power noise (side, side) of unit mean absolute value."""
    freq = np.fft.fftfreq(side)
    radius = np.sqrt(freq[:, None] ** 2 + freq[None] ** 2)
    radius[0, 0] = 1
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((side, side))) / radius**power).real
    return (field / (np.abs(field).mean() + 1e-9)).astype(np.float32)


def _texture(rng: Generator, kind: int, side: int) -> Array:
    """Draw one texture (side, side), values about -1.5 to 1.5."""
    if kind == 0:
        return fractal(rng, side, rng.uniform(0.4, 2.0)) * 0.5
    if kind == 1:
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 28)
        rows, columns = np.mgrid[:side, :side]
        warp = fractal(rng, side, 1.8) * rng.uniform(0, 14)
        return np.sin((columns * np.cos(angle) + rows * np.sin(angle) + warp) * 2 * np.pi / period) * 0.7
    if kind == 2:
        leaves = np.zeros((side, side), np.float32)
        for x, y, size, value in zip(
            *rng.integers(0, side, (2, 1000)), rng.pareto(2.2, 1000) * 3 + 2, rng.normal(0, 0.6, 1000), strict=True
        ):
            cv2.circle(leaves, (int(x), int(y)), min(int(size), 60), float(value), -1)
        return leaves
    if kind == 3:
        grain = rng.standard_normal((side, side)).astype(np.float32)
        grain = cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.5, 2), sigmaY=rng.uniform(0.5, 9))
        return grain / (grain.std() * 2)
    if kind == 4:
        dots = (rng.random((side, side)) < rng.uniform(0.003, 0.03)).astype(np.float32)
        dots = cv2.GaussianBlur(dots, (0, 0), rng.uniform(0.8, 2.5))
        return (dots - dots.mean()) / (dots.std() * 2.5)
    return rng.standard_normal((side, side)).astype(np.float32) * 0.5


def texture_bank(seed: int, num: int = 120, side: int = 384) -> Array:
    """Draw the bank (num, side, side) float32 that scenes cut their textures from."""
    rng = np.random.default_rng(seed)
    return np.stack([np.clip(_texture(rng, i % 6, side), -1.5, 1.5).astype(np.float32) for i in range(num)])


def colour(rng: Generator) -> Array:
    """Draw an RGB colour in 0..1; a third of them nearly grey."""
    if rng.random() < 0.35:
        return np.full(3, rng.uniform(0.03, 0.97)) + rng.normal(0, 0.02, 3)
    hsv = np.array([[[rng.uniform(0, 360), rng.uniform(0.1, 0.9), rng.uniform(0.1, 1)]]], np.float32)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float64)


@dataclass
class Look:
    """How the instances of a category are painted; colours RGB in 0..1, lengths in pixels."""

    colour: Array
    second: Array
    texture: int
    contrast: float
    edge: float
    opacity: float = 1.0
    rim: float = 0.0
    shade: float = 0.0
    jitter: float = 0.03
    light: float = 0.0
    spots: bool = False


def _look(rng: Generator, ground: Array, thin: bool) -> Look:
    """Draw a look: free, of low contrast to the ground, or the ground's colour with another texture."""
    mode = rng.random()
    paint = colour(rng)
    if mode < 0.3:
        paint = ground + rng.choice([-1, 1]) * rng.uniform(0.05, 0.25) * rng.uniform(0.4, 1, 3)
    elif mode < 0.37 and not thin:
        paint = ground.copy()
    second = paint
    if rng.random() < 0.4:
        second = colour(rng) if rng.random() < 0.5 else paint + rng.normal(0, 0.15, 3)
    textured = 0.3 <= mode < 0.37
    return Look(
        colour=paint,
        second=second,
        texture=int(rng.integers(1 << 30)),
        contrast=rng.uniform(0.15, 0.4) if textured else rng.uniform(0, 0.3),
        edge=0.6 if thin else float(rng.choice([0.5, 0.8, 1.5, 3.0])),
        opacity=rng.uniform(0.55, 1) if rng.random() < 0.35 else 1.0,
        rim=rng.normal(0, 0.25) if rng.random() < 0.3 else 0.0,
        shade=rng.normal(0, 0.25) if rng.random() < 0.5 else 0.0,
        jitter=rng.uniform(0, 0.06),
        light=rng.uniform(0, 0.2) if rng.random() < 0.5 else 0.0,
        spots=bool(rng.random() < 0.12),
    )


def _category(rng: Generator, ground: Array, kind: str | None = None) -> tuple[Category, Look]:
    """Draw a category of a kind (any when None)."""
    kind = kind or str(rng.choice(KINDS, p=SHARES))
    size = float(np.exp(rng.uniform(np.log(4), np.log(40))))
    num, width = int(np.clip(rng.gamma(1.2, 2200 / size**2 + 1.2), 1, 70)), rng.uniform(1, 5)
    if kind in ("curve", "tree"):
        num, width, size = int(rng.integers(1, 6)), float(np.exp(rng.uniform(0, 1.8))), rng.uniform(40, 150)
    elif kind == "creature":
        num, size = int(rng.choice([1, 1, 1, 2, 3])), rng.uniform(14, 46)
    elif kind == "big":
        num, size = (1 if rng.random() < 0.75 else 2), rng.uniform(26, 85)
    elif kind == "noise":
        num, size = 1, rng.uniform(0.05, 0.4)
    shape = Category(
        kind=kind,
        size=size,
        vary=rng.uniform(0, 0.45),
        irregular=rng.uniform(0.05, 0.6),
        aspect=float(np.exp(rng.uniform(0, 0.7))),
        num=num,
        width=width,
        sides=int(rng.integers(3, 8)),
        lean=rng.uniform(0, np.pi),
        aligned=bool(rng.random() < 0.25),
    )
    return shape, _look(rng, ground, kind in ("curve", "tree"))


class Scene:
    """The looks of one scene; every `render` lays the same categories out anew."""

    def __init__(self, rng: Generator, textures: Array) -> None:
        self.textures = textures
        self.ground = colour(rng)
        self.ground2 = self.ground + rng.normal(0, 0.12, 3) if rng.random() < 0.7 else colour(rng)
        self.ground_texture = int(rng.integers(len(textures)))
        self.ground_contrast = rng.uniform(0, 0.28)
        self.zones = bool(rng.random() < 0.35)
        self.categories: list[tuple[Category, Look]] = []
        self.clutter: list[tuple[Category, Look]] = []
        self.highlights, self.vignette = bool(rng.random() < 0.15), bool(rng.random() < 0.1)
        self.illumination = rng.uniform(0, 0.25) if rng.random() < 0.6 else 0.0
        self.grey = bool(rng.random() < 0.25)
        self.blur = rng.uniform(0.4, 1.4) if rng.random() < 0.35 else 0.0
        self.noise = rng.uniform(0, 0.05)
        self.gamma = float(np.exp(rng.normal(0, 0.25)))
        self.jpeg = int(rng.integers(40, 95)) if rng.random() < 0.25 else 0
        theme = str(rng.choice(THEMES, p=THEME_SHARES))
        getattr(self, f"_{theme}")(rng)

    def _mixed(self, rng: Generator) -> None:
        num = 1 if rng.random() < 0.35 else int(rng.integers(2, 5))
        self.categories = [_category(rng, self.ground) for _ in range(num)]
        if num > 1 and rng.random() < 0.3:  # told apart by shape or by size alone
            self.categories[1] = (self.categories[1][0], replace(self.categories[0][1]))
        elif num > 1 and rng.random() < 0.2:  # told apart by texture alone
            like = replace(self.categories[0][1], texture=int(rng.integers(1 << 30)), contrast=0.35)
            self.categories[1] = (self.categories[1][0], like)
        if rng.random() < 0.45:
            self.clutter = [_category(rng, self.ground) for _ in range(int(rng.integers(1, 3)))]

    def _cells(self, rng: Generator) -> None:
        dark = rng.random() < 0.55
        if dark:
            self.ground = np.full(3, rng.uniform(0.0, 0.15)) + rng.normal(0, 0.01, 3)
            self.grey = self.grey or bool(rng.random() < 0.6)
        else:
            self.ground = np.array([0.92, 0.8, 0.88]) + rng.normal(0, 0.08, 3) - rng.uniform(0, 0.25)
        self.ground2 = self.ground + rng.normal(0, 0.06, 3) - (0.0 if dark else 0.1)
        self.ground_contrast = rng.uniform(0, 0.05 if dark else 0.15)
        shape, look = _category(rng, self.ground, "ellipse" if rng.random() < 0.6 else "blob")
        shape.size = float(np.exp(rng.uniform(np.log(3.5), np.log(22))))
        shape.num = int(np.clip(rng.uniform(0.05, 0.45) * 65536 / (3.1 * shape.size**2), 4, 120))
        shape.irregular = rng.uniform(0.05, 0.3)
        paint = rng.uniform(0.12, 0.9, 3) if dark else np.array([0.4, 0.2, 0.5]) + rng.normal(0, 0.12, 3)
        self.categories = [(shape, replace(look, colour=paint, second=paint, edge=rng.uniform(0.5, 1.6)))]
        look = self.categories[0][1]
        look.light, look.opacity, look.contrast = rng.uniform(0.02, 0.3), 1.0, rng.uniform(0, 0.2)
        if rng.random() < 0.35:
            self.categories.append(_category(rng, self.ground))

    def _cracks(self, rng: Generator) -> None:
        self.ground = np.full(3, rng.uniform(0.3, 0.85)) + rng.normal(0, 0.03, 3)
        self.ground2 = self.ground + rng.normal(0, 0.06)
        self.ground_texture = int(rng.choice([3, 4, 5])) + 6 * int(rng.integers(len(self.textures) // 6))
        self.ground_contrast, self.blur = rng.uniform(0.08, 0.3), 0.0
        shape, look = _category(rng, self.ground, "curve" if rng.random() < 0.6 else "tree")
        shape.width, shape.num = rng.uniform(0.9, 3.4), int(rng.integers(1, 5))
        shape.irregular = rng.uniform(0.3, 0.9)
        tone = self.ground * rng.uniform(0.25, 0.8) if rng.random() < 0.85 else self.ground * 1.3
        self.categories = [(shape, replace(look, colour=tone, second=tone, edge=0.6, light=0.03))]
        if rng.random() < 0.4:
            self.clutter = [_category(rng, self.ground)]

    def _lesion(self, rng: Generator) -> None:
        self.ground = np.clip(np.array([0.75, 0.42, 0.35]) + rng.normal(0, 0.15, 3), 0, 1)
        self.ground2 = self.ground + rng.normal(0, 0.1, 3)
        self.zones, self.highlights = bool(rng.random() < 0.7), bool(rng.random() < 0.7)
        self.vignette, self.illumination = bool(rng.random() < 0.6), rng.uniform(0.1, 0.35)
        shape, look = _category(rng, self.ground, "big")
        shift = rng.normal(0, 0.09, 3) + rng.choice([-1, 1]) * rng.uniform(0.02, 0.12)
        paint = self.ground + shift
        self.categories = [(shape, replace(look, colour=paint, second=paint, edge=rng.uniform(1, 5)))]
        look = self.categories[0][1]
        look.shade, look.rim, look.opacity = rng.normal(0, 0.25), rng.normal(0, 0.15), rng.uniform(0.8, 1)
        if rng.random() < 0.5:
            self.clutter = [_category(rng, self.ground, "curve")]

    def _creature(self, rng: Generator) -> None:
        self.zones, self.ground_contrast = True, rng.uniform(0.05, 0.3)
        shape, look = _category(rng, self.ground, "creature")
        shape.num = 1 if rng.random() < 0.75 else int(rng.integers(2, 4))
        shape.size = rng.uniform(22, 46)
        self.categories = [(shape, look)]
        kinds = ("curve", "blob", "rod", "polygon")
        self.clutter = [_category(rng, self.ground, str(rng.choice(kinds))) for _ in range(int(rng.integers(0, 4)))]

    def _leaf(self, rng: Generator) -> None:
        plain = np.full(3, rng.uniform(0.6, 1.0)) + rng.normal(0, 0.02, 3)
        self.ground = plain if rng.random() < 0.6 else colour(rng)
        self.ground2, self.ground_contrast = self.ground.copy(), rng.uniform(0, 0.1)
        leaf, look = _category(rng, self.ground, "leaf")
        leaf.num, leaf.size = int(rng.choice([1, 1, 2])), rng.uniform(50, 110)
        green = colour(rng) if rng.random() < 0.4 else np.array([0.35, 0.6, 0.2]) + rng.normal(0, 0.12, 3)
        body = (leaf, replace(look, colour=green, second=green, edge=0.7, opacity=1.0))
        spot, mark = _category(rng, green, "blob" if rng.random() < 0.7 else "ellipse")
        spot.size, spot.num = rng.uniform(2.5, 14), int(rng.integers(3, 40))
        if np.abs(mark.colour - green).max() < 0.1:
            mark.colour = green + np.array([0.25, -0.1, -0.05])
        self.categories = [body, (spot, mark)] if rng.random() < 0.6 else [(spot, mark)]
        if len(self.categories) == 1:
            self.clutter = [body]

    def _patch(self, rng: Generator, index: int, height: int, width: int) -> Array:
        """Cut a piece (height, width) out of a texture, at a scale of 0.6-2."""
        texture = self.textures[index % len(self.textures)]
        scale = rng.uniform(0.6, 2.0)
        rows, columns = int(height / scale) + 1, int(width / scale) + 1
        rows, columns = min(rows, texture.shape[0]), min(columns, texture.shape[1])
        top = int(rng.integers(0, texture.shape[0] - rows + 1))
        left = int(rng.integers(0, texture.shape[1] - columns + 1))
        cut = texture[top : top + rows, left : left + columns]
        return cv2.resize(cut, (width, height), interpolation=cv2.INTER_LINEAR)

    def _background(self, rng: Generator, side: int) -> Array:
        image = self._patch(rng, self.ground_texture, side, side)[..., None] * self.ground_contrast + self.ground
        if self.zones:
            zone = (smooth_field(rng, side, int(rng.integers(3, 7))) > rng.normal(0, 0.5)).astype(np.float32)
            zone = cv2.GaussianBlur(zone, (0, 0), rng.uniform(0.7, 4))[..., None]
            other = self._patch(rng, self.ground_texture * 7 + 3, side, side)[..., None]
            image = image * (1 - zone) + (other * self.ground_contrast + self.ground2) * zone
        return image.astype(np.float32)

    def render(self, rng: Generator, side: int = 256) -> tuple[Array, Array, Array]:
        """Draw one layout.

        Returns:
            Image (side, side, 3) uint8 RGB; category (side, side) uint8, 0 background; instance
            (side, side) uint8, 0 where there is none.
        """
        image = self._background(rng, side)
        category, instance = np.zeros((2, side, side), np.uint8)
        todo = [
            (shape, look, i + 1)
            for i, (shape, look) in enumerate(self.categories)
            for _ in range(max(1, int(shape.num * rng.uniform(0.5, 1.3))))
        ]
        todo += [(s, k, 0) for s, k in self.clutter for _ in range(max(1, s.num // 2))]
        order = rng.permutation(len(todo))
        if any(shape.kind == "leaf" for shape, _, _ in todo):  # leaves under their spots
            order = np.array(sorted(range(len(todo)), key=lambda i: todo[i][0].kind != "leaf"))
        for number, index in enumerate(order[:140], start=1):
            shape, look, label = todo[index]
            self._paint(rng, image, (category, instance), shape, look, (label, number if label else 0))
        return self._finish(rng, image), category, instance

    def _paint(
        self, rng: Generator, image: Array, maps: tuple[Array, Array], shape: Category, look: Look,
        labels: tuple[int, int],
    ) -> None:  # fmt: skip
        """Paint one instance into the image and the two label maps."""
        side = image.shape[0]
        if shape.kind == "noise":
            field = cv2.resize(fractal(rng, 64, 1.7), (side, side), interpolation=cv2.INTER_CUBIC)
            mask = (field > np.quantile(field[::4, ::4], 1 - shape.size)).astype(np.uint8)
            part, top, left = np.zeros_like(mask), 0, 0
        else:
            drawn = _raster(strokes_of(rng, shape, side), side)
            if drawn is None:
                return
            mask, part, top, left = drawn
        height, width = mask.shape
        alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), look.edge) * look.opacity
        body = np.empty((height, width, 3), np.float32)
        body[:] = look.colour + rng.normal(0, look.jitter, 3) + rng.normal(0, look.light)
        if look.spots:
            part = part | (self._patch(rng, look.texture + 1, height, width) > 0.5)
        body[part > 0] = look.second
        if look.contrast > 0.02:
            body += (self._patch(rng, look.texture, height, width) * look.contrast)[..., None]
        if look.rim or look.shade:
            depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
            depth /= depth.max() + 1e-6
            body += (np.exp(-depth * 6) * look.rim + (depth - 0.5) * look.shade)[..., None]
        window = (slice(top, top + height), slice(left, left + width))
        image[window] += (body - image[window]) * alpha[..., None]
        on = mask > 0
        maps[0][window][on], maps[1][window][on] = labels

    def _finish(self, rng: Generator, image: Array) -> Array:
        """Light, camera and file: what happens to the whole image."""
        side = image.shape[0]
        if self.illumination:
            image = image * (1 + smooth_field(rng, side, 3) * self.illumination)[..., None]
        if self.highlights:
            glint = np.zeros((side, side), np.float32)
            for x, y in rng.integers(0, side, (int(rng.integers(1, 9)), 2)):
                axes = (int(rng.integers(1, 8)), int(rng.integers(1, 5)))
                cv2.ellipse(glint, (int(x), int(y)), axes, 0, 0, 360, 1.0, -1)
            image = image + cv2.GaussianBlur(glint, (0, 0), rng.uniform(0.7, 2))[..., None] * 0.8
        if self.vignette:
            rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
            far = np.sqrt(rows**2 + columns**2)[..., None].astype(np.float32)
            image = image * np.clip(1.6 - far, 0, 1) if rng.random() < 0.5 else image * (1 - 0.4 * far)
        if self.blur:
            image = cv2.GaussianBlur(image, (0, 0), self.blur)
        image = np.clip(image, 0, 1) ** self.gamma
        if self.grey:
            image = np.repeat(image.mean(-1, keepdims=True), 3, -1)
        grain = rng.standard_normal((side, side, 1 if self.grey else 3), dtype=np.float32)
        out = (np.clip(image + grain * self.noise, 0, 1) * 255).astype(np.uint8)
        if self.jpeg:
            packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg])[1]
            out = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        return out


def smooth_field(rng: Generator, side: int, knots: int) -> Array:
    """Draw a smooth random field (side, side) of about unit deviation."""
    coarse = rng.standard_normal((knots, knots)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def _raster(strokes: Any, side: int) -> tuple[Array, Array, int, int] | None:
    """Draw strokes into the smallest window of the canvas; None where nothing is on it."""
    low = np.min([s.points.min(0) - s.width for s in strokes], axis=0) - MARGIN
    high = np.max([s.points.max(0) + s.width for s in strokes], axis=0) + MARGIN
    left, top = (int(v) for v in np.clip(np.floor(low), 0, side))
    right, bottom = (int(v) for v in np.clip(np.ceil(high), 0, side))
    if right - left < 2 or bottom - top < 2:
        return None
    mask, part = np.zeros((2, bottom - top, right - left), np.uint8)
    for stroke in strokes:
        points = np.round((stroke.points - (left, top)) * 8).astype(np.int32)
        for canvas in (mask, part) if stroke.accent else (mask,):
            if stroke.width:
                cv2.polylines(canvas, [points], False, 1, max(1, round(stroke.width)), cv2.LINE_8, 3)
            else:
                cv2.fillPoly(canvas, [points], 1, shift=3)
    return (mask, part, top, left) if mask.any() else None


def main() -> None:
    """Write a contact sheet of scenes, two layouts and the second one's categories each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", help="PNG to write")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng, textures = np.random.default_rng(arguments.seed), texture_bank(0)
    rows = []
    for _ in range(6):
        row: list[Array] = []
        for _ in range(4):
            scene = Scene(rng, textures)
            first, second = scene.render(rng), scene.render(rng)
            row += [first[0], second[0], np.repeat((second[1] * 60)[..., None], 3, 2)]
        rows.append(np.hstack(row))
    sheet = cv2.resize(np.vstack(rows), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.imwrite(arguments.out, sheet[..., ::-1])


if __name__ == "__main__":
    main()
