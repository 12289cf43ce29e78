"""The plain records that travel between layers; nothing here computes and nothing here imports samtune.

One legend of letters for the whole package: B batch, K classes (background not counted), H W a grid (rows, columns),
C channels, N tokens, R rank. A *label map* is `uint8 (H, W)`: 0 background, 1..K the classes, 255 (`IGNORE`) pixels
that count nowhere. Images in memory are `uint8 (H, W, 3)` RGB, 0..255.
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
"""The label of pixels that no loss and no metric counts (void areas of the annotation, padding)."""

Precision = Literal["auto", "fp32", "bf16"]
"""What a user may say about the numbers a model computes in; see `bases.choose_precision`."""

Averaging = Literal["none", "mirror", "d4"]
"""Over which views of an image a prediction is averaged (test-time augmentation): the image alone, the image and its
left-right mirror, or all eight flips and quarter turns, the dihedral group D4; see `data.symmetries`."""


Fit = Literal["pad", "squash"]
"""How an image is brought to a square: its longest side resized and zeros below and to the right, or both sides resized
whatever its aspect."""


@dataclass(frozen=True)
class ImageSpec:
    """How an image becomes an encoder's input: resized, normalised, brought to a square.

    Attributes:
        image_size: height and width of the square in pixels; a multiple of `patch`.
        patch: pixels along a side of one cell of the encoder's embedding.
        mean: subtracted per RGB channel, in units of 0..255.
        std: divides per RGB channel, in units of 0..255.
        fit: how the square is made.
        channels: of the input.
    """

    image_size: int
    patch: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fit: Fit = "pad"
    channels: int = 3


@dataclass(frozen=True)
class Geometry:
    """Where an image lies inside the padded square: it fills the top left `resized_hw` of `side` x `side`.

    Attributes:
        original_hw: rows and columns of the image as it came (after EXIF rotation).
        resized_hw: rows and columns after the longest side was resized to `side`; (side, side) where it was squashed.
        side: rows and columns of the padded square.
    """

    original_hw: tuple[int, int]
    resized_hw: tuple[int, int]
    side: int


@dataclass(frozen=True)
class Pair:
    """One image and its mask on disk.

    Attributes:
        stem: the name that predictions of this image carry; unique within a dataset.
        image: the image file.
        mask: the mask file.
        group: images of one group (a patient, a slide, a video) never lie on both sides of a split.
        split: "train", "val" or "test" where a manifest says so, else None.
        mask_orientation: EXIF orientation 1..8 by which the decoded mask is to be turned to fit its image; 1 for none.
    """

    stem: str
    image: Path
    mask: Path
    group: str | None = None
    split: str | None = None
    mask_orientation: int = 1


@dataclass(frozen=True)
class Prompt:
    """User prompts for the frozen SAM, in pixels of the padded square; P prompts an image.

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
    """What the encoder makes of a batch of images.

    Attributes:
        embedding: (B, C, H, W) the neck's output; H and W are the grid of patches of the padded square.
        extras: further tensors (B, ...) that the decoder or a head reads, by name; floating point, like the embedding.
    """

    embedding: Tensor
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    @staticmethod
    def of(tensors: Mapping[str, Tensor]) -> Features:
        """Return the features of what `tensors` returned."""
        return Features(tensors["embedding"], {name: each for name, each in tensors.items() if name != "embedding"})

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name: "embedding" and the extras."""
        return {"embedding": self.embedding, **self.extras}

    def map(self, function: Callable[[Tensor], Tensor]) -> Features:
        """Return the features with a function applied to every tensor."""
        return Features.of({name: function(each) for name, each in self.tensors().items()})


@dataclass(frozen=True)
class Prediction:
    """A segmentation at the size of the image it came from.

    Attributes:
        labels: uint8 (H, W) label map (0 background, 1..K classes; never `IGNORE`).
        probabilities: float32 (K, H, W), each in 0..1; with K > 1 they and the background's sum to one.
    """

    labels: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the data, as `doctor` tells it.

    Attributes:
        kind: a short fixed word, such as "unpaired", "size_differs", "empty_mask".
        file: the file it is about, or the folder where no single file is at fault.
        what: what was found, one clause.
        mend: what to do about it, one clause.
        stops_training: whether training refuses to start.
    """

    kind: str
    file: str
    what: str
    mend: str
    stops_training: bool
