"""Scores of one row on the test images: the one place that knows which metrics a cell carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from samtune.data import geometry_of
from samtune.segment import full_size, segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np

    from samtune.data import Dataset
    from samtune.segment import Decoder, Encoder
    from samtune.tasks import Task
    from samtune.training.features import CachedFeatures


def score(dataset: Dataset, task: Task, predicted: Iterable[tuple[int, np.ndarray]]) -> dict[str, Any]:
    """Score answers at the images' own size.

    Args:
        dataset: images and masks.
        task: whose answers they are.
        predicted: (index, labels (H, W) as `Task.decide` returns them), each index once.

    Returns:
        "metrics": `TaskScores.to_dict()`, and "per_image": stem -> headline metric.
    """
    scores = task.scores(dataset.class_names)
    for index, labels in predicted:
        scores.add(dataset.pairs[index].stem, labels, task.annotation(dataset, index))
    return {"metrics": scores.to_dict(), "per_image": scores.per_image()}


def from_frozen(
    dataset: Dataset, frozen: CachedFeatures, decode: Decoder, *, threshold: float, device: torch.device
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the index and the answer's labels of each image of features that were computed once.

    Args:
        dataset: that the features are of.
        frozen: the features of the test images, `frozen.views.indices` into `dataset`, and their task.
        decode: of one image's features.
        threshold: see `Task.decide`.
        device: of the decoder.
    """
    for item, index in enumerate(frozen.views.indices):
        features, _ = frozen.load([(item, 0)])
        geometry = geometry_of(dataset.sizes_hw[index], frozen.views.spec)
        with torch.inference_mode():
            (logits,) = full_size(decode(features.map(lambda each: each.to(device))), (geometry,))
        yield index, frozen.views.task.decide(logits, threshold)


def from_images(
    dataset: Dataset, indices: Sequence[int], task: Task, encoder: Encoder, decode: Decoder, *, threshold: float
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the index and the answer's labels of each image of a model with an encoder of its own.

    Args:
        dataset: images.
        indices: which of them.
        task: what the logits mean.
        encoder: of the images.
        decode: of its features.
        threshold: see `Task.decide`.
    """
    for index in indices:
        (logits,) = segment(encoder, {"row": decode}, [dataset.image(index)])
        yield index, task.decide(logits["row"], threshold)
