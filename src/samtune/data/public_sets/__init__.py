"""Public data sets, read as they are downloaded: `open_dataset("cod10k:PATH")`, `open_dataset("cod10k/test:PATH")`.

    table.py         LAYOUTS: source, licence, splits and folders of each set
    reading.py       finds the folders of a set and pairs their files
    conversion.py    converts masks that are not label maps into the cache

samtune downloads nothing.
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
