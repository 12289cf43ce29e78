"""Evaluation protocols: the scores that each field of research reports, their averaging and their thresholds.

A protocol never changes the resolution: scores are at native size unless the caller scales (`--at`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from samtune.errors import ConfigError
from samtune.metrics.measures import (
    BalancedErrorScores,
    Case,
    ClassScores,
    ContourScores,
    InstanceScores,
    SaliencyScores,
)
from samtune.metrics.segmentation import ImageScore, Scores, SegmentationScores
from samtune.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from samtune.metrics.measures import Measure, Row


@dataclass(frozen=True)
class EvaluationProtocol:
    """Scores that a field of research reports, and how they are computed.

    Attributes:
        name: value of `--protocol`.
        headline: keys of the scores to show first; `EXPLAINED` describes each.
        groups: accumulators besides foreground overlap: "saliency", "balanced_error", "classes", "contour",
            "instances".
        judge: key of the per-image score by which two rows are compared image by image.
        less_is_better: whether that score is an error.
        threshold: probability above which a pixel belongs to the class, 0..1; None for that of the specialist.
        one_class: whether the protocol is defined for one class only.
        explained: descriptions of keys of the headline that `EXPLAINED` lacks.
    """

    name: str
    headline: tuple[str, ...]
    groups: tuple[str, ...] = ()
    judge: str = "iou"
    less_is_better: bool = False
    threshold: float | None = None
    one_class: bool = False
    explained: Mapping[str, str] = field(default_factory=dict)


EXPLAINED = {
    "iou_per_image": "foreground IoU (Jaccard), mean over images",
    "dice_per_image": "foreground Dice, mean over images",
    "precision_per_image": "foreground precision, mean over images",
    "recall_per_image": "foreground recall, mean over images",
    "iou_pooled": "foreground IoU of the pixels of all images at once",
    "dice_pooled": "foreground Dice of the pixels of all images at once",
    "s_measure": "S-measure (alpha 0.5), mean over images, maps stretched to 0..1",
    "e_mean": "E-measure, mean over 256 thresholds of the images' mean curve",
    "e_max": "E-measure, maximum over 256 thresholds of the images' mean curve",
    "e_adaptive": "E-measure at twice the map's mean, mean over images",
    "f_mean": "F-measure (beta^2 = 0.3), mean over 256 thresholds of the images' mean curve",
    "f_max": "F-measure (beta^2 = 0.3), maximum over 256 thresholds of the images' mean curve",
    "f_adaptive": "F-measure (beta^2 = 0.3) at twice the map's mean, mean over images",
    "weighted_f": "weighted F (beta^2 = 1, as defined), mean over images",
    "weighted_f_beta03": "weighted F (beta^2 = 0.3, as published by the reference code), mean over images",
    "mae": "mean absolute error of the stretched map, mean over images",
    "ber_percent_per_image": "balanced error rate in percent, mean over images that have shadow and other pixels",
    "shadow_error_percent_per_image": "missed shadow in percent, mean over images with shadow",
    "non_shadow_error_percent_per_image": "false shadow in percent of the other pixels, mean over images with such",
    "ber_percent_pooled": "balanced error rate in percent, pixels of all images at once",
    "shadow_error_percent_pooled": "missed shadow in percent, pixels of all images at once",
    "non_shadow_error_percent_pooled": "false shadow in percent, pixels of all images at once",
    "pixel_accuracy_pooled": "share of pixels with the right label, background included, all images at once",
    "pixel_accuracy_per_image": "share of pixels with the right label, background included, mean over images",
    "miou_with_background_pooled": "mean IoU over background and the classes that occur, pixels of all images at once",
    "miou_without_background_pooled": "mean IoU over the classes that occur, pixels of all images at once",
    "boundary_f_per_image": "F of the outlines (image edges count) within 0.8 % of the diagonal, mean over images",
    "hd95_per_image": "95th-percentile Hausdorff distance, mean over images that have both outlines",
    "mean_segmentation_accuracy_per_image": "TP / (TP + FP + FN) of objects, mean over IoU 0.5 to 0.95 and images",
    "seg_per_image": "SEG (Cell Tracking Challenge) of each image, mean over images with objects",
    "ap50_95": "AP of objects over IoU 0.5 to 0.95, all images at once, as COCO's but ties enter together",
}
"""Key in a result -> description: the measure, its beta, and what it is averaged over."""

_OVERLAP = ("iou_per_image", "dice_per_image", "iou_pooled", "dice_pooled")

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        EvaluationProtocol(
            "default",
            ("iou_per_image", "dice_per_image", "precision_per_image", "recall_per_image", "iou_pooled", "dice_pooled"),
            ("classes",),
        ),
        EvaluationProtocol(
            "cod",
            ("s_measure", "e_mean", "e_max", "e_adaptive", "weighted_f", "weighted_f_beta03", "mae"),
            ("saliency",),
            judge="s_measure",
            one_class=True,
        ),
        EvaluationProtocol(
            "sod",
            ("s_measure", "e_mean", "e_max", "f_max", "f_mean", "f_adaptive", "weighted_f", "mae"),
            ("saliency",),
            judge="s_measure",
            one_class=True,
        ),
        EvaluationProtocol(
            "shadow",
            (
                "ber_percent_per_image",
                "shadow_error_percent_per_image",
                "non_shadow_error_percent_per_image",
                "ber_percent_pooled",
                "shadow_error_percent_pooled",
                "non_shadow_error_percent_pooled",
            ),
            ("balanced_error",),
            judge="ber_percent",
            less_is_better=True,
            threshold=125 / 255,  # as in the reference code
            one_class=True,
        ),
        EvaluationProtocol(
            "polyp",
            ("dice_per_image", "iou_per_image", "s_measure", "e_mean", "e_max", "weighted_f", "mae"),
            ("saliency",),
            judge="dice",
            one_class=True,
        ),
        EvaluationProtocol("skin", (*_OVERLAP, "pixel_accuracy_per_image"), ("classes",)),
        EvaluationProtocol("leaf", _OVERLAP),
        EvaluationProtocol("road", _OVERLAP),
        EvaluationProtocol(
            "trans10k",
            # Published tables mix mIoU with and without the background, so both are here.
            ("pixel_accuracy_pooled", "miou_without_background_pooled", "miou_with_background_pooled"),
            ("classes",),
        ),
        EvaluationProtocol(
            "microscopy",
            (
                "iou_per_image",
                "dice_per_image",
                "boundary_f_per_image",
                "hd95_per_image",
                "mean_segmentation_accuracy_per_image",
                "seg_per_image",
                "ap50_95",
            ),
            ("contour", "instances"),
            one_class=True,
        ),
    )
}
"""Name -> protocol."""


def find_protocol(name: str, protocols: Mapping[str, EvaluationProtocol] = PROTOCOLS) -> EvaluationProtocol:
    """Return the protocol with this name.

    Raises:
        ConfigError: no protocol has this name; suggests the nearest one.
    """
    if name in protocols:
        return protocols[name]
    hint = did_you_mean(name, protocols)
    raise ConfigError(f"Expected `protocol` to be one of {', '.join(protocols)}, got {name!r}{hint}.")


class ProtocolScores:
    """Accumulator of all scores of a protocol that adds one image at a time.

    Attributes:
        protocol: the protocol.
        overlap: foreground IoU, Dice, precision and recall, which every protocol has.
        values: scores of each image by its name, scalars only.
    """

    def __init__(
        self, protocol: EvaluationProtocol, class_names: tuple[str, ...], spacing_yx: tuple[float, float] = (1.0, 1.0)
    ) -> None:
        """Start with no images.

        Args:
            protocol: the protocol.
            class_names: the K foreground classes.
            spacing_yx: height and width of a pixel, for distances.

        Raises:
            ConfigError: the protocol is for one class, and there are more.
        """
        if protocol.one_class and len(class_names) > 1:
            raise ConfigError(
                f"Expected one class for the protocol {protocol.name}, got {len(class_names)} "
                f"({', '.join(class_names)}); use default or trans10k."
            )
        self.protocol = protocol
        self.overlap = SegmentationScores(class_names)
        self.values: dict[str, Row] = {}
        makers: dict[str, Callable[[], Measure]] = {
            "saliency": SaliencyScores,
            "balanced_error": BalancedErrorScores,
            "classes": lambda: ClassScores(class_names),
            "contour": lambda: ContourScores(len(class_names), spacing_yx=spacing_yx),
            "instances": InstanceScores,
        }
        self._measures: list[Measure] = [makers[group]() for group in protocol.groups]

    def add(self, case: Case) -> ImageScore:
        """Score one image and keep its scores under its name.

        Raises:
            DataError: an image of this name was scored already.
            ShapeError: the maps do not belong together.
        """
        score = self.overlap.add(case.name, case.predicted, case.target)
        plain = score.to_dict(self.overlap.class_names)
        row: Row = {key: value for key, value in plain.items() if not isinstance(value, str)}
        for measure in self._measures:
            row |= measure.add(case)
        self.values[case.name] = row
        return score

    def result(self) -> tuple[Scores, Row]:
        """Return the overlap scores of the set, and the other scores of the protocol."""
        more: Row = {}
        for measure in self._measures:
            more |= measure.result()
        return self.overlap.result(), more
