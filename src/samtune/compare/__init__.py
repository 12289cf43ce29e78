"""Methods on the user's own images: which one to keep, whether tuning helped, whether to label more and what."""

from samtune.compare.advice import Advice, advise
from samtune.compare.colour import COLOUR_SPEC, colour_planes, fit_colour
from samtune.compare.isolation import Outcome, here, isolated
from samtune.compare.page import compared_rows, suggestion_sentences, write_page
from samtune.compare.results import Results, RowSummary
from samtune.compare.run import Comparison, compare
from samtune.compare.settings import Cell, CompareSettings
from samtune.compare.suggest import Committee, Suggestion, Suggestions, suggest
from samtune.compare.unet import UNET_SPEC, UNet, train_unet
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
    "compared_rows",
    "fit_colour",
    "here",
    "isolated",
    "suggest",
    "suggestion_sentences",
    "train_unet",
    "write_page",
]
