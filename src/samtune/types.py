"""Plain records that are shared by all layers; this module imports nothing of samtune.

Letters for shapes in the whole package: B batch, K classes (background not counted), H W a grid (rows, columns),
C channels, N tokens, R rank. A *label map* is `uint8 (H, W)`: 0 background, 1..K the classes, 255 (`IGNORE`) pixels
that are ignored. Images in memory are `uint8 (H, W, 3)` RGB, 0..255.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from torch import Tensor

IGNORE = 255
"""Label of pixels that losses and metrics ignore: void areas of the annotation, padding."""

Precision = Literal["auto", "fp32", "bf16"]
"""Floating-point precision of a model, as a user may set it; see `bases.choose_precision`."""

Averaging = Literal["none", "mirror", "d4"]
"""Views over which a prediction is averaged (test-time augmentation): the image alone, the image and its left-right
mirror, or all eight flips and quarter turns (the dihedral group D4); see `data.views.symmetries`."""


Fit = Literal["pad", "squash"]
"""Conversion of an image to a square: "pad" resizes the longest side and pads with zeros below and at the right;
"squash" resizes both sides, whatever the aspect."""


@dataclass(frozen=True)
class ImageSpec:
    """Specification of an encoder's input: resized, normalised, and padded or squashed to a square.

    Attributes:
        image_size: height and width of the square in pixels; a multiple of `patch`.
        patch: height and width in pixels of one cell of the encoder's embedding.
        mean: mean to subtract per RGB channel, on the scale 0..255.
        std: standard deviation to divide by per RGB channel, on the scale 0..255.
        fit: conversion to the square.
        channels: number of channels of the input.
    """

    image_size: int
    patch: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fit: Fit = "pad"
    channels: int = 3


@dataclass(frozen=True)
class Geometry:
    """Position of an image inside the padded square: it fills the top left `resized_hw` of `side` x `side`.

    Attributes:
        original_hw: rows and columns of the image file, after its EXIF rotation.
        resized_hw: rows and columns after the longest side was resized to `side`; (side, side) for "squash".
        side: rows and columns of the padded square.
    """

    original_hw: tuple[int, int]
    resized_hw: tuple[int, int]
    side: int


@dataclass(frozen=True)
class Pair:
    """One image and its mask on disk.

    Attributes:
        stem: name of the image and of its predictions; unique within a dataset.
        image: the image file.
        mask: the mask file.
        group: images of one group (a patient, a slide, a video) never lie on both sides of a split.
        split: "train", "val" or "test" where the data names it, else None.
        mask_orientation: EXIF orientation 1..8 by which the decoded mask is rotated to fit its image; 1 for none.
    """

    stem: str
    image: Path
    mask: Path
    group: str | None = None
    split: str | None = None
    mask_orientation: int = 1


@dataclass(frozen=True)
class Prompt:
    """User prompts for the frozen SAM, in pixels of the padded square, with P prompts per image.

    Attributes:
        points_xy: (B, P, N, 2) float, x then y.
        point_labels: (B, P, N) int: 1 foreground, 0 background.
        boxes_xyxy: (B, P, 4) float, left top right bottom.
    """

    points_xy: Tensor | None = None
    point_labels: Tensor | None = None
    boxes_xyxy: Tensor | None = None


@dataclass(frozen=True)
class Features:
    """Output of the encoder for a batch of images.

    Attributes:
        embedding: (B, C, H, W) output of the neck; H and W are the grid of patches of the padded square.
        extras: name -> further tensor (B, ...) that the decoder or a head reads; floating point, like the embedding.
    """

    embedding: Tensor
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    @staticmethod
    def of(tensors: Mapping[str, Tensor]) -> Features:
        """Return features from the result of `tensors`."""
        return Features(tensors["embedding"], {name: each for name, each in tensors.items() if name != "embedding"})

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name: "embedding" and the extras."""
        return {"embedding": self.embedding, **self.extras}

    def map(self, function: Callable[[Tensor], Tensor]) -> Features:
        """Return the features with a function applied to every tensor."""
        return Features.of({name: function(each) for name, each in self.tensors().items()})


@dataclass(frozen=True)
class Prediction:
    """Segmentation of an image at the image's own size.

    Attributes:
        labels: (H, W) as the task has them, 0 background; for areas a uint8 label map, never `IGNORE`.
        probabilities: float32 (M, H, W), each in 0..1, of the task's maps; for areas M = K, and with K > 1 they and the
            background's sum to one.
    """

    labels: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Problem:
    """Problem of a data set, as `samtune doctor` reports it.

    Attributes:
        kind: fixed identifier, such as "unpaired", "size_differs", "empty_mask".
        file: the file with the problem, or the folder where it is not a single file.
        what: clause that says what is wrong.
        mend: clause that says what to do about it.
        stops_training: whether training refuses the data.
    """

    kind: str
    file: str
    what: str
    mend: str
    stops_training: bool
