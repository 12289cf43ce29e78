"""Scores of label maps, foreground maps, outlines and objects, accumulated image by image with NumPy and OpenCV."""

from samtune.metrics.counts import Counts, confusion, count, dice, iou, precision, recall
from samtune.metrics.differences import Difference, difference
from samtune.metrics.headline import IOU, Headline
from samtune.metrics.measures import (
    BalancedErrorScores,
    Case,
    ClassScores,
    ContourScores,
    InstanceScores,
    SaliencyScores,
)
from samtune.metrics.protocols import EXPLAINED, PROTOCOLS, EvaluationProtocol, ProtocolScores, find_protocol
from samtune.metrics.regressions import Regression, find_regressions
from samtune.metrics.rows import row_name
from samtune.metrics.segmentation import ImageScore, Scores, SegmentationScores, merge
from samtune.metrics.summary import Mean
from samtune.metrics.verdict import run_verdict

__all__ = [
    "EXPLAINED",
    "IOU",
    "PROTOCOLS",
    "BalancedErrorScores",
    "Case",
    "ClassScores",
    "ContourScores",
    "Counts",
    "Difference",
    "EvaluationProtocol",
    "Headline",
    "ImageScore",
    "InstanceScores",
    "Mean",
    "ProtocolScores",
    "Regression",
    "SaliencyScores",
    "Scores",
    "SegmentationScores",
    "confusion",
    "count",
    "dice",
    "difference",
    "find_protocol",
    "find_regressions",
    "iou",
    "merge",
    "precision",
    "recall",
    "row_name",
    "run_verdict",
]
