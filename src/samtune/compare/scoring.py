"""Scores of one row on the test images: the one place that knows which metrics a cell carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from samtune.data import geometry_of, to_input
from samtune.data.views.restore import decide, to_original
from samtune.metrics import SegmentationScores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from torch import Tensor

    from samtune.bases import Sam
    from samtune.data import Dataset
    from samtune.training.features import CachedFeatures
    from samtune.types import ImageSpec

HEADLINE = "iou_per_image"
"""The metric that rows are ranked by; `per_image` holds its value for each image."""


def score(dataset: Dataset, predicted: Iterable[tuple[int, np.ndarray]]) -> dict[str, Any]:
    """Score label maps at the images' own size.

    Args:
        dataset: images and masks.
        predicted: (index, label map uint8 (H, W)), each index once.

    Returns:
        "metrics": `Scores.to_dict()`, and "per_image": stem -> IoU.
    """
    scores = SegmentationScores(dataset.class_names)
    for index, labels in predicted:
        scores.add(dataset.pairs[index].stem, labels, dataset.labels(index))
    return {"metrics": scores.result().to_dict(), "per_image": {row.name: row.iou for row in scores.rows()}}


def from_frozen(
    dataset: Dataset, frozen: CachedFeatures, decode: Callable[[Any], Tensor], *, threshold: float, device: torch.device
) -> Iterator[tuple[int, np.ndarray]]:
    """Label maps from features that were computed once.

    Args:
        dataset: that the features are of.
        frozen: the features of the test images, `frozen.views.indices` into `dataset`.
        decode: Features -> logits (1, K, h, w).
        threshold: of one class.
        device: where `decode` wants them.
    """
    from samtune.types import Features

    for item, index in enumerate(frozen.views.indices):
        embedding, _ = frozen.load([(item, 0)])
        geometry = geometry_of(dataset.sizes_hw[index], frozen.views.spec)
        with torch.inference_mode():
            logits = decode(Features(embedding.to(device)))
        yield index, decide(to_original(logits[0], geometry), threshold).cpu().numpy()


def from_pixels(
    dataset: Dataset, indices: Sequence[int], logits_of: Callable[[Tensor], Tensor], spec: ImageSpec, threshold: float
) -> Iterator[tuple[int, np.ndarray]]:
    """Label maps of a model that sees pixels.

    Args:
        dataset: images.
        indices: which of them.
        logits_of: prepared pixels (1, 3, S, S) -> logits (1, K, h, w).
        spec: how images are prepared.
        threshold: of one class.
    """
    for index in indices:
        pixels, geometry = to_input(dataset.image(index), spec)
        with torch.inference_mode():
            logits = logits_of(pixels[None])
        yield index, decide(to_original(logits[0], geometry), threshold).cpu().numpy()


def encode_and_decode(sam: Sam) -> Callable[[Tensor], Tensor]:
    """Pixels (B, 3, S, S) to logits by a model whose encoder is its own."""

    def run(pixels: Tensor) -> Tensor:
        return sam.decode(sam.encode(pixels.to(sam.device)))

    return run
