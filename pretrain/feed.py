"""Where batches come from: scenes drawn into a ring, and views cut out of them with prompts drawn on them.

A slot holds one scene in `LAYOUTS` layouts, each (256, 256, 5) uint8: RGB, category, instance. Slots are used
several times with other crops, scales, turns and colours until newer scenes replace them. Scene k of a seed is always
the same, and so is what a `Feeder` cuts: its state is two numbers and the state of its source of chance.
"""

from __future__ import annotations

import multiprocessing as mp
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from model import GRID, PATCH
from prompts import CrossPrompts, InstancePrompts, category_points, cross_prompts, instance_prompts
from themes import draw_theme

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.random import Generator

    from materials import Bank

Array = Any
LAYOUTS, SIDE = 4, 256
SLOT_SHAPE = (LAYOUTS, SIDE, SIDE, 5)
NUM_BOXES, NUM_CROSS = 3, 2
JITTER = 0.04


def draw_slot(rng: Generator, bank: Bank, layouts: int = LAYOUTS) -> Array:
    """Draw one scene in some layouts: (layouts, 256, 256, 5) uint8."""
    scene, slot = draw_theme(rng, bank), np.zeros((layouts, *SLOT_SHAPE[1:]), np.uint8)
    for layout in slot:
        layout[..., :3], layout[..., 3], layout[..., 4] = scene.render(rng, SIDE)
    return slot


@dataclass
class Batch:
    """Images of scenes, `group` adjacent ones each, and the prompts drawn on them; all numpy."""

    pixels: Array  # (B, S, S, 3) uint8, not yet normalised
    categories: Array  # (B, S, S) uint8
    inside: Array  # (B, S, S) bool, False on padding
    corners: list[tuple[int, int]]  # the window of each image in the 32 x 32 grid
    group: int
    instances: InstancePrompts
    points: tuple[Array, Array, Array, Array]  # of `category_points`
    cross: CrossPrompts


def _crop(rng: Generator, layout: Array, side: int) -> Array:
    """Cut (side, side), with something in it if three tries find it."""
    room = layout.shape[0] - side
    best = layout[:side, :side]
    for _ in range(3):
        y, x = (int(v) for v in rng.integers(0, room + 1, 2))
        best = layout[y : y + side, x : x + side]
        if (best[..., 3] > 0).mean() > 0.02:
            break
    return best


def _resize(layout: Array, side: int) -> Array:
    """Scale the image by areas and the labels by nearest neighbours."""
    how = cv2.INTER_AREA if side < layout.shape[0] else cv2.INTER_LINEAR
    image = cv2.resize(np.ascontiguousarray(layout[..., :3]), (side, side), interpolation=how)
    labels = np.ascontiguousarray(layout[..., 3:])
    labels = np.dstack([cv2.resize(labels[..., k], (side, side), interpolation=cv2.INTER_NEAREST) for k in (0, 1)])
    return np.concatenate([image, labels], -1)


def _view(rng: Generator, layout: Array, side: int, scale: float) -> Array:
    """A view of `side` pixels whose scale against the scene is `scale`."""
    cut = min(SIDE, round(side / scale))
    layout = _crop(rng, layout, cut) if cut < SIDE else layout
    return _resize(layout, side) if cut != side else layout


def cut_views(rng: Generator, slots: list[Array], side: int, augment: bool = True, pad: float = 0.0) -> Batch:
    """Cut a batch out of scenes and draw its prompts.

    Args:
        rng: source of chance.
        slots: scenes (layouts, 256, 256, 5).
        side: pixels of the square.
        augment: turn, scale, and change the colours (alike in all layouts of a scene).
        pad: chance that an image is made non-square, with padding below or to the right.
    """
    images, labels, insides, corners = [], [], [], []
    for slot in slots:
        flips = int(rng.integers(8)) if augment else 0
        invert, mix = augment and rng.random() < 0.06, augment and rng.random() < 0.2
        order = rng.permutation(3)
        gain, bias = float(np.exp(rng.normal(0, 0.15))), float(rng.normal(0, 10))
        scales = [side / SIDE, 1.0, (1 + side / SIDE) / 2] if side < SIDE else [1.0, 1.0, 1.3, 1.6]
        scale = float(rng.choice(scales)) if augment else side / SIDE
        for stored in slot:
            layout = stored.transpose(1, 0, 2) if flips & 4 else stored
            layout = _view(rng, layout[:: -1 if flips & 1 else 1, :: -1 if flips & 2 else 1], side, scale)
            image = np.ascontiguousarray(layout[..., :3])
            if mix:
                image = np.ascontiguousarray(image[..., order])
            if augment:
                own = gain * float(np.exp(rng.normal(0, 0.05)))
                ramp = np.clip(np.arange(256) * own + bias + rng.normal(0, 4), 0, 255).astype(np.uint8)
                image = cv2.LUT(image, 255 - ramp if invert else ramp)
            inside = np.ones((side, side), bool)
            if rng.random() < pad:
                cut = int(side * rng.uniform(0.5, 0.95))
                inside[(slice(cut, None), slice(None)) if rng.random() < 0.5 else (slice(None), slice(cut, None))] = 0
            images.append(image)
            labels.append(layout[..., 3:] * inside[..., None])
            insides.append(inside)
            y, x = (int(v) for v in rng.integers(0, GRID - side // PATCH + 1, 2))
            corners.append((y, x))
    maps, inside, group = np.stack(labels), np.stack(insides), len(slots[0])
    categories, numbers = maps[..., 0].copy(), maps[..., 1].copy()
    return Batch(
        pixels=np.stack(images), categories=categories, inside=inside, corners=corners, group=group,
        instances=instance_prompts(rng, numbers, 1 + NUM_BOXES, JITTER),
        points=category_points(rng, categories, int(rng.integers(1, 8))),
        cross=cross_prompts(rng, categories, inside, group, NUM_CROSS, PATCH),
    )  # fmt: skip


class Feeder:
    """A ring of scenes, of which each batch draws some anew."""

    def __init__(self, bank: Bank, seed: int, slots: int) -> None:
        self.bank, self.seed, self.drawn = bank, seed, 0
        self.ring: Array = np.zeros((slots, *SLOT_SHAPE), np.uint8)
        self.rng = np.random.default_rng([seed, 7])

    def _draw(self, number: int) -> None:
        self.ring[number % len(self.ring)] = draw_slot(np.random.default_rng([self.seed, number]), self.bank)

    def next(self, side: int, scenes: int, fresh: int, pad: float) -> Batch:
        """Draw `fresh` new scenes (to begin with, a quarter of the ring), then cut a batch of `scenes`."""
        fresh = fresh if self.drawn else max(fresh, scenes, len(self.ring) // 4)
        for _ in range(fresh):
            self._draw(self.drawn)
            self.drawn += 1
        filled = min(self.drawn, len(self.ring))
        chosen = self.rng.choice(filled, min(scenes, filled), replace=False)
        return cut_views(self.rng, [self.ring[k] for k in chosen], side, pad=pad)

    def state(self) -> dict[str, Any]:
        """What `load` needs to go on with the same batches."""
        return {"drawn": self.drawn, "chance": self.rng.bit_generator.state}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state: draw the ring's scenes again."""
        self.drawn, self.rng.bit_generator.state = state["drawn"], state["chance"]
        for number in range(max(0, self.drawn - len(self.ring)), self.drawn):
            self._draw(number)


def _work(bank: Bank, seed: int, slots: int, asked: Any, done: Any) -> None:
    """Answer requests for batches until None comes; ends with its parent."""
    parent, feeder = os.getppid(), Feeder(bank, seed, slots)
    while os.getppid() == parent and (request := asked.get()) is not None:
        done.put(feeder.next(*request))


class Pool:
    """Feeders in processes of their own that work ahead; batches come in any order."""

    def __init__(self, bank: Bank, seed: int, slots: int, workers: int, requests: Iterator[tuple[Any, ...]]) -> None:
        context = mp.get_context("fork")
        self.asked, self.done, self.requests = context.Queue(), context.Queue(), requests
        self.processes = [
            context.Process(target=_work, args=(bank, seed + 1 + k, slots, self.asked, self.done), daemon=True)
            for k in range(workers)
        ]
        for process in self.processes:
            process.start()
        for _ in range(3 * workers):
            self.asked.put(next(requests))

    def next(self) -> Batch:
        """The next batch that is ready; asks for another one."""
        self.asked.put(next(self.requests))
        batch: Batch = self.done.get()
        return batch

    def close(self) -> None:
        """End the processes."""
        for process in self.processes:
            process.terminate()
            process.join()
