"""Methods of adapting a base, one file each; `seam/` holds what all of them share, `parts/` what several of them do."""

from samtune.methods.parts.shares import cell_shares
from samtune.methods.parts.token_sets import disagreement, member_logits
from samtune.methods.probe import Probe, fit_probe
from samtune.methods.seam.adapt import (
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
from samtune.methods.seam.protocol import Foldable, Method, StartsFromData
from samtune.methods.seam.recipes import PaperRecipe, Recipe, WithPaperRecipe
from samtune.methods.seam.registry import METHODS, find_method, make_method, method_fields

__all__ = [
    "METHODS",
    "Foldable",
    "Method",
    "PaperRecipe",
    "Probe",
    "Recipe",
    "StartsFromData",
    "WithPaperRecipe",
    "adapt",
    "adaptation",
    "cell_shares",
    "delta",
    "disagreement",
    "find_method",
    "fit_probe",
    "fold",
    "has_own_loss",
    "make_method",
    "member_logits",
    "method_fields",
    "penalty",
    "task_loss",
    "touches_encoder",
    "trainable",
]
