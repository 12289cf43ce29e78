"""Images with masks, from folders to tensors: pairing, mask encodings, doctor, splits, transforms, samples.

`transforms` and `augmentation` compute on tensors, so their names are imported when first asked for: opening
a folder needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from samtune.data.dataset import Dataset, open_dataset
from samtune.data.doctor import Findings, inspect
from samtune.data.formats.table import find_pairs
from samtune.data.images.listing import list_images
from samtune.data.images.reading import content_id, read_image
from samtune.data.masks import MaskEncoding, MaskValues
from samtune.data.mending import mend
from samtune.data.options import DataOptions
from samtune.data.samples import make_samples
from samtune.data.split import Split, split, split_record

if TYPE_CHECKING:
    from samtune.data.views.augmentation import Augmentation, view
    from samtune.data.views.transforms import geometry_of, labels_to_input, to_input

__all__ = [
    "Augmentation",
    "DataOptions",
    "Dataset",
    "Findings",
    "MaskEncoding",
    "MaskValues",
    "Split",
    "content_id",
    "find_pairs",
    "geometry_of",
    "inspect",
    "labels_to_input",
    "list_images",
    "make_samples",
    "mend",
    "open_dataset",
    "read_image",
    "split",
    "split_record",
    "to_input",
    "view",
]

_ON_TENSORS = {
    "Augmentation": "views.augmentation",
    "geometry_of": "views.transforms",
    "labels_to_input": "views.transforms",
    "to_input": "views.transforms",
    "view": "views.augmentation",
}


def __getattr__(name: str) -> Any:
    """Import the tensor modules only when one of their names is used."""
    if name in _ON_TENSORS:
        return getattr(importlib.import_module(f"samtune.data.{_ON_TENSORS[name]}"), name)
    raise AttributeError(f"module 'samtune.data' has no attribute {name!r}")
