"""Scores of label maps: counts once, every score derived from them. Plain numpy, no torch."""

from samtune.metrics.counts import Counts, count, dice, iou, precision, recall
from samtune.metrics.segmentation import ImageScore, Scores, SegmentationScores, merge

__all__ = [
    "Counts",
    "ImageScore",
    "Scores",
    "SegmentationScores",
    "count",
    "dice",
    "iou",
    "merge",
    "precision",
    "recall",
]
