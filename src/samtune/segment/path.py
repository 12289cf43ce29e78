"""Steps from images to full-size logits, and `segment`, which runs all of them, with test-time averaging."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from samtune.averaging import ProbabilityMean
from samtune.data import to_input
from samtune.data.views.symmetries import SYMMETRIES, apply_symmetry, undo_symmetry
from samtune.data.views.transforms import check_image
from samtune.segment.restore import to_original
from samtune.types import Features

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from samtune.types import Averaging, Geometry, ImageSpec

Decoder = Callable[[Features], Tensor]
"""Features of B inputs -> logits (B, K, h, w) over the padded square, at any resolution."""


class Encoder(Protocol):
    """Model that encodes images; a base is one."""

    @property
    def spec(self) -> ImageSpec:
        """How images are prepared."""
        ...

    @property
    def device(self) -> torch.device:
        """Device that pixels are moved to."""
        ...

    def encode(self, pixels: Tensor) -> Features:
        """Return the features of prepared pixels (B, 3, S, S)."""
        ...


@dataclass(frozen=True)
class PixelEncoder:
    """`Encoder` for models without one: the embedding of its features is the prepared pixels.

    Attributes:
        spec: how images are prepared.
        device: of the model.
    """

    spec: ImageSpec
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def encode(self, pixels: Tensor) -> Features:
        """Return the pixels."""
        return Features(pixels)


@dataclass(frozen=True)
class Inputs:
    """A batch of images as encoder inputs.

    Attributes:
        pixels: float32 (B, 3, S, S), on the CPU.
        geometries: where each image lies in its square.
    """

    pixels: Tensor
    geometries: tuple[Geometry, ...]


def prepare(images: Sequence[np.ndarray], spec: ImageSpec) -> Inputs:
    """Turn images into encoder inputs; `full_size` returns logits to the images' sizes.

    Args:
        images: uint8 (H, W, 3) RGB each, of any sizes; at least one.
        spec: of the encoder.

    Raises:
        ShapeError: an image is not uint8 (H, W, 3).
    """
    pixels, geometries = zip(*(to_input(image, spec) for image in images), strict=True)
    return Inputs(torch.stack(pixels), geometries)


def encode(encoder: Encoder, inputs: Inputs) -> Features:
    """Return the features of a batch, on the encoder's device."""
    return encoder.encode(inputs.pixels.to(encoder.device))


def full_size(logits: Tensor, geometries: Sequence[Geometry], *, at: int | None = None) -> Iterator[Tensor]:
    """Resize a batch of logits to the images' sizes, one image at a time to save memory.

    Args:
        logits: (B, K, h, w) over the padded squares.
        geometries: B of them.
        at: size in pixels of the square that the logits are resized to instead; None for each image's own size.

    Yields:
        For each image in order: float32 (K, H, W) at its size, or (K, at, at).
    """
    for planes, own in zip(logits, geometries, strict=True):
        yield to_original(planes, own if at is None else replace(own, original_hw=(at, at)))


@torch.inference_mode()
def segment(
    encoder: Encoder,
    decoders: Mapping[str, Decoder],
    images: Sequence[np.ndarray],
    *,
    at: int | None = None,
    tta: Averaging = "none",
) -> Iterator[dict[str, Tensor]]:
    """Encode a batch of images once and decode it with each decoder.

    Args:
        encoder: of the images.
        decoders: by name.
        images: uint8 (H, W, 3) RGB each, of any sizes; encoded as one batch.
        at: size in pixels of the square that the logits are resized to; None for each image's own size.
        tta: test-time averaging: average each decoder's probabilities over an image and its mirror, or over its eight
            flips and quarter turns ("d4"), which takes two or eight times as long. With "d4" a turned image has the
            turned prediction.

    Yields:
        For each image in order: name -> logits float32 (K, H, W) at the image's size (or `at` squared), on the
        device of the encoder.

    Raises:
        ShapeError: an image is not uint8 (H, W, 3).
    """
    if tta == "none":
        yield from _segment_views(encoder, decoders, images, at)
        return
    for image in images:
        check_image(image)
    means = [{name: ProbabilityMean() for name in decoders} for _ in images]
    for symmetry in SYMMETRIES[tta]:
        views = [apply_symmetry(image, symmetry) for image in images]
        for mean, logits in zip(means, _segment_views(encoder, decoders, views, at), strict=True):
            for name, planes in logits.items():
                mean[name].add(undo_symmetry(planes, symmetry))
    for mean in means:
        yield {name: each.logits() for name, each in mean.items()}


def _segment_views(
    encoder: Encoder, decoders: Mapping[str, Decoder], images: Sequence[np.ndarray], at: int | None
) -> Iterator[dict[str, Tensor]]:
    """Run all steps once for a batch of images, without averaging."""
    if not images:
        return
    inputs = prepare(images, encoder.spec)
    features = encode(encoder, inputs)
    logits = [decoder(features) for decoder in decoders.values()]
    for planes in zip(*(full_size(each, inputs.geometries, at=at) for each in logits), strict=True):
        yield dict(zip(decoders, planes, strict=True))
