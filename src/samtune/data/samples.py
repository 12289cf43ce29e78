"""Generated images with exact masks, for the demo and for tests: cells, cracks in asphalt, polyps on mucosa.

Each kind has distractors as bright as the objects (debris, oil stains and joints, folds and reflections), uneven light
and noise, so that objects differ from the rest in shape and texture, and not in brightness or colour.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from samtune.errors import ConfigError
from samtune.outputs import OutputFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    Painter = Callable[[np.random.Generator, tuple[int, int]], tuple[np.ndarray, np.ndarray]]


def make_samples(
    kind: str, folder: Path | str, *, num: int, seed: int = 0, size_hw: tuple[int, int] = (256, 256)
) -> tuple[Path, Path]:
    """Write `folder/images/{kind}_000.png` and `folder/masks/{kind}_000.png` (0/255), and so on.

    Image i depends on (kind, seed, i, size_hw) alone, so the first 8 of 16 images are the same as 8 images.

    Args:
        kind: "cells", "cracks" or "polyps".
        folder: created if it does not exist.
        num: number of pairs, at least 1.
        seed: of all random numbers.
        size_hw: rows and columns, each at least 64.

    Returns:
        The folder of images and the folder of masks.

    Raises:
        ConfigError: the kind is unknown, or `num` or `size_hw` is too small.
        OutputError: files of these names exist that samtune did not write, or a file cannot be written.
    """
    if kind not in PAINTERS:
        raise ConfigError(f"Expected a kind of {', '.join(sorted(PAINTERS))}, got {kind!r}.")
    if num < 1 or min(size_hw) < 64:
        raise ConfigError(f"Expected at least 1 sample of at least 64 x 64 pixels, got {num} of {size_hw}.")
    out = OutputFolder(Path(folder), "samples")
    names = [f"{kind}_{index:03d}.png" for index in range(num)]
    out.claim(f"{part}/{name}" for name in names for part in ("images", "masks"))
    for index, name in enumerate(names):
        image, mask = make_sample(kind, seed=seed, index=index, size_hw=size_hw)
        for part, pixels in (("images", image[..., ::-1]), ("masks", mask)):
            out.write_bytes(f"{part}/{name}", cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes())
    return out.path / "images", out.path / "masks"


def make_sample(
    kind: str, *, seed: int, index: int, size_hw: tuple[int, int] = (256, 256)
) -> tuple[np.ndarray, np.ndarray]:
    """Return one image uint8 (H, W, 3) RGB and its mask uint8 (H, W), 0 or 255; see `make_samples`."""
    rng = np.random.default_rng([sorted(PAINTERS).index(kind), seed, index])
    image, mask = PAINTERS[kind](rng, size_hw)
    return np.clip(image, 0, 255).astype(np.uint8), mask.astype(np.uint8) * np.uint8(255)


def _smooth(rng: np.random.Generator, hw: tuple[int, int], scale: float) -> np.ndarray:
    """Return a smooth random field float32 (H, W) of zero mean and unit deviation; `scale` in pixels."""
    small = (max(3, int(hw[0] / scale) + 2), max(3, int(hw[1] / scale) + 2))
    field = rng.standard_normal(small).astype(np.float32)
    field = cv2.resize(field, (hw[1], hw[0]), interpolation=cv2.INTER_CUBIC)
    unit: np.ndarray = (field - field.mean()) / (field.std() + 1e-6)
    return unit


def _blob(
    rng: np.random.Generator, hw: tuple[int, int], centre: tuple[float, float], radius: float, wobble: float
) -> np.ndarray:
    """Return the distance field float32 (H, W) of a wobbly ellipse: 0 at the centre, 1 on its rim, more outside."""
    y, x = np.mgrid[: hw[0], : hw[1]].astype(np.float32)
    y, x = y - centre[0], x - centre[1]
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(0.7, 1.0)
    u = x * np.cos(angle) + y * np.sin(angle)
    v = (-x * np.sin(angle) + y * np.cos(angle)) / stretch
    theta = np.arctan2(v, u)
    rim = np.full(hw, radius, np.float32)
    for order in (2, 3, 5):
        rim *= 1 + wobble / order * np.cos(order * theta + rng.uniform(0, 2 * np.pi)).astype(np.float32)
    distance: np.ndarray = np.hypot(u, v) / rim
    return distance


def _inside(distance: np.ndarray, sharpness: float) -> np.ndarray:
    """Return 1 within the rim (distance 1) and 0 outside, with a soft edge."""
    step: np.ndarray = 1 / (1 + np.exp(np.minimum((distance - 1) * sharpness, 60)))
    return step


def _light(rng: np.random.Generator, hw: tuple[int, int], strength: float) -> np.ndarray:
    """Return uneven light float32 (H, W, 1) around 1."""
    return (1 + strength * _smooth(rng, hw, max(hw) / 1.5))[..., None]


def _cells(rng: np.random.Generator, hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Paint cells with a rim, grainy plasma and a nucleus; debris is as bright and has neither rim nor nucleus."""
    unit = min(hw)
    grey = 96 + 5 * _smooth(rng, hw, unit / 6) + 3 * _smooth(rng, hw, 6)
    mask = np.zeros(hw, bool)
    grain = _smooth(rng, hw, 4)
    for _ in range(int(rng.integers(7, 13))):
        centre = (rng.uniform(0, hw[0]), rng.uniform(0, hw[1]))
        _debris(rng, grey, centre, unit)
    for _ in range(int(rng.integers(5, 10))):
        centre = (rng.uniform(0, hw[0]), rng.uniform(0, hw[1]))
        radius = unit * rng.uniform(0.055, 0.12)
        d = _blob(rng, hw, centre, radius, 0.16)
        inside = d < 1
        if (mask & (d < 1.25)).any():
            continue
        strength = rng.uniform(0.6, 1.2)
        grey[inside] = (98 + strength * (8 + 9 * grain))[inside]
        grey += strength * 42 * np.exp(-(((d - 0.94) / 0.09) ** 2))
        offset = rng.uniform(-0.25, 0.25, 2) * radius
        nucleus = _blob(rng, hw, (centre[0] + offset[0], centre[1] + offset[1]), radius * rng.uniform(0.3, 0.42), 0.1)
        grey += strength * 52 * _inside(nucleus, 10) * (1 + 0.2 * grain)
        mask |= inside
    return _as_microscope(rng, grey, hw), mask


def _debris(rng: np.random.Generator, grey: np.ndarray, centre: tuple[float, float], unit: int) -> None:
    """Paint one piece of debris: a plain bright blob, a ragged clump, or a fibre."""
    hw = (grey.shape[0], grey.shape[1])
    choice = int(rng.integers(3))
    if choice == 0:
        d = _blob(rng, hw, centre, unit * rng.uniform(0.03, 0.085), 0.1)
        grey += rng.uniform(30, 60) * _inside(d, 9)
    elif choice == 1:
        d = _blob(rng, hw, centre, unit * rng.uniform(0.03, 0.08), 0.6)
        grey += rng.uniform(25, 50) * (d < 1) * (1 + 0.4 * _smooth(rng, hw, 3))
    else:
        steps = np.cumsum(rng.normal(0, 0.25, 24)) + rng.uniform(0, 2 * np.pi)
        step = unit * 0.018
        xs, ys = centre[1] + np.cumsum(np.cos(steps)) * step, centre[0] + np.cumsum(np.sin(steps)) * step
        layer = np.zeros(hw, np.float32)
        points = np.stack([xs, ys], 1).round().astype(np.int32)
        cv2.polylines(layer, [points], False, rng.uniform(35, 60), int(rng.integers(1, 4)), cv2.LINE_AA)
        grey += layer


def _as_microscope(rng: np.random.Generator, grey: np.ndarray, hw: tuple[int, int]) -> np.ndarray:
    """Return a grey image as a microscope shows it: blurred, tinted, unevenly lit, with noise."""
    tint = np.array([1.0, 1.02, 0.98], np.float32) + rng.uniform(-0.03, 0.03, 3).astype(np.float32)
    blurred = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 0.8)
    noise = rng.normal(0, 4, (*hw, 1)).astype(np.float32)
    image: np.ndarray = blurred[..., None] * _light(rng, hw, 0.14) * tint + noise
    return image


def _cracks(rng: np.random.Generator, hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Paint dark, ragged, branching cracks; straight joints and oil stains are as dark."""
    unit = min(hw)
    grey = 118 + 9 * _smooth(rng, hw, 2) + 7 * _smooth(rng, hw, 5) + 6 * _smooth(rng, hw, unit / 5)
    for _ in range(int(rng.integers(2, 5))):
        d = _blob(rng, hw, (rng.uniform(0, hw[0]), rng.uniform(0, hw[1])), unit * rng.uniform(0.04, 0.12), 0.35)
        grey -= rng.uniform(30, 50) * _inside(d, 8)
    for _ in range(int(rng.integers(1, 3))):
        layer = np.zeros(hw, np.float32)
        angle, middle = rng.uniform(0, np.pi), (rng.uniform(0, hw[1]), rng.uniform(0, hw[0]))
        far = np.array([np.cos(angle), np.sin(angle)]) * 2 * max(hw)
        ends = [tuple(int(v) for v in np.array(middle) + sign * far) for sign in (-1, 1)]
        cv2.line(layer, ends[0], ends[1], rng.uniform(35, 55), int(rng.integers(2, 5)), cv2.LINE_AA)
        grey -= layer
    mask = np.zeros(hw, np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        start = np.array([rng.uniform(0.1, 0.9) * hw[1], rng.uniform(0.1, 0.9) * hw[0]])
        _crack(rng, mask, start, rng.uniform(0, 2 * np.pi), max(2.0, unit * rng.uniform(0.008, 0.02)))
    inside = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
    grey -= inside * (48 + 8 * _smooth(rng, hw, 6))
    tint = np.array([1.0, 0.99, 0.96], np.float32)
    noise = rng.normal(0, 6, (*hw, 1)).astype(np.float32)
    return grey[..., None] * _light(rng, hw, 0.1) * tint + noise, mask > 0


def _crack(rng: np.random.Generator, mask: np.ndarray, start: np.ndarray, angle: float, width: float) -> None:
    """Draw a ragged, branching line in both directions from `start` (x, y) into uint8 `mask`."""
    unit = min(mask.shape)
    for direction in (angle, angle + np.pi + rng.normal(0, 0.3)):
        queue = [(start, direction, width, int(rng.integers(14, 34)))]
        while queue:
            point, heading, thick, steps = queue.pop()
            for _ in range(steps):
                heading += rng.normal(0, 0.38)
                new = point + np.array([np.cos(heading), np.sin(heading)]) * unit * rng.uniform(0.012, 0.03)
                ends = [tuple(int(v) for v in end.round()) for end in (point, new)]
                cv2.line(mask, ends[0], ends[1], 1, max(1, round(thick * rng.uniform(0.6, 1.3))))
                point = new
                if rng.random() < 0.05 and thick > 1.5:
                    queue.append((point, heading + rng.choice([-1, 1]) * 0.9, thick * 0.6, steps // 2))


def _polyps(rng: np.random.Generator, hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Paint raised, shaded lumps with pits; folds and reflections look similar."""
    unit = min(hw)
    shade = 0.10 * _smooth(rng, hw, unit / 3) + 0.04 * _smooth(rng, hw, unit / 12)
    for _ in range(int(rng.integers(2, 5))):
        d = _blob(rng, hw, (rng.uniform(0, hw[0]), rng.uniform(0, hw[1])), unit * rng.uniform(0.3, 0.7), 0.12)
        shade += rng.uniform(0.12, 0.25) * np.exp(-(((d - 1) / 0.07) ** 2))
        shade -= rng.uniform(0.08, 0.16) * np.exp(-(((d - 1.13) / 0.07) ** 2))
    mask = np.zeros(hw, bool)
    pits = _smooth(rng, hw, 5)
    for _ in range(int(rng.integers(1, 3))):
        centre = (rng.uniform(0.2, 0.8) * hw[0], rng.uniform(0.2, 0.8) * hw[1])
        d = _blob(rng, hw, centre, unit * rng.uniform(0.1, 0.22), 0.14)
        if (mask & (d < 1.2)).any():
            continue
        inside = d < 1
        dome = np.sqrt(np.clip(1 - d**2, 0, 1))
        light = _blob(rng, hw, (centre[0] - unit * 0.05, centre[1] - unit * 0.03), unit * 0.16, 0.05)
        shade[inside] = (0.25 * shade + 0.22 * dome - 0.12 + 0.05 * pits + 0.06 * np.exp(-(light**2)))[inside]
        shade -= 0.14 * np.exp(-(((d - 1.08) / 0.07) ** 2))
        mask |= inside
    image = (1 + shade)[..., None] * np.array([176, 98, 86], np.float32)
    vessels = _smooth(rng, hw, unit / 8)
    thin = np.exp(-((vessels / 0.05) ** 2)) * ~mask
    image -= thin[..., None] * np.array([14, 24, 20], np.float32)
    for _ in range(int(rng.integers(6, 16))):
        d = _blob(rng, hw, (rng.uniform(0, hw[0]), rng.uniform(0, hw[1])), unit * rng.uniform(0.006, 0.025), 0.3)
        image += (rng.uniform(60, 130) * _inside(d, 8))[..., None]
    noise = rng.normal(0, 4, (*hw, 3)).astype(np.float32)
    return image * _light(rng, hw, 0.12) + noise, mask


PAINTERS: dict[str, Painter] = {"cells": _cells, "cracks": _cracks, "polyps": _polyps}
"""Kind of sample -> the function that paints one image and its mask."""
