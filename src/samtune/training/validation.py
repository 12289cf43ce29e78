"""Scores on the validation images: each decoded at its original size, each counted once over all processes."""

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
"""Features of validation images are kept in memory up to this size."""


@dataclass
class Validation:
    """The validation images, and how they are shared between processes.

    Attributes:
        dataset: images and masks.
        task: what is predicted and scored.
        indices: all of the validation part, over all processes.
        encoder: what the features depend on besides the images (see `CachedFeatures`) where the encoder does not
            change, so that each image is encoded once: the first `REMEMBERED_BYTES` of features stay in memory, the
            others on disk. None where it is trained.
        rank: this process scores every `num_processes`-th image from here.
        num_processes: how many share the work.
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
        """Score the model as it is now.

        Returns:
            `TaskScores.summary` over all processes' images, and `predicted_share`, the mean share of an image's pixels
            that is called foreground.

        Raises:
            Interrupted: Ctrl-C, where this process works alone; several go on, or they would wait for each other.
            NotFinite: the model predicts NaN or an infinite value.
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
            raise NotFinite("the model predicts values that are NaN or infinite on a validation image")
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
                say(f"{len(self._features)} validation images' features stay in memory; the others' are kept on disk.")
        return features, inputs.geometries[0]

    def _from_disk(self, model: Base, index: int, encoder: str) -> tuple[Features, Geometry]:
        """The features of an image as the training images' are kept, rounded to bfloat16."""
        kept = CachedFeatures.of(model, Views(self.dataset, (index,), model.spec, self.task), encoder)

        def encode_pixels(pixels: Tensor) -> Features:
            with torch.no_grad():
                return model.encode(pixels.to(model.device))

        kept.make(encode_pixels, [0])
        features, _ = kept.load([(0, 0)])
        return features.map(lambda each: each.to(model.device)), geometry_of(self.dataset.sizes_hw[index], model.spec)
