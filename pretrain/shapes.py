"""The outlines of things: every kind of category as filled polygons and strokes, in pixels (x, y)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator

Array = Any


@dataclass
class Category:
    """The geometry of a category; sizes in pixels of the canvas."""

    kind: str
    size: float
    vary: float
    irregular: float
    aspect: float
    num: int
    width: float
    sides: int
    lean: float
    aligned: bool


@dataclass
class Stroke:
    """A filled polygon (width 0) or an open line; `accent` parts are painted in the second colour."""

    points: Array
    width: float = 0.0
    accent: bool = False


def _turned(points: Array, angle: float) -> Array:
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, -sine], [sine, cosine]])


def blob(rng: Generator, radius: float, irregular: float, aspect: float, angle: float, num: int = 32) -> Array:
    """Outline (num, 2) of a blob round the origin: a circle with a few random harmonics."""
    turn = np.linspace(0, 2 * np.pi, num, endpoint=False)
    reach = np.ones(num)
    if irregular:
        for k in range(2, 7):
            reach += irregular * rng.normal() / k * np.cos(k * turn + rng.uniform(0, 6.3))
    reach = np.clip(reach, 0.25, 2.2) * radius
    root = aspect**0.5
    return _turned(np.stack([np.cos(turn) * reach * root, np.sin(turn) * reach / root], 1), angle)


def _ellipse(rng: Generator, c: Category, at: Array, r: float, angle: float) -> list[Stroke]:
    return [Stroke(blob(rng, r, 0.0, c.aspect, angle, 24) + at)]


def _blob(rng: Generator, c: Category, at: Array, r: float, angle: float) -> list[Stroke]:
    return [Stroke(blob(rng, r, c.irregular, c.aspect, angle) + at)]


def _polygon(rng: Generator, c: Category, at: Array, r: float, angle: float) -> list[Stroke]:
    turn = np.linspace(0, 2 * np.pi, c.sides, endpoint=False) + angle
    if c.irregular > 0.35:
        turn = np.sort(rng.uniform(0, 2 * np.pi, c.sides))
    return [Stroke(np.stack([np.cos(turn), np.sin(turn)], 1) * r * 1.2 + at)]


def _rod(rng: Generator, c: Category, at: Array, r: float, angle: float) -> list[Stroke]:
    along = np.array([np.cos(angle), np.sin(angle)]) * r * 1.6
    return [Stroke(np.stack([at - along, at + along]), max(1.0, r / 2))]


def _ring(rng: Generator, c: Category, at: Array, r: float, angle: float) -> list[Stroke]:
    outline = blob(rng, r * 1.3 + 2, 0.0, c.aspect, angle) + at
    return [Stroke(np.vstack([outline, outline[:1]]), max(1.0, r * 0.35))]


def _leaf(rng: Generator, c: Category, at: Array, r: float, angle: float) -> list[Stroke]:
    along = np.linspace(-1, 1, 24)
    bulge = (1 - along**2) ** rng.uniform(0.5, 1.2) / (2.2 * c.aspect)
    upper, lower = np.stack([along, bulge], 1), np.stack([along[::-1], -bulge[::-1]], 1)
    return [Stroke(_turned(np.vstack([upper, lower]) * r * 1.3, angle) + at)]


def _walk(rng: Generator, at: Array, angle: float, num: int, step: float, bend: float) -> Array:
    """A random walk (num + 1, 2) from a point, of slowly or fast turning direction."""
    angles = angle + np.cumsum(rng.normal(0, bend, num))
    steps = np.stack([np.cos(angles), np.sin(angles)], 1) * step
    return np.vstack([at, at + np.cumsum(steps, 0)])


def _curve(rng: Generator, c: Category, at: Array, r: float, angle: float) -> list[Stroke]:
    path = _walk(rng, at, angle, int(r / 4) + 3, 6.0, 0.08 + 0.5 * c.irregular)
    cuts = range(0, len(path) - 1, 4)
    return [Stroke(path[i : i + 5], max(1.0, c.width * rng.uniform(0.6, 1.4))) for i in cuts]


def _tree(rng: Generator, c: Category, at: Array, r: float, angle: float) -> list[Stroke]:
    strokes: list[Stroke] = []
    todo = [(at, angle, c.width * 1.4, r * 0.5)]
    while todo and len(strokes) < 40:
        start, heading, width, length = todo.pop(0)
        path = _walk(rng, start, heading, max(2, int(length / 5)), 6.0, 0.2)
        strokes.append(Stroke(path, max(1.0, width)))
        if length > 10:
            last = path[-1] - path[-2]
            heading = float(np.arctan2(last[1], last[0]))
            todo += [
                (path[-1], heading + s * rng.uniform(0.3, 0.9), width * 0.75, length * rng.uniform(0.5, 0.8))
                for s in (-1, 1)
            ]
    return strokes


def _creature(rng: Generator, c: Category, at: Array, r: float, angle: float) -> list[Stroke]:
    """A body, 2-5 legs, a neck with a head, perhaps a tail: parts of two colours, one object."""
    tilt = rng.normal(0, 0.3)
    ahead = np.array([np.cos(tilt), np.sin(tilt)])
    down = np.array([-ahead[1], ahead[0]])
    facing = rng.choice([-1, 1])
    outline = blob(rng, 1.0, 0.08, 1.0, 0.0)
    long, tall = r * rng.uniform(1.2, 1.9), r * rng.uniform(0.45, 0.8)
    strokes = [Stroke(outline[:, :1] * long * ahead + outline[:, 1:] * tall * down + at)]
    for place in np.linspace(-1, 1, int(rng.integers(2, 6))) + rng.normal(0, 0.12):
        root = at + ahead * place * long * 0.75 + down * tall * 0.4
        knee = root + down * r * rng.uniform(0.5, 1.0) + ahead * rng.normal(0, 0.25) * r
        foot = knee + down * r * rng.uniform(0.4, 0.9) + ahead * rng.normal(0, 0.25) * r
        width = max(1.0, r * rng.uniform(0.12, 0.32))
        strokes += [Stroke(np.stack([root, knee]), width), Stroke(np.stack([knee, foot]), width * 0.8)]
    head = at + ahead * facing * long * rng.uniform(1.05, 1.4) - down * r * rng.uniform(0.2, 1.2)
    strokes.append(Stroke(np.stack([at + ahead * facing * long * 0.75, head]), max(2.0, r * rng.uniform(0.3, 0.6))))
    strokes.append(Stroke(blob(rng, r * rng.uniform(0.3, 0.5), 0.1, 1.5, tilt) + head, accent=True))
    if rng.random() < 0.6:
        root = at - ahead * facing * long * 0.95
        tip = root - ahead * facing * r * rng.uniform(0.2, 0.9) + down * r * rng.uniform(-0.4, 1)
        strokes.append(Stroke(np.stack([root, tip]), max(1.0, r * rng.uniform(0.08, 0.3)), accent=True))
    return strokes


def _star(rng: Generator, c: Category, at: Array, r: float, angle: float) -> list[Stroke]:
    turn = np.linspace(0, 2 * np.pi, 2 * c.sides, endpoint=False) + angle
    reach = np.where(np.arange(2 * c.sides) % 2, 1.35, 1.35 * (0.35 + 0.5 * c.irregular)) * r
    return [Stroke(np.stack([np.cos(turn), np.sin(turn)], 1) * reach[:, None] + at)]


def _crescent(rng: Generator, c: Category, at: Array, r: float, angle: float) -> list[Stroke]:
    turn = np.linspace(0.15, 2 * np.pi - 0.15, 28)
    outer = np.stack([np.cos(turn), np.sin(turn)], 1)
    inner = outer[::-1] * (0.72, 0.72) + (0.2 + 0.3 * c.irregular, 0)
    return [Stroke(_turned(np.vstack([outer, inner]) * r * 1.2, angle) + at)]


def _spiral(rng: Generator, c: Category, at: Array, r: float, angle: float) -> list[Stroke]:
    turn = np.linspace(0.8, 2.5 * np.pi + 3 * c.irregular, 40)
    path = np.stack([np.cos(turn + angle), np.sin(turn + angle)], 1) * (turn / turn[-1])[:, None] * r * 1.5
    return [Stroke(path + at, max(1.5, r * 0.2))]


MAKERS: dict[str, Callable[..., list[Stroke]]] = {
    "ellipse": _ellipse,
    "blob": _blob,
    "big": _blob,
    "polygon": _polygon,
    "rod": _rod,
    "ring": _ring,
    "leaf": _leaf,
    "curve": _curve,
    "tree": _tree,
    "creature": _creature,
    "star": _star,
    "crescent": _crescent,
    "spiral": _spiral,
}


def strokes_of(rng: Generator, category: Category, side: int) -> list[Stroke]:
    """Draw the outline of one more instance, placed at random on a canvas of `side` pixels."""
    radius = max(1.5, category.size * float(np.exp(rng.normal(0, category.vary))))
    inner = category.kind in ("big", "creature", "leaf")
    at = rng.uniform(0.2, 0.8, 2) * side if inner else rng.uniform(-0.04, 1.04, 2) * side
    angle = category.lean + rng.normal(0, 0.15) if category.aligned else rng.uniform(0, 2 * np.pi)
    return MAKERS[category.kind](rng, category, at, radius, angle)
