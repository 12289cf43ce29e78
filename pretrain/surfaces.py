"""Scenes of surfaces: pavements, land from above, leaves; threads on any ground are held out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from canvas import Canvas, Part, filled, lines, spread, voronoi
from materials import Bank, dome, draw_camera, draw_ground, draw_material, rgb
from micro import threads
from scenes import colour, smooth_field
from shapes import blob

if TYPE_CHECKING:
    from numpy.random import Generator

Array = Any
Path = tuple[Array, float]


def crack(rng: Generator, side: int, width: float, rough: float) -> list[Path]:
    """A crack across the canvas: ragged, of uneven width, with gaps and branches."""
    angle = rng.uniform(0, np.pi)
    middle, half = rng.uniform(0.2, 0.8, 2) * side, side * rng.uniform(0.3, 0.8)
    count = 2 ** int(rng.integers(5, 7)) + 1
    across = np.zeros(count)
    step, size = count - 1, half * rough * 0.35
    across[[0, -1]] = rng.normal(0, size, 2)
    while step > 1:
        mid = slice(step // 2, None, step)
        across[mid] = (across[: -step // 2 : step][: len(across[mid])] + across[step::step]) / 2
        across[mid] += rng.normal(0, size, len(across[mid]))
        step, size = step // 2, size * 0.55
    along = np.linspace(-half, half, count)
    x, y = np.cos(angle), np.sin(angle)
    points = middle + np.stack([along * x - across * y, along * y + across * x], 1)
    widths = width * np.exp(np.repeat(rng.normal(0, 0.4, count // 4 + 1), 4)[:count])
    out = [
        (points[k : k + 3], float(widths[k]))
        for k in range(0, count - 2, 2)
        if rng.random() > 0.04 and widths[k] > 0.35
    ]
    for _ in range(int(rng.integers(0, 4))):
        k = int(rng.integers(count))
        turn = angle + rng.choice([-1, 1]) * rng.uniform(0.4, 1.4)
        turns = turn + np.cumsum(rng.normal(0, 0.35, int(rng.integers(4, 14))))
        path = np.vstack([points[k], points[k] + np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1) * 5, 0)])
        out.append((path, width * rng.uniform(0.5, 0.9)))
    return out


class Pavement:
    """Asphalt, concrete, plaster or stone with cracks; joints, painted lines, stains, shadows and wires as decoys."""

    def __init__(self, rng: Generator, bank: Bank) -> None:
        self.bank, self.camera = bank, replace(draw_camera(rng), glints=0, coarse=rng.uniform(0.7, 1))
        tone = np.full(3, rng.uniform(0.3, 0.85)) + rng.normal(0, 0.04, 3)
        base = draw_material(rng, bank, tone)
        self.base = replace(
            base, base=tone, other=tone * rng.uniform(0.7, 1.3), contrast=rng.uniform(0.08, 0.4), dome=0.0, rim=0.0,
            matcap=-1, photo=-1, gloss=0.0, light=0.03, jitter=0.012, mixing=rng.uniform(0, 0.5),
            texture=int(rng.choice([0, 0, 3, 5, 4, 2, 120]) + 6 * rng.integers(20)),
        )  # fmt: skip
        self.width, self.rough = float(np.exp(rng.uniform(-0.3, 1.3))), rng.uniform(0.3, 1.2)
        self.num, self.depth = int(rng.choice([1, 1, 2, 3, 5])), rng.uniform(0.15, 0.8)
        self.net, self.edge = rng.random() < 0.15, rng.uniform(0.2, 0.8)
        self.joints, self.paint, self.stains = rng.random() < 0.25, rng.random() < 0.2, rng.random() < 0.5
        self.wires, self.shadow = rng.random() < 0.1, rng.random() < 0.25

    def render(self, rng: Generator, side: int = 256) -> tuple[Array, Array, Array]:
        """Draw one layout; see `Things.render`."""
        bank, light = self.bank, np.array([*rng.normal(0, 0.4, 2), 0.8])
        canvas = Canvas(self.base.body(rng, bank, np.ones((side, side), np.uint8), light))
        if self.stains:
            canvas.image *= (1 + 0.12 * smooth_field(rng, side, int(rng.integers(3, 9))))[..., None]
        if self.paint:
            turn, at = rng.uniform(0, np.pi), rng.uniform(0, side, 2)
            along = np.array([np.cos(turn), np.sin(turn)]) * side * 2
            part = lines([(np.stack([at - along, at + along]), rng.uniform(8, 40))], side)
            if part is not None:
                worn = (bank.patch(rng, 0, side, side) > -0.5)[..., None]
                canvas.paint(part, np.where(worn, rgb(0.9, 0.9, 0.8), canvas.image), 0.7, 0.8, 0)
        if self.joints or self.wires:
            straight = [(np.array([[0, y], [side, y + rng.normal(0, 3)]]), 2.0) for y in rng.uniform(0, side, 2)]
            part = lines(straight, side) if self.joints else threads(rng, side, 1, 2.0)
            if part is not None:
                canvas.paint(part, canvas.image * 0.55, 0.5, 0.9, 0)
        if self.net:
            labels, _ = voronoi(rng, bank, spread(rng, int(rng.integers(8, 60)), side, 0), side, 4)
            lab = labels.astype(np.float32)
            wall = (cv2.dilate(lab, np.ones((2, 2))) != lab).astype(np.float32)
            wall *= smooth_field(rng, side, 4) > -0.3
            part = Part((wall > 0.5).astype(np.uint8), 0, 0, wall) if wall.any() else None
        else:
            paths: list[Path] = []
            for _ in range(self.num):
                paths += crack(rng, side, self.width, self.rough)
            part = lines(paths, side)
        if part is not None:
            deep = np.clip(self.depth + 0.25 * bank.patch(rng, 0, side, side), 0.1, 0.95)[..., None]
            lip = np.roll(part.mask, 1, 0).astype(np.float32)[..., None] * 0.06
            canvas.image += cv2.GaussianBlur(lip, (0, 0), 0.7)[..., None]
            canvas.paint(part, canvas.image * (1 - deep), self.edge, 1.0, 1)
        if self.shadow:
            dark = cv2.GaussianBlur((smooth_field(rng, side, 4) > 0.6).astype(np.float32), (0, 0), rng.uniform(1, 8))
            canvas.image *= (1 - 0.4 * dark)[..., None]
        return self.camera.take(rng, bank, canvas.image), canvas.category, canvas.instance


class Aerial:
    """Land from above: fields, roads, roofs, trees; one to three of them are asked for."""

    def __init__(self, rng: Generator, bank: Bank) -> None:
        self.bank, self.camera = bank, replace(draw_camera(rng), glints=0)
        greens = np.array(
            [[0.35, 0.45, 0.22], [0.55, 0.5, 0.3], [0.45, 0.38, 0.27], [0.25, 0.35, 0.2], [0.6, 0.58, 0.45]]
        )
        self.crops = greens + rng.normal(0, 0.06, greens.shape)
        self.textures = rng.integers(0, 1 << 20, 5)
        self.contrast, self.num = rng.uniform(0.08, 0.35), int(rng.integers(3, 30))
        self.road = np.full(3, rng.uniform(0.3, 0.8)) + rng.normal(0, 0.03, 3)
        self.width, self.roads = rng.uniform(1.5, 14), int(rng.integers(1, 5))
        self.roof = colour(rng) if rng.random() < 0.4 else np.array([0.6, 0.35, 0.28]) + rng.normal(0, 0.15, 3)
        self.roofs, self.trees = int(rng.choice([0, 5, 20])), int(rng.choice([0, 10, 40]))
        self.asked = [1, int(rng.choice([0, 2])), int(rng.choice([0, 3])), int(rng.choice([0, 0, 4]))]

    def render(self, rng: Generator, side: int = 256) -> tuple[Array, Array, Array]:
        """Draw one layout; see `Things.render`."""
        bank = self.bank
        labels, _ = voronoi(rng, bank, spread(rng, self.num, side, 2), side, 1.0)
        which = rng.integers(0, 5, labels.max() + 1)
        kinds = which[labels]
        image = self.crops[kinds].astype(np.float32)
        for k in range(5):
            rows = bank.patch(rng, int(self.textures[k]), side, side) * self.contrast
            image *= np.where(kinds == k, 1 + rows, 1)[..., None]
        canvas = Canvas(image)
        if self.asked[3]:
            canvas.category[kinds == 0] = 4
            canvas.instance[kinds == 0] = labels[kinds == 0]
        canvas.count = int(labels.max())
        turn = rng.uniform(0, np.pi)
        paths = []
        for k in range(self.roads):
            heading = turn + (k % 2) * np.pi / 2 + np.cumsum(rng.normal(0, 0.03, 100))
            start = rng.uniform(0.1, 0.9, 2) * side - 200 * np.array([np.cos(heading[0]), np.sin(heading[0])])
            path = start + np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * 6, 0)
            paths.append((path, self.width * rng.uniform(0.6, 1.1)))
        part = lines(paths, side)
        if part is not None:
            tone = self.road.astype(np.float32) * (1 + 0.1 * bank.patch(rng, 3, side, side))[..., None]
            canvas.paint(part, tone, 0.5, 1.0, self.asked[0])
        for at in spread(rng, self.roofs, side, 2):
            across, size = np.array([np.cos(turn), np.sin(turn)]), rng.uniform(4, 13, 2)
            down = np.array([-across[1], across[0]])
            signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
            part = filled([np.array([at + s * size[0] * across + t * size[1] * down for s, t in signs])], side)
            if part is not None:
                canvas.shade(part, 0.5, (3, 3), 1.0)
                body = self.roof.astype(np.float32) * rng.uniform(0.7, 1.2) + 0 * part.mask[..., None].astype(
                    np.float32
                )
                canvas.paint(part, body, 0.4, 1.0, self.asked[1])
        for at in spread(rng, self.trees, side, 1):
            part = filled([blob(rng, rng.uniform(3, 9), 0.3, 1.0, 0.0, 20) + at], side)
            if part is not None:
                canvas.shade(part, 0.4, (2, 2), 1.0)
                body = rgb(0.16, 0.27, 0.13) * (0.6 + 0.8 * dome(part.mask))[..., None]
                canvas.paint(part, body, 0.6, 1.0, self.asked[2])
        return self.camera.take(rng, bank, canvas.image), canvas.category, canvas.instance


class Plant:
    """Leaves, near or whole, with veins and lesions that have halos."""

    def __init__(self, rng: Generator, bank: Bank) -> None:
        self.bank, self.camera, self.ground = bank, draw_camera(rng), draw_ground(rng, bank)
        self.green = np.clip(np.array([0.35, 0.55, 0.2]) + rng.normal(0, 0.1, 3), 0.05, 1)
        self.blade, self.near = rng.random() < 0.35, rng.random() < 0.35
        self.texture, self.contrast = int(rng.integers(1 << 20)), rng.uniform(0.05, 0.25)
        self.spot = np.array([0.5, 0.33, 0.15]) + rng.normal(0, 0.13, 3)
        if rng.random() < 0.3:
            self.spot = np.array([0.75, 0.68, 0.5]) + rng.normal(0, 0.1, 3)
        self.halo = np.array([0.75, 0.7, 0.25]) if rng.random() < 0.5 else None
        self.size, self.num, self.long = rng.uniform(2.5, 15), int(rng.integers(1, 45)), rng.uniform(1, 4)
        self.whole = rng.random() < 0.6
        self.edge, self.veins = rng.uniform(0.4, 1.3), rng.uniform(0, 0.3)

    def _leaf(self, rng: Generator, side: int) -> tuple[Part | None, float, Array]:
        turn = rng.uniform(0, 6.3) if not self.blade else rng.normal(0, 0.3)
        at = rng.uniform(0.35, 0.65, 2) * side
        along = np.linspace(-1, 1, 40)
        length = side * (0.9 if self.near or self.blade else rng.uniform(0.3, 0.48))
        wide = rng.uniform(0.08, 0.2) if self.blade else rng.uniform(0.3, 0.55) * (2.2 if self.near else 1)
        bulge = (1 - along**2) ** rng.uniform(0.45, 0.9) * wide * (1 - rng.uniform(0, 0.4) * along)
        teeth = 1 + rng.uniform(0, 0.06) * np.sin(along * rng.uniform(20, 60))
        bend = rng.normal(0, 0.12) * (1 - along**2)
        upper = np.stack([along, bend + bulge * teeth], 1)
        lower = np.stack([along, bend - bulge * teeth], 1)[::-1]
        spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        return filled([np.vstack([upper, lower]) * length @ spin + at], side), turn, at

    def render(self, rng: Generator, side: int = 256) -> tuple[Array, Array, Array]:
        """Draw one layout; see `Things.render`."""
        bank, light = self.bank, np.array([*rng.normal(0, 0.4, 2), 0.8])
        canvas = Canvas(self.ground.paint(rng, bank, side, light))
        part, turn, at = self._leaf(rng, side)
        if part is None:
            return self.camera.take(rng, bank, canvas.image), canvas.category, canvas.instance
        height, width = part.mask.shape
        body = np.empty((height, width, 3), np.float32)
        body[:] = self.green + rng.normal(0, 0.03, 3)
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        x, y = columns + part.left - at[0], rows + part.top - at[1]
        along, across = x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)
        ribs = np.abs(across) * 4 if self.blade else np.mod(along + np.abs(across) * 0.8, 17)
        vein = np.exp(-np.abs(across) * 0.7) + 0.7 * np.exp(-(np.mod(ribs, 17) ** 2) * 0.5)
        body *= (1 + self.contrast * bank.patch(rng, self.texture, height, width) + self.veins * vein)[..., None]
        body *= (0.8 + 0.25 * np.tanh(across / 40))[..., None]
        if not self.near:
            canvas.shade(part, 0.4, (4, 5), 4.0)
        canvas.paint(part, body, 0.6, 1.0, 2 if self.whole else 0)
        inside = np.zeros((side, side), np.uint8)
        inside[part.top : part.top + height, part.left : part.left + width] = part.mask
        ys, xs = np.nonzero(inside)
        for _ in range(max(1, int(self.num * rng.uniform(0.5, 1.2)))):
            k = int(rng.integers(len(ys)))
            radius = self.size * float(np.exp(rng.normal(0, 0.4)))
            stretch = self.long if self.blade else float(np.exp(rng.uniform(0, 0.5)))
            shape = blob(rng, max(1.5, radius), 0.35, stretch, -turn if self.blade else rng.uniform(0, 6.3), 28)
            self._lesion(rng, canvas, shape, np.array([xs[k], ys[k]]), inside)
        return self.camera.take(rng, bank, canvas.image), canvas.category, canvas.instance

    def _lesion(self, rng: Generator, canvas: Canvas, shape: Array, at: Array, inside: Array) -> None:
        side = canvas.image.shape[0]
        for outline, paint, label in ((shape * 1.5, self.halo, 0), (shape, self.spot, 1)):
            part = filled([outline + at], side) if paint is not None else None
            if part is None or paint is None:
                continue
            rows, columns = part.mask.shape
            leaf = inside[part.top : part.top + rows, part.left : part.left + columns]
            mask = part.mask & leaf
            cover = (part.coverage if part.coverage is not None else mask) * leaf
            body = np.empty((rows, columns, 3), np.float32)
            body[:] = paint + rng.normal(0, 0.03, 3)
            if label:
                body *= (1 + 0.25 * self.bank.patch(rng, self.texture + 2, rows, columns) - 0.3 * (1 - dome(mask)))[
                    ..., None
                ]
                canvas.paint(Part(mask, part.top, part.left, cover), body, self.edge, 0.95, 1)
            else:
                window = (slice(part.top, part.top + rows), slice(part.left, part.left + columns))
                soft = cv2.GaussianBlur(cover.astype(np.float32), (0, 0), 2.0)[..., None] * 0.6
                canvas.image[window] += (body - canvas.image[window]) * soft


class Fibres:
    """Held out: crossing threads of one or two widths on any ground."""

    def __init__(self, rng: Generator, bank: Bank) -> None:
        self.bank, self.camera, self.ground = bank, draw_camera(rng), draw_ground(rng, bank)
        self.kinds = [(rng.uniform(1, 5), np.float32(colour(rng)), int(rng.integers(1, 7))) for _ in (0, 1)]
        self.two, self.alpha = rng.random() < 0.5, rng.uniform(0.6, 1)

    def render(self, rng: Generator, side: int = 256) -> tuple[Array, Array, Array]:
        """Draw one layout; see `Things.render`."""
        light = np.array([*rng.normal(0, 0.4, 2), 0.8])
        canvas = Canvas(self.ground.paint(rng, self.bank, side, light))
        for label, (width, paint, num) in enumerate(self.kinds[: 1 + self.two], start=1):
            part = threads(rng, side, num, width)
            if part is not None:
                body = paint * (1 + 0.2 * self.bank.patch(rng, 0, side, side))[..., None]
                canvas.paint(part, body, 0.5, self.alpha, label)
        return self.camera.take(rng, self.bank, canvas.image), canvas.category, canvas.instance
