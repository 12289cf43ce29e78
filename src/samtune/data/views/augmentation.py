"""Views of one image and its label map: flipped, turned, cropped, and changed in light, both together.

Every view is a function of (seed, index) alone, so embeddings of views can be cached and runs repeated; the
global random state is neither read nor changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import kornia.enhance
import numpy as np
import torch

from samtune.data.views.resizing import resize_image
from samtune.data.views.transforms import (
    check_image,
    geometry_of,
    labels_to_input,
    normalise,
    pad_pixels,
    to_input,
)
from samtune.errors import ConfigError, ShapeError
from samtune.types import IGNORE

if TYPE_CHECKING:
    from samtune.types import Geometry, ImageSpec

CROP_TRIES = 5


@dataclass(frozen=True)
class Augmentation:
    """How strongly views differ from the image; a zero (False, scale 1) switches that part off.

    Attributes:
        flip: mirror left-right with probability 1/2, and, with `rotate90`, any of the eight symmetries of
            the square.
        rotate90: turn by 0, 90, 180 or 270 degrees, each alike.
        scale_min: a window of the image's own shape is cut out, its sides a share drawn from scale_min..1 of
            the image's, and resized like an image of its own; 0 < scale_min <= 1.
        keep_foreground: a window without any class is drawn again (up to 5 times) if the image has one.
        brightness: added, drawn from -brightness..brightness in units where white is 1; 0..1.
        contrast: the distance from the mean is multiplied by 1 - contrast..1 + contrast; 0..1.
        gamma: the exponent is drawn from 1 / (1 + gamma)..1 + gamma; 0..4.
        hue: turned by -hue..hue of the whole circle; 0..0.5.
        saturation: multiplied by 1 - saturation..1 + saturation; 0..1.
        mirror_odd: mirror left-right in every view of an odd number and in no other. Nothing is drawn for it, so with
            this alone the views 0 and 1 are all there are, and views drawn evenly are mirrored half of the time.

    Raises:
        ConfigError: a field is out of its range.
    """

    flip: bool = True
    rotate90: bool = True
    scale_min: float = 0.6
    keep_foreground: bool = True
    brightness: float = 0.1
    contrast: float = 0.1
    gamma: float = 0.1
    hue: float = 0.02
    saturation: float = 0.1
    mirror_odd: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.scale_min <= 1:
            raise ConfigError(f"scale_min must lie in 0 < scale_min <= 1, got {self.scale_min}")
        limits = {"brightness": 1, "contrast": 1, "gamma": 4, "hue": 0.5, "saturation": 1}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise ConfigError(f"{name} must lie in 0..{limit}, got {value}")


AUGMENTATIONS = {
    "varied": Augmentation(),
    "upright": Augmentation(rotate90=False),
    "flip": Augmentation(
        flip=False, rotate90=False, scale_min=1, brightness=0, contrast=0, gamma=0, hue=0, saturation=0, mirror_odd=True
    ),
}
"""The strengths that a recipe or a setting may name: samtune's own; the same without turns, for scenes with an up and a
down; and a left-right flip of every second view."""


class _Draws:
    """Uniform numbers from a generator of its own, in a fixed order."""

    def __init__(self, seed: int, index: int) -> None:
        self.generator = torch.Generator().manual_seed((seed * 1_000_003 + index * 7919 + 12345) % (2**63))

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator, dtype=torch.float64))

    def below(self, num: int) -> int:
        return min(num - 1, int(self.between(0, num)))


def view(
    image: np.ndarray,
    labels: np.ndarray,
    spec: ImageSpec,
    *,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    index: int = 0,
) -> tuple[torch.Tensor, torch.Tensor, Geometry]:
    """View number `index` of an image and its label map, as encoder input.

    Args:
        image: uint8 (H, W, 3) RGB.
        labels: uint8 (H, W).
        spec: side, mean and std of the encoder.
        augmentation: strengths; None for the defaults.
        seed: gives another sequence of views; use another seed for each image, else all share their flips
            and lights.
        index: 0 is the image as it is; any other number is a view of its own.

    Returns:
        pixels float32 (3, side, side), normalised, padding 0; labels uint8 (side, side), types.IGNORE in the
        padding; the geometry, whose `original_hw` is that of the
        window cut out.

    Raises:
        ShapeError: `image` is not uint8 (H, W, 3) or `labels` not uint8 (H, W) of the same size.
    """
    check_image(image)
    if labels.shape != image.shape[:2] or labels.dtype != np.uint8:
        raise ShapeError(
            f"labels must be uint8 of shape {image.shape[:2]} as the image, got {labels.dtype} {labels.shape}"
        )
    if index == 0:
        pixels, geometry = to_input(image, spec)
        return pixels, labels_to_input(labels, geometry), geometry
    strengths = augmentation or Augmentation()
    draws = _Draws(seed, index)
    rows, columns = _window(labels, strengths, draws)
    image, labels = _turn(image[rows, columns], labels[rows, columns], strengths, draws)
    if strengths.mirror_odd and index % 2:
        image, labels = image[:, ::-1], labels[:, ::-1]
    geometry = geometry_of((image.shape[0], image.shape[1]), spec)
    resized = resize_image(np.ascontiguousarray(image), geometry.resized_hw)
    content = torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1))).to(torch.float32) / 255
    content = _relight(content, strengths, draws)
    pixels = pad_pixels(normalise(content * 255, spec), spec.image_size)
    padded = labels_to_input(np.ascontiguousarray(labels), geometry)
    return pixels, padded, geometry


def _window(labels: np.ndarray, strengths: Augmentation, draws: _Draws) -> tuple[slice, slice]:
    """Rows and columns of the window to cut out."""
    h, w = labels.shape
    has_class = bool(((labels > 0) & (labels < IGNORE)).any())
    rows, columns = slice(0, h), slice(0, w)
    if strengths.scale_min == 1:
        return rows, columns
    for _ in range(CROP_TRIES):
        share = draws.between(strengths.scale_min, 1)
        new_h, new_w = max(1, round(h * share)), max(1, round(w * share))
        top, left = draws.below(h - new_h + 1), draws.below(w - new_w + 1)
        rows, columns = slice(top, top + new_h), slice(left, left + new_w)
        part = labels[rows, columns]
        if not (strengths.keep_foreground and has_class) or bool(((part > 0) & (part < IGNORE)).any()):
            return rows, columns
    return slice(0, h), slice(0, w)


def _turn(
    image: np.ndarray, labels: np.ndarray, strengths: Augmentation, draws: _Draws
) -> tuple[np.ndarray, np.ndarray]:
    """Flip and turn by right angles: exact, no pixel is interpolated."""
    mirrored, quarters = draws.below(2), draws.below(4)
    if strengths.flip and mirrored:
        image, labels = image[:, ::-1], labels[:, ::-1]
    if strengths.rotate90:
        image, labels = np.rot90(image, quarters), np.rot90(labels, quarters)
    return image, labels


def _relight(content: torch.Tensor, strengths: Augmentation, draws: _Draws) -> torch.Tensor:
    """Brightness, contrast, gamma, saturation and hue of float32 (3, h, w) in 0..1."""
    brightness = draws.between(-strengths.brightness, strengths.brightness)
    contrast = draws.between(1 - strengths.contrast, 1 + strengths.contrast)
    gamma = (1 + strengths.gamma) ** draws.between(-1, 1)
    saturation = draws.between(1 - strengths.saturation, 1 + strengths.saturation)
    turn = draws.between(-strengths.hue, strengths.hue) * 2 * np.pi
    mean = content.mean()
    if strengths.contrast > 0:
        content = mean + (content - mean) * contrast
    if strengths.brightness > 0:
        content = content + brightness
    content = content.clamp(0, 1)[None]
    if strengths.gamma > 0:
        content = kornia.enhance.adjust_gamma(content, gamma)
    if strengths.saturation > 0:
        content = kornia.enhance.adjust_saturation(content, saturation)
    if strengths.hue > 0:
        content = kornia.enhance.adjust_hue(content, turn)
    return content[0].clamp(0, 1)
