"""Mask files: read them as label maps, work out what their values mean, write masks with the same values.

    stats = [survey_mask(path) for path in paths]       # what each file holds, decoded once
    inferred = infer_encoding(stats, DataOptions())     # the encoding of the folder, or why there is none
    labels = inferred.encoding.read(path)               # uint8 (H, W): 0, 1..K, types.IGNORE

A format that has pixels instead of a file calls `MaskEncoding.apply` (a decoded file) or `MaskEncoding.label_map` (an
array of values).

    encoding.py      MaskEncoding: converts a file or an array of values to a label map
    values.py        MaskValues: converts a label map to the pixels of a mask file
    statistics.py    MaskStats: the values in one mask file, counted
    spread.py        where the pixels of each value lie: areas, rims of other values, or specks
    channels.py      a decoded mask as one grey channel, as alpha, or as colours
    orientation.py   which masks to rotate by the EXIF orientation of their images
    cache.py         masks drawn by samtune itself, kept as PNG
    inference/       from the statistics of a folder to its encoding
"""

from samtune.data.masks.cache import cached_mask, stamp
from samtune.data.masks.channels import NAN, unpack
from samtune.data.masks.encoding import MaskEncoding
from samtune.data.masks.inference import InferredEncoding, infer_empty, infer_encoding
from samtune.data.masks.orientation import MaskOrientations, infer_orientations
from samtune.data.masks.statistics import MaskStats, survey_mask
from samtune.data.masks.values import MaskValues

__all__ = [
    "NAN",
    "InferredEncoding",
    "MaskEncoding",
    "MaskOrientations",
    "MaskStats",
    "MaskValues",
    "cached_mask",
    "infer_empty",
    "infer_encoding",
    "infer_orientations",
    "stamp",
    "survey_mask",
    "unpack",
]
