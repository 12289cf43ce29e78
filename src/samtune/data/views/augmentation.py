"""Augmented views of an image and its label map: flips, quarter turns, crops and changes of brightness and colour.

A view is a function of (seed, index) alone, so that embeddings of views can be cached and runs repeated; the global
random state is neither read nor changed.
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
    check_labels,
    geometry_of,
    ignored_label,
    labels_to_input,
    normalise,
    pad_pixels,
    to_input,
)
from samtune.errors import ConfigError

if TYPE_CHECKING:
    from samtune.types import Geometry, ImageSpec

CROP_TRIES = 5
"""Largest number of crops that are drawn to find one that shows a class; then the whole image is used."""


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the augmentation; False, 0 and a scale of 1 switch a part off.

    Attributes:
        flip: mirror left-right with probability 1/2; with `rotate90` this gives all eight symmetries of the square.
        rotate90: rotate by 0, 90, 180 or 270 degrees with equal probability.
        scale_min: crop a window of the image's aspect and resize it like an image; its sides are those of the image
            times a factor drawn from scale_min..1; 0 < scale_min <= 1.
        keep_foreground: draw the window again (up to 5 times) if it shows no class although the image does.
        brightness: add a number from -brightness..brightness, where white is 1; 0..1.
        contrast: multiply the difference from the mean by a factor from 1 - contrast..1 + contrast; 0..1.
        gamma: raise to a power from 1 / (1 + gamma)..1 + gamma; 0..4.
        hue: rotate by -hue..hue of the colour circle; 0..0.5.
        saturation: multiply by a factor from 1 - saturation..1 + saturation; 0..1.
        mirror_odd: mirror every view of odd index left-right, and no other. No random number is drawn: with this part
            alone there are only two different views, and half of evenly drawn indices are mirrored.

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
            raise ConfigError(f"Expected `scale_min` in 0 < scale_min <= 1, got {self.scale_min}.")
        limits = {"brightness": 1, "contrast": 1, "gamma": 4, "hue": 0.5, "saturation": 1}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise ConfigError(f"Expected `{name}` in 0..{limit}, got {value}.")


AUGMENTATIONS = {
    "varied": Augmentation(),
    "upright": Augmentation(rotate90=False),
    "flip": Augmentation(
        flip=False, rotate90=False, scale_min=1, brightness=0, contrast=0, gamma=0, hue=0, saturation=0, mirror_odd=True
    ),
}
"""Name -> strengths: samtune's own, the same without rotation for upright scenes, and a left-right flip of every second
view."""


class _Draws:
    """Uniform random numbers from a generator of its own, seeded by (seed, index)."""

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
    """Return view `index` of an image and its label map, as encoder input.

    Args:
        image: uint8 (H, W, 3) RGB.
        labels: uint8 or int32 (H, W); see `ignored_label`.
        spec: input size, mean and std of the encoder.
        augmentation: strengths; None for the defaults.
        seed: of the sequence of views. Images with the same seed share their flips and brightness.
        index: number of the view; 0 is the image without augmentation.

    Returns:
        pixels float32 (3, side, side), normalised, zero in the padding; labels (side, side), ignored in the padding;
        and the geometry, whose `original_hw` is the size of the crop.

    Raises:
        ShapeError: `image` is not uint8 (H, W, 3) or `labels` not uint8 or int32 (H, W) of that size.
    """
    check_image(image)
    check_labels(labels, image.shape[:2])
    if index == 0:
        pixels, geometry = to_input(image, spec)
        return pixels, labels_to_input(labels, geometry), geometry
    strengths = augmentation or Augmentation()
    draws = _Draws(seed, index)
    rows, columns = _window(labels, strengths, draws)
    image, labels = _flip_and_rotate(image[rows, columns], labels[rows, columns], strengths, draws)
    if strengths.mirror_odd and index % 2:
        image, labels = image[:, ::-1], labels[:, ::-1]
    geometry = geometry_of((image.shape[0], image.shape[1]), spec)
    resized = resize_image(np.ascontiguousarray(image), geometry.resized_hw)
    content = torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1))).to(torch.float32) / 255
    content = _jitter_colours(content, strengths, draws)
    pixels = pad_pixels(normalise(content * 255, spec), spec.image_size)
    padded = labels_to_input(np.ascontiguousarray(labels), geometry)
    return pixels, padded, geometry


def _window(labels: np.ndarray, strengths: Augmentation, draws: _Draws) -> tuple[slice, slice]:
    """Draw the rows and columns of the crop."""
    h, w = labels.shape
    shown = (labels > 0) & (labels != ignored_label(labels))
    has_class = bool(shown.any())
    rows, columns = slice(0, h), slice(0, w)
    if strengths.scale_min == 1:
        return rows, columns
    for _ in range(CROP_TRIES):
        share = draws.between(strengths.scale_min, 1)
        new_h, new_w = max(1, round(h * share)), max(1, round(w * share))
        top, left = draws.below(h - new_h + 1), draws.below(w - new_w + 1)
        rows, columns = slice(top, top + new_h), slice(left, left + new_w)
        if not (strengths.keep_foreground and has_class) or bool(shown[rows, columns].any()):
            return rows, columns
    return slice(0, h), slice(0, w)


def _flip_and_rotate(
    image: np.ndarray, labels: np.ndarray, strengths: Augmentation, draws: _Draws
) -> tuple[np.ndarray, np.ndarray]:
    """Flip and rotate by right angles, without interpolation."""
    mirrored, quarters = draws.below(2), draws.below(4)
    if strengths.flip and mirrored:
        image, labels = image[:, ::-1], labels[:, ::-1]
    if strengths.rotate90:
        image, labels = np.rot90(image, quarters), np.rot90(labels, quarters)
    return image, labels


def _jitter_colours(content: torch.Tensor, strengths: Augmentation, draws: _Draws) -> torch.Tensor:
    """Change brightness, contrast, gamma, saturation and hue of float32 (3, h, w) in 0..1."""
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
