"""Scenes of things: shapes, silhouettes and shaded objects of 1-4 kinds on a ground, with decoys."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from canvas import Canvas, Part, filled, lines, spread, stamped
from materials import Bank, Material, draw_camera, draw_ground, draw_material, light_from
from scenes import colour
from shapes import MAKERS, Category

if TYPE_CHECKING:
    from numpy.random import Generator

Array = Any
KINDS = ("ellipse", "blob", "big", "polygon", "rod", "ring", "leaf", "curve", "tree", "creature")
HELD_OUT_KINDS = ("star", "crescent", "spiral")
THIN = ("curve", "tree")


@dataclass
class Kind:
    """A kind of thing: its outline or its assets, its material, and how many of which size lie how."""

    shape: Category
    material: Material
    assets: tuple[int, ...] = ()
    colours: Array | None = None
    manner: int = 0


def _repaint(rng: Generator) -> Array:
    """A colour transform (3, 4) for shaded objects: less colour, another tint, another brightness."""
    grey = np.full((3, 3), 1 / 3)
    keep = rng.uniform(0, 1) if rng.random() < 0.7 else 1.0
    matrix = keep * np.eye(3) + (1 - keep) * grey
    if rng.random() < 0.35:
        matrix = matrix[rng.permutation(3)]
    tint = colour(rng) if rng.random() < 0.35 else np.ones(3)
    gain = rng.uniform(0.4, 1.1)
    return np.concatenate([matrix * (tint * gain)[:, None], np.full((3, 1), rng.normal(0, 0.05))], 1).astype(np.float32)


def draw_kind(rng: Generator, bank: Bank, ground: Array, kind: str | None = None) -> Kind:
    """Draw a kind of thing; `kind` None for any."""
    if kind is None:
        names = HELD_OUT_KINDS if bank.held_out else KINDS
        pick = rng.random()
        kind = "object" if pick < 0.36 else "silhouette" if pick < 0.56 else str(rng.choice(names))
        kind = kind if bank.objects is not None or kind not in ("object", "silhouette") else str(rng.choice(names))
    num = int(np.exp(rng.uniform(0, np.log(100)))) if rng.random() < 0.5 else int(rng.integers(1, 5))
    size = float(np.sqrt(rng.uniform(0.02, 0.45) * 65536 / (num * np.pi)))
    size = float(np.clip(size, 4, 90 if kind not in ("creature", "leaf") else 60))
    width = float(np.exp(rng.uniform(0, 1.9)))
    if kind in THIN:
        num, size = int(rng.integers(1, 7)), rng.uniform(40, 170)
    shape = Category(
        kind=kind, size=size, vary=rng.uniform(0, 0.4), irregular=rng.uniform(0.05, 0.6),
        aspect=float(np.exp(rng.uniform(0, 0.8))), num=num, width=width, sides=int(rng.integers(3, 9)),
        lean=rng.uniform(0, 2 * np.pi), aligned=bool(rng.random() < (0.6 if kind == "object" else 0.3)),
    )  # fmt: skip
    assets: tuple[int, ...] = ()
    if kind in ("object", "silhouette"):
        stock = bank.objects if kind == "object" else bank.silhouettes
        first, run = int(rng.integers(len(stock))), int(rng.choice([1, 1, 2, 4]))
        assets = tuple((first + k) % len(stock) for k in range(run))  # neighbours by name are of one theme
    material = draw_material(rng, bank, ground, kind in THIN)
    colours = None
    if kind == "object":
        colours = _repaint(rng)
        material = replace(material, dome=0.0, matcap=-1, relief=-1, opacity=1.0, rim=0.0, edge=min(1.0, material.edge))
    return Kind(shape, material, assets, colours, int(rng.choice([0, 0, 1, 2])))


def decoy(rng: Generator, bank: Bank, like: Kind) -> Kind:
    """A kind that differs from another in one property only: shape, texture, colour or scale."""
    what = int(rng.integers(4))
    if what == 0 and not like.assets:
        kinds = [k for k in (HELD_OUT_KINDS if bank.held_out else KINDS[:7]) if k != like.shape.kind]
        return replace(like, shape=replace(like.shape, kind=str(rng.choice(kinds))))
    if what <= 1:
        material = replace(like.material, texture=int(rng.integers(1 << 20)), contrast=rng.uniform(0.2, 0.45))
        return replace(like, material=material)
    if what == 2:
        other = draw_material(rng, bank, like.material.base)
        colours = _repaint(rng) if like.colours is not None else None
        return replace(like, material=replace(like.material, base=other.base, other=other.other), colours=colours)
    factor = float(rng.choice([0.4, 0.5, 2.0, 2.5]))
    shape = replace(like.shape, size=float(np.clip(like.shape.size * factor, 4, 90)), vary=0.1)
    return replace(like, shape=replace(shape, num=max(1, int(shape.num / factor))))


def outline(rng: Generator, bank: Bank, kind: Kind, at: Array, side: int) -> Part | None:
    """The mask of one more instance of a kind."""
    shape = kind.shape
    radius = max(2.0, shape.size * float(np.exp(rng.normal(0, shape.vary))))
    angle = shape.lean + rng.normal(0, 0.15) if shape.aligned else rng.uniform(0, 2 * np.pi)
    if kind.assets:
        stock = bank.objects if shape.kind == "object" else bank.silhouettes
        upright = shape.kind == "object" and shape.aligned
        turn = rng.normal(0, 0.2) if upright else angle
        asset = stock[kind.assets[int(rng.integers(len(kind.assets)))]]
        part = stamped(rng, asset, at, max(9.0, 2.2 * radius), turn, side)
        if part is not None and part.own is not None and kind.colours is not None:
            return part._replace(own=np.clip(cv2.transform(part.own, kind.colours), 0, 1.2))
        return part
    strokes = MAKERS[shape.kind](rng, shape, at, radius, angle)
    thin = [(s.points, s.width) for s in strokes if s.width]
    if not thin:
        return filled([s.points for s in strokes], side)
    if len(thin) == len(strokes) and shape.kind in THIN:
        return lines(thin, side)
    ribbons = [_ribbon(points, width) for points, width in thin]
    return filled([s.points for s in strokes if not s.width] + ribbons, side)


def _ribbon(points: Array, width: float) -> Array:
    """A line of a width as a polygon."""
    along = np.gradient(points, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-6)
    return np.vstack([points + across * width / 2, (points - across * width / 2)[::-1]])


class Things:
    """1-4 kinds on a ground, some with a decoy, some clutter; `render` lays them out anew."""

    def __init__(self, rng: Generator, bank: Bank, kind: str | None = None, most: int = 4) -> None:
        self.bank, self.ground, self.camera = bank, draw_ground(rng, bank), draw_camera(rng)
        base = self.ground.material.base
        num = 1 if rng.random() < 0.4 else int(rng.integers(1, most + 1))
        self.kinds = [draw_kind(rng, bank, base, kind) for _ in range(num)]
        same = rng.random() < 0.15
        if same:  # figure and ground of one material: relief, light and shadow alone tell them apart
            first = self.kinds[0]
            if not first.assets or first.shape.kind == "silhouette":
                own = replace(self.ground.material, dome=rng.uniform(0.3, 0.9), shadow=rng.uniform(0.2, 0.6), edge=0.7)
                self.kinds[0] = replace(first, material=own)
        self.clutter = [draw_kind(rng, bank, base) for _ in range(int(rng.choice([0, 0, 1, 2, 3])))]
        if rng.random() < 0.35:
            twin = decoy(rng, bank, self.kinds[0])
            (self.kinds if rng.random() < 0.5 and num < most else self.clutter).append(twin)
        self.fill = rng.random() < 0.12  # dead leaves: things cover the ground
        self.blurred = rng.random() < 0.25

    def render(self, rng: Generator, side: int = 256) -> tuple[Array, Array, Array]:
        """Draw one layout: image uint8 (side, side, 3), categories and instances uint8 (side, side)."""
        light = light_from(rng)
        canvas = Canvas(self.ground.paint(rng, self.bank, side, light))
        if self.fill:
            cover = [draw_kind(rng, self.bank, self.ground.material.base, "blob") for _ in range(6)]
            for place in spread(rng, 40, side, 2):
                self._place(rng, canvas, cover[int(rng.integers(6))], place, 0, light)
        todo = [(k, i + 1) for i, k in enumerate(self.kinds)] + [(k, 0) for k in self.clutter]
        jobs = []
        for kind, label in todo:
            num = max(1, int(kind.shape.num * rng.uniform(0.5, 1.3)))
            num = num if label else max(1, num // 2)
            inner = kind.shape.kind in ("creature", "object", "big", "leaf") and num < 4
            places = rng.uniform(0.15, 0.85, (num, 2)) * side if inner else spread(rng, num, side, kind.manner)
            jobs += [(kind, label, place) for place in places]
        for k in rng.permutation(len(jobs))[:110]:
            self._place(rng, canvas, jobs[k][0], jobs[k][2], jobs[k][1], light)
        return self.camera.take(rng, self.bank, canvas.image), canvas.category, canvas.instance

    def _place(self, rng: Generator, canvas: Canvas, kind: Kind, at: Array, label: int, light: Array) -> None:
        part = outline(rng, self.bank, kind, at, canvas.image.shape[0])
        if part is None:
            return
        material = kind.material
        if material.shadow and part.mask.shape[0] * part.mask.shape[1] > 150:
            far = max(1.0, kind.shape.size * 0.15)
            offset = (int(-light[0] * far * 2), int(-light[1] * far * 2))
            canvas.shade(part, material.shadow, offset, max(0.8, far * 0.8))
        body = material.body(rng, self.bank, part.mask, light, part.own)
        edge = material.edge + (rng.uniform(1, 3) if self.blurred and not label else 0.0)
        canvas.paint(part, body, edge, material.opacity, label)
