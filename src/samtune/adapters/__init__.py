"""Specialists on disk: the tensors, the record of what they are, and the model card."""

from samtune.adapters.card import AdapterCard, read_card
from samtune.adapters.loading import assign_learned, load_base_for, load_specialist
from samtune.adapters.saving import card_of, copy_specialist, save, saving_to

__all__ = [
    "AdapterCard",
    "assign_learned",
    "card_of",
    "copy_specialist",
    "load_base_for",
    "load_specialist",
    "read_card",
    "save",
    "saving_to",
]
