"""Public data sets, read as they are downloaded: `open_dataset("cod10k:PATH")`, `open_dataset("cod10k/test:PATH")`.

    table.py         LAYOUTS: source, licence, splits and folders of each set
    reading.py       from the folders of a set to pairs
    conversion.py    masks that are not label maps, converted once into the cache

Nothing is downloaded by samtune.
"""

from samtune.data.public_sets.reading import find_layout_pairs, is_present, layout_options, parse_set_name
from samtune.data.public_sets.table import CHECK_LICENCE, LAYOUTS, NOT_STATED, Layout, Part

__all__ = [
    "CHECK_LICENCE",
    "LAYOUTS",
    "NOT_STATED",
    "Layout",
    "Part",
    "find_layout_pairs",
    "is_present",
    "layout_options",
    "parse_set_name",
]
