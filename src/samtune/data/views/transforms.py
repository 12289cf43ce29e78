"""Conversion of images and label maps to the encoder's input: resized, normalised, and zero-padded to a square.

With `ImageSpec.fit` "squash" both sides are resized to the square, so that nothing is padded and shapes are squashed.
Pixel centres are aligned (the value at column x stands for x + 0.5) for images and label maps, so that they stay
registered at any scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from samtune.data.views.resizing import resize_image, resize_labels
from samtune.errors import ShapeError
from samtune.types import IGNORE, Geometry

if TYPE_CHECKING:
    from samtune.types import ImageSpec


def geometry_of(original_hw: tuple[int, int], spec: ImageSpec) -> Geometry:
    """Return where an image of `original_hw` (rows, columns) lies in the square; sizes are rounded and at least 1."""
    h, w = original_hw
    if spec.fit == "squash":
        return Geometry((h, w), (spec.image_size, spec.image_size), spec.image_size)
    scale = spec.image_size / max(h, w)
    resized_hw = (max(1, int(h * scale + 0.5)), max(1, int(w * scale + 0.5)))
    return Geometry((h, w), resized_hw, spec.image_size)


def normalise(pixels: torch.Tensor, spec: ImageSpec) -> torch.Tensor:
    """Return float32 (3, h, w) of 0..255 minus `spec.mean` and divided by `spec.std`, per channel."""
    mean = torch.tensor(spec.mean, dtype=torch.float32).view(3, 1, 1)
    std = torch.tensor(spec.std, dtype=torch.float32).view(3, 1, 1)
    return (pixels - mean) / std


def pad_pixels(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Pad float32 (3, h, w) with zeros at the bottom and at the right to (3, side, side)."""
    padded = torch.zeros(3, side, side)
    padded[:, : pixels.shape[1], : pixels.shape[2]] = pixels
    return padded


def to_input(image: np.ndarray, spec: ImageSpec) -> tuple[torch.Tensor, Geometry]:
    """Return an image as the encoder's input.

    Args:
        image: uint8 (H, W, 3) RGB.
        spec: input size, mean and std of the encoder.

    Returns:
        float32 (3, side, side), normalised, with exact zeros in the padding; and where the image lies in it.

    Raises:
        ShapeError: `image` is not uint8 (H, W, 3) with at least one pixel.
    """
    check_image(image)
    geometry = geometry_of((image.shape[0], image.shape[1]), spec)
    resized = resize_image(image, geometry.resized_hw)
    pixels = torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1))).to(torch.float32)
    return pad_pixels(normalise(pixels, spec), spec.image_size), geometry


def labels_to_input(labels: np.ndarray, geometry: Geometry) -> torch.Tensor:
    """Return a label map in the frame of the encoder's input.

    Args:
        labels: uint8 or int32 (H, W) of the image's size.
        geometry: of the image, from `to_input`.

    Returns:
        (side, side) of the same type: the label of the nearest pixel; `ignored_label` in the padding.

    Raises:
        ShapeError: `labels` is not uint8 or int32 (H, W) of `geometry.original_hw`.
    """
    check_labels(labels, geometry.original_hw)
    resized = torch.from_numpy(np.ascontiguousarray(resize_labels(labels, geometry.resized_hw)))
    padded = torch.full((geometry.side, geometry.side), ignored_label(labels), dtype=resized.dtype)
    padded[: resized.shape[0], : resized.shape[1]] = resized
    return padded


def ignored_label(labels: np.ndarray) -> int:
    """Return the label of pixels that count nowhere: types.IGNORE in uint8; -1 in int32, where 255 may be an object."""
    return IGNORE if labels.dtype == np.uint8 else -1


def check_labels(labels: np.ndarray, size_hw: tuple[int, ...]) -> None:
    """Check that labels are uint8 or int32 of their image's size.

    Raises:
        ShapeError: they are not.
    """
    if labels.dtype not in (np.uint8, np.int32) or labels.shape != tuple(size_hw):
        raise ShapeError(
            f"Expected labels as uint8 or int32 of the image's shape {tuple(size_hw)}, got {labels.dtype} "
            f"{labels.shape}."
        )


def check_image(image: np.ndarray) -> None:
    """Check that an image is uint8 (H, W, 3) with pixels.

    Raises:
        ShapeError: it is not.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ShapeError(
            f"Expected an image as uint8 (H, W, 3) RGB, as `read_image` returns it, got {image.dtype} {image.shape}."
        )
