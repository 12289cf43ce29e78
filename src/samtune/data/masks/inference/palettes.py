"""Distinction between palette masks of ids, with one palette for the folder, and of colours, with one per image."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from samtune.data.masks.channels import unpack
from samtune.types import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.masks.statistics import MaskStats

BLACK_WHITE = frozenset({0x000000, 0xFFFFFF})

CITYSCAPES = (
    0x804080, 0xF423E8, 0x464646, 0x66669C, 0xBE9999, 0x999999, 0xFAAA1E, 0xDCDC00, 0x6B8E23, 0x98FB98, 0x4682B4,
    0xDC143C, 0xFF0000, 0x00008E, 0x000046, 0x003C64, 0x005064, 0x0000E6, 0x770B20,
)  # fmt: skip
"""The colours of Cityscapes' training ids 0..18; its index 0 is a class (road), not background."""


def palette_reading(stats: Sequence[MaskStats]) -> str:
    """Return the `MaskEncoding.reads` of palette masks: "grey", "value" (indices are ids) or "colour".

    Indices are ids unless they have no meaning that holds over the folder: an index has several colours, a colour has
    several indices, or index 0 is not the background (black, or else the most frequent index).
    """
    colours: dict[int, set[int]] = defaultdict(set)
    indices: dict[int, set[int]] = defaultdict(set)
    repeated: set[int] = set()
    for s in stats:
        here = [colour for _, colour in s.palette]
        repeated |= {colour for colour in here if here.count(colour) > 1}
        for index, colour in s.palette:
            colours[index].add(colour)
            indices[colour].add(index)
    if set(indices) <= BLACK_WHITE:
        # Of 0 and 255 the stored one counts, also under ImageJ's inverting table, which displays 255 as black.
        return "value" if set(colours) <= {0, 255} else "grey"
    if all(each == {(255 - index) * 0x010101} for index, each in colours.items()):
        return "value"  # ImageJ's inverting table: the stored values count
    if any(len(each) > 1 for each in colours.values()):
        return _grey_or_colour(indices)
    # Two ids may be displayed in one colour; then both occur in one file. If not, it is one class with several indices.
    if any(len(each) > 1 and colour not in repeated for colour, each in indices.items()):
        return _grey_or_colour(indices)
    if not colours[0] or _is_cityscapes(colours) or _is_background(stats, colours[0], indices):
        return "value"
    return _grey_or_colour(indices)


def palette_contradiction(stats: Sequence[MaskStats], reads: str) -> Problem | None:
    """Return a problem if index 0 of black-and-white palettes is white, so that the object is unclear; else None.

    Args:
        stats: of all masks.
        reads: as returned by `palette_reading`.
    """
    odd = [s for s in stats if s.palette and (0, 0xFFFFFF) in s.palette]
    if reads != "grey" or not odd or any({colour for _, colour in s.palette} - BLACK_WHITE for s in stats):
        return None
    what = (
        f"has a palette that displays index 0 as white and another one as black ({len(odd)} such file(s)), so the "
        "stored value contradicts the displayed one"
    )
    mend = (
        "pass `--ids 1` if index 1 is the object, whatever its colour; or the colour of the object, such as "
        "`--colour object=#FFFFFF`"
    )
    return Problem("palette_order", str(odd[0].path), what, mend, True)


def _grey_or_colour(indices: dict[int, set[int]]) -> str:
    """Return "grey" if all colours are grey, else "colour"."""
    return "grey" if all(len(set(unpack(colour))) == 1 for colour in indices) else "colour"


def _is_cityscapes(colours: dict[int, set[int]]) -> bool:
    used = {index: each for index, each in colours.items() if index < len(CITYSCAPES) and each}
    return bool(used) and all(each == {CITYSCAPES[index]} for index, each in used.items())


def _is_background(stats: Sequence[MaskStats], first: set[int], indices: dict[int, set[int]]) -> bool:
    """Return whether index 0, of the colours `first`, is the background."""
    if first == {0x000000}:
        return True
    if 0x000000 in indices:
        return False
    counts: dict[int, int] = defaultdict(int)
    for s in stats:
        for (index, _), count in zip(s.palette, s.counts.tolist(), strict=True):
            counts[index] += count
    return counts[0] == max(counts.values())
