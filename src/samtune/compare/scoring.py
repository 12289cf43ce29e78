"""Scores of one row on the test images: the one place that knows which metrics a cell carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from samtune.data import geometry_of
from samtune.metrics import SegmentationScores
from samtune.segment import decide, full_size, segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np

    from samtune.data import Dataset
    from samtune.segment import Decoder, Encoder
    from samtune.training.features import CachedFeatures

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
    dataset: Dataset, frozen: CachedFeatures, decode: Decoder, *, threshold: float, device: torch.device
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the index and label map of each image of features that were computed once.

    Args:
        dataset: that the features are of.
        frozen: the features of the test images, `frozen.views.indices` into `dataset`.
        decode: of one image's features.
        threshold: of one class.
        device: of the decoder.
    """
    for item, index in enumerate(frozen.views.indices):
        features, _ = frozen.load([(item, 0)])
        geometry = geometry_of(dataset.sizes_hw[index], frozen.views.spec)
        with torch.inference_mode():
            (logits,) = full_size(decode(features.map(lambda each: each.to(device))), (geometry,))
        yield index, decide(logits, threshold).cpu().numpy()


def from_images(
    dataset: Dataset, indices: Sequence[int], encoder: Encoder, decode: Decoder, *, threshold: float
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the index and label map of each image of a model with an encoder of its own.

    Args:
        dataset: images.
        indices: which of them.
        encoder: of the images.
        decode: of its features.
        threshold: of one class.
    """
    for index in indices:
        (logits,) = segment(encoder, {"row": decode}, [dataset.image(index)])
        yield index, decide(logits["row"], threshold).cpu().numpy()
