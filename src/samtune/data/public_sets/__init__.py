"""Public data sets as they are downloaded: a table of facts, and how their folders become pairs.

`open_dataset("cod10k:PATH")` reads one, `open_dataset("cod10k/test:PATH")` one part of it. Nothing is downloaded.
"""

from samtune.data.public_sets.reading import find_layout_pairs, is_there, layout_options, split_word
from samtune.data.public_sets.table import CHECK_LICENCE, LAYOUTS, NOT_STATED, Layout, Part

__all__ = [
    "CHECK_LICENCE",
    "LAYOUTS",
    "NOT_STATED",
    "Layout",
    "Part",
    "find_layout_pairs",
    "is_there",
    "layout_options",
    "split_word",
]
