"""Headline metric of a task: the one that selects checkpoints, ranks rows and decides whether tuning paid."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Headline:
    """A metric in 0..1 of which more is better, and its name for readers.

    Attributes:
        key: of its mean over images, in every record; the standard deviation over images is `<key>_std`.
        of_image: key of its value for one image.
        label: in sentences, tables and figures.
        meaning: what follows "<label> is" in an explanation; no full stop.
    """

    key: str
    of_image: str
    label: str
    meaning: str


IOU = Headline(
    "iou_per_image",
    "iou",
    "IoU",
    "the area that prediction and annotation share, divided by the area that either covers; an image without objects "
    "scores 1 if nothing is predicted",
)
