"""Scores on the validation images, each at its original size and counted once over all processes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from accelerate.utils import gather_object

from samtune.data import geometry_of
from samtune.progress import say
from samtune.segment import encode, full_size, prepare
from samtune.training.divergence import NotFinite, all_finite
from samtune.training.features import CachedFeatures, Views
from samtune.training.interruption import check
from samtune.types import Features, Geometry

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from samtune.bases import Base
    from samtune.data import Dataset
    from samtune.tasks import Task

THRESHOLD = 0.5
"""Probability above which a pixel is foreground while a model is trained."""

REMEMBERED_BYTES = 10**9
"""Largest size of the features of validation images that are kept in memory."""


@dataclass
class Validation:
    """Validation images, and their distribution to processes.

    Attributes:
        dataset: images and masks.
        task: what is predicted and scored.
        indices: indices of the validation images of all processes.
        encoder: `Base.encoder_id` where the encoder does not change, so that each image is encoded once: the first
            `REMEMBERED_BYTES` of features are kept in memory, the others on disk. None where the encoder is trained.
        rank: this process scores every `num_processes`-th image, from this one on.
        num_processes: number of processes that share the work.
    """

    dataset: Dataset
    task: Task
    indices: tuple[int, ...]
    encoder: str | None
    rank: int = 0
    num_processes: int = 1
    _features: dict[int, tuple[Features, Geometry]] = field(default_factory=dict, repr=False)
    _remembered_bytes: int = field(default=0, repr=False)

    def scores(self, model: Base) -> dict[str, float]:
        """Score the model with its present values.

        Returns:
            `TaskScores.summary` over all processes' images, and `predicted_share`, the mean over the images of the
            share of pixels predicted as foreground.

        Raises:
            Interrupted: Ctrl-C or SIGTERM came; not with several processes, which would wait for each other.
            NotFinite: a prediction is NaN or infinite.
        """
        accumulator = self.task.scores(self.dataset.class_names)
        shares: list[float] = []
        for index in self.indices[self.rank :: self.num_processes]:
            if self.num_processes == 1:
                check()
            try:
                predicted = self._predict(model, index)
            except NotFinite:  # raised below, by all processes
                shares.append(math.nan)
                continue
            annotation = self.task.annotation(self.dataset, index)
            accumulator.add(self.dataset.pairs[index].stem, predicted, annotation)
            shares.append(float((predicted > 0).mean()))
        if self.num_processes > 1:
            first, *others = gather_object([accumulator])
            accumulator = first.merged(others)
            shares = gather_object(shares)
        if any(map(math.isnan, shares)):
            raise NotFinite("a prediction on a validation image is NaN or infinite")
        return accumulator.summary() | {"predicted_share": sum(sorted(shares)) / len(shares)}

    def _predict(self, model: Base, index: int) -> np.ndarray:
        features, geometry = self._encode(model, index)
        decoded = model.decode(features)
        if not all_finite([decoded]):
            raise NotFinite
        (logits,) = full_size(decoded, (geometry,))
        return self.task.decide(logits, THRESHOLD)

    def _encode(self, model: Base, index: int) -> tuple[Features, Geometry]:
        if index in self._features:
            return self._features[index]
        if self.encoder is not None and self._remembered_bytes >= REMEMBERED_BYTES:
            return self._from_disk(model, index, self.encoder)
        inputs = prepare([self.dataset.image(index)], model.spec)
        with torch.no_grad():
            features = encode(model, inputs)
        if self.encoder is not None:
            self._features[index] = (features, inputs.geometries[0])
            self._remembered_bytes += sum(each.nbytes for each in features.tensors().values())
            if self._remembered_bytes >= REMEMBERED_BYTES:
                say(f"Features of {len(self._features)} validation images stay in memory; the others are kept on disk.")
        return features, inputs.geometries[0]

    def _from_disk(self, model: Base, index: int, encoder: str) -> tuple[Features, Geometry]:
        """Return the features of an image from the cache on disk, rounded to bfloat16 as those of training images."""
        kept = CachedFeatures.of(model, Views(self.dataset, (index,), model.spec, self.task), encoder)

        def encode_pixels(pixels: Tensor) -> Features:
            with torch.no_grad():
                return model.encode(pixels.to(model.device))

        kept.make(encode_pixels, [0])
        features, _ = kept.load([(0, 0)])
        return features.map(lambda each: each.to(model.device)), geometry_of(self.dataset.sizes_hw[index], model.spec)
