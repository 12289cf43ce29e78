"""Images with masks, from files on disk to tensors.

    images/       image files as arrays
    masks/        mask files as label maps, and the inference of their encoding
    formats/      annotation formats: which mask belongs to which image
    public_sets/  public data sets as downloaded
    views/        resizing, padding, augmentation, symmetries
    options.py    `DataOptions`: what a user states about masks
    survey.py     one pass over all files, for `open_dataset` and `inspect`
    dataset.py    `open_dataset` and `Dataset`
    in_memory.py  arrays, PIL images and lists of files from Python as a data set on disk
    split.py      training, validation and test images
    presence.py   images with and without objects, by their shares in training and in validation
    stratify.py   each class in training and in validation
    doctor.py     `inspect`: every problem of a data set
    mending.py    `mend`: a repaired copy of a data set
    samples.py    generated images with exact masks

The names of `views` need torch and are imported on first use, because opening a data set needs no torch.
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
    """Import a name of `views` on first use."""
    if name in _ON_TENSORS:
        return getattr(importlib.import_module(f"samtune.data.{_ON_TENSORS[name]}"), name)
    raise AttributeError(f"module 'samtune.data' has no attribute {name!r}")
