"""A task in one file: one map for all classes together, high where there is *none* of them, at half the resolution.

Whoever takes its logits for those of areas gets the opposite: nothing of it comes out right unless it is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from samtune.data import Dataset, MaskValues
from samtune.errors import ConfigError
from samtune.metrics import Case, EvaluationProtocol, Headline, ImageScore, ProtocolScores, Scores
from samtune.types import IGNORE, Prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.integer[Any]]

INSIDE = 99
"""Grey value of the classes in a mask file."""


def agreement(predicted: Labels, annotation: Labels) -> float:
    """Return the share of pixels that are background, or not, in both."""
    return float(((predicted > 0) == (annotation > 0))[annotation != IGNORE].mean())


class ToyTask:
    """The row of the table."""

    name: ClassVar[str] = "toy_absence"
    headline: ClassVar[Headline] = Headline(
        "agreement_per_image", "agreement", "agreement", "the share of pixels that agree"
    )
    columns: ClassVar[tuple[str, ...]] = ("agreement_per_image", "num_images")
    protocols: ClassVar[Mapping[str, EvaluationProtocol]] = {
        "default": EvaluationProtocol(
            "default",
            ("agreement_per_image",),
            judge="agreement",
            explained={"agreement_per_image": "share of pixels that agree, mean over images"},
        )
    }

    def num_maps(self, num_classes: int) -> int:
        """Return 1, whatever the number of classes."""
        return 1

    def annotation(self, dataset: Dataset, index: int) -> Labels:
        """Read the label map as int32, where -1 counts nowhere."""
        labels = dataset.labels(index).astype(np.int32)
        labels[labels == IGNORE] = -1
        return labels

    def label_maps(self, annotations: Tensor) -> Tensor:
        """Return 1 where there is no class."""
        return torch.where(annotations < 0, IGNORE, (annotations == 0).to(torch.uint8)).to(torch.uint8)

    def targets(self, annotations: Tensor, size_hw: tuple[int, int] | None) -> Tensor:
        """Return the share of background in 2 x 2 pixels, float (B, 1, S / 2, S / 2)."""
        return F.avg_pool2d((annotations == 0).float()[:, None], 2)

    def loss_name(self, name: str, num_classes: int) -> str:
        """Return the only loss."""
        if name not in ("auto", "squared"):
            raise ConfigError(f"Expected `loss` to be auto or squared, got {name!r}.")
        return "squared"

    def loss(self, logits: Tensor, targets: Tensor, name: str) -> Tensor:
        """Return the mean squared difference of probabilities."""
        assert name == "squared"
        size_hw = [int(extent) for extent in targets.shape[-2:]]
        return (F.interpolate(logits, size=size_hw, mode="bilinear").sigmoid() - targets).square().mean()

    def shares(self, logits: Tensor, annotations: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shares of pixels that are not background."""
        return (logits < 0).float().mean(), (annotations > 0).float().mean()

    def decide(self, logits: Tensor, threshold: float) -> Labels:
        """Return 1 where background is improbable, int32."""
        inside: Labels = (logits[0].sigmoid() < 1 - threshold).to(torch.int32).cpu().numpy()
        return inside

    def answer(self, logits: Tensor, threshold: float) -> Prediction:
        """Return the decision, and the probability that there is a class."""
        return Prediction(self.decide(logits, threshold), (1 - logits.sigmoid()).cpu().numpy())

    def mask_suffix(self, values: MaskValues) -> str:
        """Return an ending that no other task has."""
        return "_absence.png"

    def mask_pixels(self, labels: Labels, values: MaskValues) -> NDArray[np.unsignedinteger[Any]]:
        """Return `INSIDE` where there is a class."""
        return (labels * INSIDE).astype(np.uint8)

    def scores(self, class_names: tuple[str, ...]) -> ToyScores:
        """Return an empty accumulator."""
        return ToyScores({})

    def evaluation(
        self, protocol: EvaluationProtocol, class_names: tuple[str, ...], spacing_yx: tuple[float, float]
    ) -> ProtocolScores:
        """Return an empty accumulator of the agreement."""
        return ToyEvaluation(protocol, class_names, spacing_yx)


class ToyScores:
    """Agreement by image."""

    def __init__(self, values: dict[str, float]) -> None:
        self.values = values

    def add(self, name: str, predicted: Labels, annotation: Labels) -> None:
        """Score one image."""
        assert annotation.dtype == np.int32  # as `ToyTask.annotation` reads it
        self.values[name] = agreement(predicted, annotation)

    def merged(self, others: Iterable[ToyScores]) -> ToyScores:
        """Return all images."""
        return ToyScores(self.values | {name: value for other in others for name, value in other.values.items()})

    def summary(self) -> dict[str, float]:
        """Return the mean over images."""
        return {"agreement_per_image": float(np.mean(list(self.values.values())))}

    def to_dict(self) -> dict[str, Any]:
        """Return the mean and the number of images."""
        return self.summary() | {"num_images": len(self.values)}

    def per_image(self) -> dict[str, float]:
        """Return the agreement of each image."""
        return dict(self.values)


class ToyEvaluation(ProtocolScores):
    """The agreement beside the overlap of the whole."""

    def add(self, case: Case) -> ImageScore:
        """Score one image."""
        whole = Case(case.name, case.predicted.astype(np.uint8), case.target)
        score = super().add(whole)
        self.values[case.name]["agreement"] = agreement(case.predicted, case.target)
        return score

    def result(self) -> tuple[Scores, dict[str, float | None]]:
        """Return the overlap, and the mean agreement."""
        overlap, more = super().result()
        values = [row["agreement"] or 0.0 for row in self.values.values()]
        return overlap, more | {"agreement_per_image": float(np.mean(values))}
