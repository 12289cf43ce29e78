"""Where training images come from: a process that draws scenes into shared memory, and batches cut out of it.

A slot holds one scene in `LAYOUTS` layouts, each (256, 256, 5) uint8: RGB, category, instance. Slots are
re-used with other crops, scales, turns and colours until the producer overwrites them.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from dataclasses import dataclass
from multiprocessing import shared_memory
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from model import GRID, PATCH, PIXEL_MEAN, PIXEL_STD
from scenes import Scene, texture_bank

if TYPE_CHECKING:
    from numpy.random import Generator

Array = Any
LAYOUTS, SIDE, SLOTS = 3, 256, 3000
SLOT_SHAPE = (LAYOUTS, SIDE, SIDE, 5)


def draw_slot(rng: Generator, textures: Array) -> Array:
    """Draw one scene in all its layouts: `SLOT_SHAPE` uint8."""
    scene, slot = Scene(rng, textures), np.zeros(SLOT_SHAPE, np.uint8)
    for layout in slot:
        layout[..., :3], layout[..., 3], layout[..., 4] = scene.render(rng, SIDE)
    return slot


def _produce(name: str, count: Any, seed: int, eager: int, period_s: float) -> None:
    """Fill the ring for ever: `eager` scenes at once, then one every `period_s`; ends with its parent."""
    os.nice(10)
    torch.set_num_threads(1)
    parent = os.getppid()
    memory = shared_memory.SharedMemory(name=name)
    ring = np.ndarray((SLOTS, *SLOT_SHAPE), np.uint8, memory.buf)
    textures, rng = texture_bank(seed), np.random.default_rng(seed)
    while os.getppid() == parent:
        start = time.time()
        ring[count.value % SLOTS] = draw_slot(rng, textures)
        count.value += 1
        if count.value > eager:
            time.sleep(max(0.0, period_s - (time.time() - start)))


class Replay:
    """The ring and its producer."""

    def __init__(self, seed: int, eager: int, period_s: float) -> None:
        self.memory = shared_memory.SharedMemory(create=True, size=SLOTS * int(np.prod(SLOT_SHAPE)))
        self.ring: Array = np.ndarray((SLOTS, *SLOT_SHAPE), np.uint8, self.memory.buf)
        self.count = mp.get_context("fork").Value("l", 0)
        arguments = (self.memory.name, self.count, seed, eager, period_s)
        self.process = mp.get_context("fork").Process(target=_produce, args=arguments, daemon=True)
        self.process.start()

    def draw(self, rng: Generator, num: int) -> list[Array]:
        """Pick `num` different scenes at random."""
        filled = min(int(self.count.value), SLOTS)
        return [self.ring[k] for k in rng.choice(filled, num, replace=False)]

    def close(self) -> None:
        """Stop the producer and free the memory."""
        self.process.terminate()
        self.process.join()
        self.memory.close()
        self.memory.unlink()


@dataclass
class Images:
    """A batch: scenes of `LAYOUTS` adjacent images each."""

    pixels: Tensor  # (B, 3, S, S) normalised, zero on padding
    categories: Array  # (B, S, S) uint8
    instances: Array  # (B, S, S) uint8
    inside: Array  # (B, S, S) bool, False on padding
    corners: list[tuple[int, int]]  # the window of each image in the 32 x 32 grid


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
    image = cv2.resize(np.ascontiguousarray(layout[..., :3]), (side, side), interpolation=cv2.INTER_AREA)
    labels = np.ascontiguousarray(layout[..., 3:])
    labels = np.dstack([cv2.resize(labels[..., k], (side, side), interpolation=cv2.INTER_NEAREST) for k in (0, 1)])
    return np.concatenate([image, labels], -1)


def _view(rng: Generator, layout: Array, side: int, scale: float) -> Array:
    """A view of `side` pixels whose scale against the scene is `scale`."""
    cut = min(SIDE, round(side / scale))
    layout = _crop(rng, layout, cut) if cut < SIDE else layout
    return _resize(layout, side) if cut != side else layout


def batch(rng: Generator, slots: list[Array], side: int, augment: bool = True, pad: float = 0.0) -> Images:
    """Cut a batch out of scenes.

    Args:
        rng: source of chance.
        slots: scenes.
        side: pixels of the square.
        augment: turn, and change the colours (alike in all layouts of a scene).
        pad: chance that an image is made non-square, with zeros below or to the right.
    """
    pixels, labels, insides, corners = [], [], [], []
    for slot in slots:
        flips = int(rng.integers(8)) if augment else 0
        invert, mix = augment and rng.random() < 0.1, augment and rng.random() < 0.3
        order = rng.permutation(3)
        gain, bias = np.exp(rng.normal(0, 0.15)), rng.normal(0, 12)
        scale = side / SIDE if not augment else float(rng.choice([side / SIDE, 1.0, (1 + side / SIDE) / 2]))
        for stored in slot:
            layout = stored.transpose(1, 0, 2) if flips & 4 else stored
            layout = _view(rng, layout[:: -1 if flips & 1 else 1, :: -1 if flips & 2 else 1], side, scale)
            image = layout[..., :3].astype(np.float32)
            if mix:
                image = image[..., order]
            if invert:
                image = 255 - image
            if augment:
                image = np.clip(image * (gain * np.exp(rng.normal(0, 0.05))) + bias + rng.normal(0, 4), 0, 255)
            tensor = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32, order="C"))
            tensor = (tensor - PIXEL_MEAN) / PIXEL_STD
            inside = np.ones((side, side), bool)
            if rng.random() < pad:
                cut = int(side * rng.uniform(0.5, 0.95))
                inside[(slice(cut, None), slice(None)) if rng.random() < 0.5 else (slice(None), slice(cut, None))] = 0
                tensor = tensor * torch.from_numpy(inside)
            pixels.append(tensor)
            labels.append(layout[..., 3:] * inside[..., None])
            insides.append(inside)
            y, x = (int(v) for v in rng.integers(0, GRID - side // PATCH + 1, 2))
            corners.append((y, x))
    maps = np.stack(labels)
    return Images(torch.stack(pixels), maps[..., 0].copy(), maps[..., 1].copy(), np.stack(insides), corners)
