"""Comparison of methods on the user's images: which to keep, whether tuning helped, whether to label more, and what."""

from samtune.compare.advice import Advice, advise
from samtune.compare.baselines import COLOUR_SPEC, UNET_SPEC, UNet, colour_planes, fit_colour, train_unet
from samtune.compare.comparison import Comparison
from samtune.compare.isolation import Outcome, here, isolated
from samtune.compare.measure import label_maps
from samtune.compare.results import Results, RowSummary
from samtune.compare.run import compare
from samtune.compare.settings import Cell, CompareSettings
from samtune.compare.suggest import Committee, Suggestion, Suggestions, suggest
from samtune.metrics.rows import BASELINES

__all__ = [
    "BASELINES",
    "COLOUR_SPEC",
    "UNET_SPEC",
    "Advice",
    "Cell",
    "Committee",
    "CompareSettings",
    "Comparison",
    "Outcome",
    "Results",
    "RowSummary",
    "Suggestion",
    "Suggestions",
    "UNet",
    "advise",
    "colour_planes",
    "compare",
    "fit_colour",
    "here",
    "isolated",
    "label_maps",
    "suggest",
    "train_unet",
]
