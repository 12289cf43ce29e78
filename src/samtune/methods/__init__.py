"""The methods, one file each, and what is written once for all: adapt, train what, save, load, fold."""

from samtune.methods.card import AdapterCard, read_card
from samtune.methods.core import (
    Foldable,
    Method,
    Penalised,
    Recipe,
    StartsFromData,
    Supervised,
    adapt,
    adaptation,
    delta,
    fold,
    has_own_loss,
    penalty,
    task_loss,
    touches_encoder,
    trainable,
)
from samtune.methods.probe import Probe, cell_shares, fit_probe
from samtune.methods.registry import METHODS, make_method, method_fields
from samtune.methods.storage import card_of, copy_specialist, load_specialist, put, save, specialist_folder

__all__ = [
    "METHODS",
    "AdapterCard",
    "Foldable",
    "Method",
    "Penalised",
    "Probe",
    "Recipe",
    "StartsFromData",
    "Supervised",
    "adapt",
    "adaptation",
    "card_of",
    "cell_shares",
    "copy_specialist",
    "delta",
    "fit_probe",
    "fold",
    "has_own_loss",
    "load_specialist",
    "make_method",
    "method_fields",
    "penalty",
    "put",
    "read_card",
    "save",
    "specialist_folder",
    "task_loss",
    "touches_encoder",
    "trainable",
]
