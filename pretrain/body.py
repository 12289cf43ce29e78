"""Scenes of bodies: endoscopy, and vessels on an eye's ground or elsewhere; moles on skin are held out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from canvas import Canvas, filled, lines, spread
from materials import Bank, dome, draw_camera, draw_ground, lit, rgb, slopes_of
from micro import threads
from scenes import smooth_field
from shapes import blob

if TYPE_CHECKING:
    from numpy.random import Generator

Array = Any
Path = tuple[Array, float]


def branching(rng: Generator, start: Array, heading: float, length: float, width: float, bend: float) -> list[Path]:
    """A tree of curved segments whose width tapers, from 40 % down to a pixel."""
    out: list[Path] = []
    todo = [(start, heading, length, width)]
    while todo and len(out) < 60:
        at, angle, reach, thick = todo.pop(0)
        steps = max(3, int(reach / 4))
        turns = angle + np.cumsum(rng.normal(0, bend, steps))
        path = np.vstack([at, at + np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1) * 4, 0)])
        out.append((path, thick))
        if thick > 0.9 and reach > 12:
            todo += [
                (path[-1], turns[-1] + s * rng.uniform(0.2, 0.8), reach * rng.uniform(0.55, 0.95), thick * w)
                for s, w in ((-1, rng.uniform(0.6, 0.9)), (1, rng.uniform(0.4, 0.85)))
            ]
    return out


class Mucosa:
    """An endoscope's view: a folded tube under a headlight, wet, with vessels; raised growths of the same tissue."""

    def __init__(self, rng: Generator, bank: Bank) -> None:
        self.bank = bank
        self.camera = replace(draw_camera(rng), grey=False, vignette=rng.uniform(0, 0.5), coarse=rng.uniform(0.6, 1))
        self.tissue = np.clip(np.array([0.78, 0.42, 0.32]) + rng.normal(0, 0.06, 3) + rng.normal(0, 0.08), 0.05, 1)
        if rng.random() < 0.12:
            self.tissue = np.array([0.3, 0.5, 0.55]) + rng.normal(0, 0.1, 3)  # narrow-band light
        self.folds, self.deep = rng.uniform(0.5, 2.2), rng.uniform(0.1, 1.0)
        self.texture, self.contrast = int(rng.integers(1 << 20)), rng.uniform(0.05, 0.22)
        self.vessels, self.gloss = rng.random() < 0.5, rng.uniform(0.2, 0.9)
        self.shift = rng.normal(0, 0.03, 3) + rng.choice([-1, 1]) * rng.uniform(0, 0.08) * np.array([0.6, 1, 1])
        self.pits, self.pattern = rng.uniform(0, 0.2), int(rng.integers(1 << 20))
        self.high, self.num = rng.uniform(0.3, 1.0), int(rng.choice([1, 1, 1, 2, 3]))
        self.frame, self.size = int(rng.integers(4)), rng.uniform(16, 75)
        self.stalk, self.tool, self.debris = rng.random() < 0.2, rng.random() < 0.1, rng.random() < 0.3

    def _growths(self, rng: Generator, canvas: Canvas, height: Array) -> Array:
        side = canvas.image.shape[0]
        for _ in range(self.num):
            at, radius = rng.uniform(0.2, 0.8, 2) * side, self.size * float(np.exp(rng.normal(0, 0.25)))
            outlines = [blob(rng, radius, 0.22, float(np.exp(rng.uniform(0, 0.5))), rng.uniform(0, 6.3), 48) + at]
            if self.stalk:
                turn = rng.uniform(0, 6.3)
                far = at + np.array([np.cos(turn), np.sin(turn)]) * radius * 1.5
                side_way = np.array([-np.sin(turn), np.cos(turn)]) * radius * 0.35
                outlines.append(np.array([at - side_way, far - side_way, far + side_way, at + side_way]))
            part = filled(outlines, side)
            if part is None:
                continue
            rows, columns = part.mask.shape
            soft = cv2.GaussianBlur(part.mask.astype(np.float32), (0, 0), 2.5)
            raised = cv2.GaussianBlur(dome(part.mask) * (self.high * radius * 0.6), (0, 0), 2.0)
            window = (slice(part.top, part.top + rows), slice(part.left, part.left + columns))
            height[window] = height[window] * (1 - 0.7 * soft) + raised
            under = cv2.GaussianBlur(canvas.image[window], (0, 0), 4)
            body = under + self.shift.astype(np.float32)
            body *= (1 + self.pits * self.bank.patch(rng, self.pattern, rows, columns))[..., None]
            canvas.paint(part, body, rng.uniform(1, 4), rng.uniform(0.75, 1), 1)
        return height

    def render(self, rng: Generator, side: int = 256) -> tuple[Array, Array, Array]:
        """Draw one layout; see `Things.render`."""
        bank = self.bank
        rows, columns = np.mgrid[:side, :side].astype(np.float32)
        eye = rng.uniform(0.1, 0.9, 2) * side
        far = np.sqrt((columns - eye[0]) ** 2 + (rows - eye[1]) ** 2) / side
        bend = smooth_field(rng, side, 5) * 0.6
        wave = np.sin(self.folds * 4.4 * np.log(far + 0.15) + bend * 3).astype(np.float32)
        height = (cv2.pow(np.abs(wave), 4) * np.sign(wave) * 12 * self.deep).astype(np.float32) * (0.3 + far)
        tone = 1 + self.contrast * bank.patch(rng, self.texture, side, side, 1, 3) + 0.12 * smooth_field(rng, side, 6)
        image = tone[..., None].astype(np.float32) * self.tissue.astype(np.float32)
        canvas = Canvas(image)
        if self.vessels:
            paths: list[Path] = []
            for _ in range(int(rng.integers(1, 5))):
                paths += branching(rng, rng.uniform(0, side, 2), rng.uniform(0, 6.3), 60, rng.uniform(1, 2.6), 0.2)
            part = lines(paths, side)
            if part is not None:
                canvas.paint(part, canvas.image * rgb(0.8, 0.55, 0.6), 0.8, 0.6, 0)
        if self.debris:
            for at in spread(rng, int(rng.integers(1, 12)), side, 1):
                part = filled([blob(rng, rng.uniform(2, 9), 0.4, 1.3, 0.0) + at], side)
                if part is not None:
                    body = rgb(0.6, 0.5, 0.2) + 0 * part.mask[..., None].astype(np.float32)
                    canvas.paint(part, body, 1.0, 0.8, 0)
        height = self._growths(rng, canvas, height)
        if self.tool:
            turn, at = rng.uniform(0, 6.3), rng.uniform(0.3, 0.7, 2) * side
            end = at + np.array([np.cos(turn), np.sin(turn)]) * side * 1.5
            part = lines([(np.stack([at, end]), rng.uniform(8, 20))], side)
            if part is not None:
                canvas.paint(part, np.full((side, side, 3), rng.uniform(0.3, 0.9), np.float32), 0.8, 1.0, 0)
        height = cv2.GaussianBlur(np.float32(height), (0, 0), 1.5) + bank.patch(rng, self.texture + 3, side, side) * 0.8
        diffuse, shine = lit(*slopes_of(height), np.array([*rng.normal(0, 0.25, 2), 1.0]), self.gloss, 250)
        lamp = 1.25 / (1 + ((rows - side / 2) ** 2 + (columns - side / 2) ** 2) / (0.55 * side) ** 2)
        lamp *= 1 - 0.85 * np.exp(-((far / rng.uniform(0.08, 0.3)) ** 2)) * (self.deep > 0.5)
        broken = (bank.patch(rng, 0, side, side, 0.5, 1) > 0.1) * (shine > self.gloss * 0.5)
        wet = cv2.GaussianBlur(np.float32(shine * broken), (0, 0), 0.8)
        image = np.float32(canvas.image * (diffuse * lamp)[..., None] + wet[..., None])
        image = self._framed(image, rows, columns, side, canvas)
        return self.camera.take(rng, bank, image), canvas.category, canvas.instance

    def _framed(self, image: Array, rows: Array, columns: Array, side: int, canvas: Canvas) -> Array:
        if self.frame == 0:
            return image
        x, y = np.abs(columns / side - 0.5), np.abs(rows / side - 0.5)
        inside = {1: np.hypot(x, y) < 0.54, 2: x + y < 0.82, 3: (x < 0.47) & (y < 0.49) & (x + y < 0.86)}[self.frame]
        canvas.category[~inside] = 0
        canvas.instance[~inside] = 0
        return image * inside[..., None]


class Vessels:
    """Branching vessels, roots held out: on an eye's ground, on tissue, on anything."""

    def __init__(self, rng: Generator, bank: Bank) -> None:
        self.bank, self.camera, self.ground = bank, draw_camera(rng), draw_ground(rng, bank)
        self.eye = bool(rng.random() < 0.4) and not bank.held_out
        pale = rng.random() < 0.3
        self.tint = rgb(*(np.full(3, rng.uniform(1.2, 1.6)) if pale else rng.uniform(0.35, 0.85, 3)))
        self.width, self.bend, self.num = rng.uniform(1.5, 6), rng.uniform(0.05, 0.25), int(rng.integers(2, 7))
        self.alpha, self.edge = rng.uniform(0.6, 1), rng.uniform(0.3, 0.9)
        self.other = rng.random() < 0.3

    def render(self, rng: Generator, side: int = 256) -> tuple[Array, Array, Array]:
        """Draw one layout; see `Things.render`."""
        light = np.array([*rng.normal(0, 0.4, 2), 0.8])
        image = self.ground.paint(rng, self.bank, side, light)
        middle = rng.uniform(0.2, 0.8, 2) * side
        if self.eye:
            image = rgb(0.75, 0.36, 0.14) * (1 + 0.25 * smooth_field(rng, side, 5))[..., None]
            rows, columns = np.mgrid[:side, :side].astype(np.float32)
            disc = np.exp(-((columns - middle[0]) ** 2 + (rows - middle[1]) ** 2) / (2 * 17.0**2))
            image = image.astype(np.float32) + disc[..., None] * rgb(0.25, 0.4, 0.3)
        canvas = Canvas(image)
        if self.other:
            for at in spread(rng, int(rng.integers(2, 9)), side, 0):
                part = filled([blob(rng, rng.uniform(3, 16), 0.3, 1.3, 0.0) + at], side)
                if part is not None:
                    window = canvas.image[part.top :, part.left :][: part.mask.shape[0], : part.mask.shape[1]]
                    canvas.paint(part, window * self.tint, 1.2, 0.9, 2)
        paths: list[Path] = []
        for turn in np.linspace(0, 6.3, self.num, endpoint=False) + rng.normal(0, 0.4, self.num):
            start = middle if self.eye or rng.random() < 0.5 else rng.uniform(0, side, 2)
            paths += branching(rng, start, turn, rng.uniform(50, 110), self.width * rng.uniform(0.6, 1), self.bend)
        part = lines(paths, side)
        if part is not None:
            canvas.paint(part, canvas.image * self.tint, self.edge, self.alpha, 1)
        return self.camera.take(rng, self.bank, canvas.image), canvas.category, canvas.instance


class Skin:
    """Held out: a mole on skin with hairs and freckles."""

    def __init__(self, rng: Generator, bank: Bank) -> None:
        self.bank, self.camera = bank, replace(draw_camera(rng), grey=False)
        self.skin = np.array([0.85, 0.65, 0.55]) * rng.uniform(0.5, 1.1) + rng.normal(0, 0.03, 3)
        self.mole = self.skin * np.array([0.55, 0.42, 0.4]) + rng.normal(0, 0.06, 3)
        self.size, self.edge, self.hairs = rng.uniform(14, 62), rng.uniform(1, 6), int(rng.integers(0, 14))
        self.texture, self.freckles = int(rng.integers(1 << 20)), int(rng.integers(0, 12))

    def render(self, rng: Generator, side: int = 256) -> tuple[Array, Array, Array]:
        """Draw one layout; see `Things.render`."""
        tone = 1 + 0.06 * self.bank.patch(rng, self.texture, side, side) + 0.08 * smooth_field(rng, side, 4)
        canvas = Canvas(tone[..., None] * self.skin)
        jobs = [(self.size, 1)] + [(rng.uniform(1.5, 4), 2)] * self.freckles
        for radius, label in jobs:
            at = rng.uniform(0.25, 0.75, 2) * side if label == 1 else rng.uniform(0, side, 2)
            part = filled([blob(rng, radius, 0.35, 1.3, rng.uniform(0, 6), 48) + at], side)
            if part is not None:
                rows, columns = part.mask.shape
                body = self.mole.astype(np.float32) * (1 + 0.3 * self.bank.patch(rng, 0, rows, columns))[..., None]
                canvas.paint(part, body, self.edge if label == 1 else 0.8, 0.9, label)
        part = threads(rng, side, self.hairs, 1.2) if self.hairs else None
        if part is not None:
            canvas.paint(part._replace(mask=part.mask * 0), canvas.image * 0.3, 0.3, 0.9, 0)
        return self.camera.take(rng, self.bank, canvas.image), canvas.category, canvas.instance
