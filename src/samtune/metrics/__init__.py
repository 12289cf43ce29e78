"""Scores of label maps, foreground maps, outlines and objects; every one streams. Plain numpy and OpenCV, no torch."""

from samtune.metrics.counts import Counts, confusion, count, dice, iou, precision, recall
from samtune.metrics.measures import (
    BalancedErrorScores,
    Case,
    ClassScores,
    ContourScores,
    InstanceScores,
    SaliencyScores,
)
from samtune.metrics.protocols import EXPLAINED, PROTOCOLS, EvaluationProtocol, ProtocolScores, find_protocol
from samtune.metrics.segmentation import ImageScore, Scores, SegmentationScores, merge
from samtune.metrics.summary import Mean

__all__ = [
    "EXPLAINED",
    "PROTOCOLS",
    "BalancedErrorScores",
    "Case",
    "ClassScores",
    "ContourScores",
    "Counts",
    "EvaluationProtocol",
    "ImageScore",
    "InstanceScores",
    "Mean",
    "ProtocolScores",
    "SaliencyScores",
    "Scores",
    "SegmentationScores",
    "confusion",
    "count",
    "dice",
    "find_protocol",
    "iou",
    "merge",
    "precision",
    "recall",
]
