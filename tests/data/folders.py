"""Small folders of images and masks, written for one test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def picture(seed: int = 0, hw: tuple[int, int] = (24, 32)) -> np.ndarray:
    """Noise that no thumbnail takes for a copy of another seed's."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(blocks).resize((hw[1], hw[0]), Image.Resampling.BICUBIC), np.uint8)


def disc(hw: tuple[int, int] = (24, 32), shift: int = 0, radius: int = 6) -> np.ndarray:
    """0/1 uint8: a disc in the middle."""
    y, x = np.mgrid[: hw[0], : hw[1]]
    inside: np.ndarray = ((y - hw[0] // 2) ** 2 + (x - hw[1] // 2 - shift) ** 2) < radius**2
    return inside.astype(np.uint8)


def save(path: Path, pixels: np.ndarray, **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **how)
    return path


def save_palette(path: Path, indices: np.ndarray, colours: list[tuple[int, int, int]]) -> Path:
    image = Image.fromarray(indices)
    image.putpalette([value for colour in colours for value in colour])
    assert image.mode == "P"
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def make_folder(root: Path, masks: list[np.ndarray], *, suffix: str = ".png", **how: Any) -> tuple[Path, Path]:
    """images/0.png ... and masks/0{suffix} ..., each mask written as it is."""
    for index, mask in enumerate(masks):
        save(root / "images" / f"{index}.png", picture(index, (mask.shape[0], mask.shape[1])))
        save(root / "masks" / f"{index}{suffix}", mask, **how)
    return root / "images", root / "masks"


def binary_folder(root: Path, num: int = 4) -> tuple[Path, Path]:
    return make_folder(root, [disc(shift=i % 5) * np.uint8(255) for i in range(num)])


def named_files(root: Path, images: str, masks: str) -> tuple[Path, Path]:
    """Files named in two lists: pictures below images/, a disc each below masks/."""
    for number, name in enumerate(images.split("|")):
        save(root / "images" / name, picture(number))
    for number, name in enumerate(masks.split("|")):
        save(root / "masks" / name, disc(shift=2 * number, radius=5) * np.uint8(255))
    return root / "images", root / "masks"
