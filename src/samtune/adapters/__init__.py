"""Specialists on disk: the tensors, the record of what they are, and the model card."""

from samtune.adapters.card import AdapterCard, read_card
from samtune.adapters.storage import (
    card_of,
    copy_specialist,
    load_base_of,
    load_specialist,
    put,
    save,
    saving_to,
)

__all__ = [
    "AdapterCard",
    "card_of",
    "copy_specialist",
    "load_base_of",
    "load_specialist",
    "put",
    "read_card",
    "save",
    "saving_to",
]
