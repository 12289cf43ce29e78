"""Scores on the validation images: each decoded at its original size, each counted once over all processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from accelerate.utils import gather_object

from samtune.data import to_input
from samtune.data.restore import decide, to_original
from samtune.metrics import SegmentationScores, merge
from samtune.types import Features, Geometry

if TYPE_CHECKING:
    import numpy as np

    from samtune.data import Dataset
    from samtune.sam import Sam


@dataclass
class Validation:
    """The validation images, and how they are shared between processes.

    Attributes:
        dataset: images and masks.
        indices: all of the validation part, over all processes.
        remember: keep the features after the first time, because the encoder does not change.
        rank: this process scores every `num_processes`-th image from here.
        num_processes: how many share the work.
    """

    dataset: Dataset
    indices: tuple[int, ...]
    remember: bool
    rank: int = 0
    num_processes: int = 1
    _features: dict[int, tuple[Features, Geometry]] = field(default_factory=dict, repr=False)

    def scores(self, sam: Sam) -> dict[str, float]:
        """Score the model as it is now.

        Returns:
            iou_per_image, dice_per_image, iou_pooled, dice_pooled over all processes' images, and
            `predicted_share`, the mean share of an image's pixels that is called foreground.
        """
        accumulator = SegmentationScores(self.dataset.class_names)
        shares: list[float] = []
        for index in self.indices[self.rank :: self.num_processes]:
            predicted = self._predict(sam, index)
            accumulator.add(self.dataset.pairs[index].stem, predicted, self.dataset.labels(index))
            shares.append(float((predicted > 0).mean()))
        if self.num_processes > 1:
            accumulator = merge(gather_object([accumulator]))
            shares = gather_object(shares)
        result = accumulator.result()
        names = ("iou_per_image", "dice_per_image", "iou_pooled", "dice_pooled")
        return {name: float(getattr(result, name)) for name in names} | {
            "predicted_share": sum(sorted(shares)) / len(shares)
        }

    def _predict(self, sam: Sam, index: int) -> np.ndarray:
        features, geometry = self._encode(sam, index)
        logits = to_original(sam.decode(features)[0], geometry)
        return decide(logits).cpu().numpy()

    def _encode(self, sam: Sam, index: int) -> tuple[Features, Geometry]:
        if index in self._features:
            return self._features[index]
        pixels, geometry = to_input(self.dataset.image(index), sam.spec)
        with torch.no_grad():
            features = sam.encode(pixels[None].to(sam.device))
        if self.remember:
            self._features[index] = (features, geometry)
        return features, geometry
