"""The methods, one file each, and what is written once for all: adapt, train what, save, load, fold."""

from samtune.methods.card import AdapterCard, read_card
from samtune.methods.core import (
    Ensembled,
    Foldable,
    Method,
    Penalised,
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
from samtune.methods.probe import Probe, fit_probe
from samtune.methods.recipes import FromPublication, Published, Recipe
from samtune.methods.registry import METHODS, make_method, method_fields
from samtune.methods.shares import cell_shares
from samtune.methods.storage import (
    card_of,
    copy_specialist,
    load_base_of,
    load_specialist,
    put,
    save,
    saving_to,
    specialist_folder,
)
from samtune.methods.token_sets import disagreement, member_logits

__all__ = [
    "METHODS",
    "AdapterCard",
    "Ensembled",
    "Foldable",
    "FromPublication",
    "Method",
    "Penalised",
    "Probe",
    "Published",
    "Recipe",
    "StartsFromData",
    "Supervised",
    "adapt",
    "adaptation",
    "card_of",
    "cell_shares",
    "copy_specialist",
    "delta",
    "disagreement",
    "fit_probe",
    "fold",
    "has_own_loss",
    "load_base_of",
    "load_specialist",
    "make_method",
    "member_logits",
    "method_fields",
    "penalty",
    "put",
    "read_card",
    "save",
    "saving_to",
    "specialist_folder",
    "task_loss",
    "touches_encoder",
    "trainable",
]
