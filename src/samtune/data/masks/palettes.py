"""Whether the order of a palette means anything: ids have one, the colours that a program chose for an image do not."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from samtune.data.masks.statistics import unpack
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


def read_palettes_as(stats: Sequence[MaskStats]) -> str:
    """How palette masks are read, as `MaskEncoding.reads`: "grey", "value" (the indices are ids) or "colour".

    Colours where the indices have no meaning that holds over the folder: one index has several colours, a colour moves
    from index to index, or index 0 is used for another colour than the background (black, or the most frequent one).
    """
    colours: dict[int, set[int]] = defaultdict(set)
    indices: dict[int, set[int]] = defaultdict(set)
    together: set[int] = set()
    for s in stats:
        here = [colour for _, colour in s.palette]
        together |= {colour for colour in here if here.count(colour) > 1}
        for index, colour in s.palette:
            colours[index].add(colour)
            indices[colour].add(index)
    if set(indices) <= BLACK_WHITE:
        # Of 0 and 255 the stored one counts, also under ImageJ's inverting table, which shows 255 black.
        return "value" if set(colours) <= {0, 255} else "grey"
    if all(each == {(255 - index) * 0x010101} for index, each in colours.items()):
        return "value"  # ImageJ's inverting table: the stored values count
    if any(len(each) > 1 for each in colours.values()):
        return _shown(indices)
    # Two ids may be shown in one colour; then both occur in one file. Moving from file to file, it is one class.
    if any(len(each) > 1 and colour not in together for colour, each in indices.items()):
        return _shown(indices)
    if not colours[0] or _is_cityscapes(colours) or _is_background(stats, colours[0], indices):
        return "value"
    return _shown(indices)


def palette_contradiction(stats: Sequence[MaskStats], reads: str) -> Problem | None:
    """Palettes of black and white in which the index 0 is white: their order may mean nothing."""
    odd = [s for s in stats if s.palette and (0, 0xFFFFFF) in s.palette]
    if reads != "grey" or not odd or any({colour for _, colour in s.palette} - BLACK_WHITE for s in stats):
        return None
    what = (
        f"has a palette in which the index 0 is shown white and another one black ({len(odd)} such file(s)), so "
        "what is stored contradicts what is shown"
    )
    mend = (
        "give `--ids 1` if the index 1 is the object, whatever its colour; or the colour of the object, such as "
        "`--colour object=#FFFFFF`"
    )
    return Problem("palette_order", str(odd[0].path), what, mend, True)


def _shown(indices: dict[int, set[int]]) -> str:
    """Return "grey" where all colours are grey, else "colour"."""
    return "grey" if all(len(set(unpack(colour))) == 1 for colour in indices) else "colour"


def _is_cityscapes(colours: dict[int, set[int]]) -> bool:
    used = {index: each for index, each in colours.items() if index < len(CITYSCAPES) and each}
    return bool(used) and all(each == {CITYSCAPES[index]} for index, each in used.items())


def _is_background(stats: Sequence[MaskStats], first: set[int], indices: dict[int, set[int]]) -> bool:
    """Whether index 0, of the colour `first`, is the background."""
    if first == {0x000000}:
        return True
    if 0x000000 in indices:
        return False
    counts: dict[int, int] = defaultdict(int)
    for s in stats:
        for (index, _), count in zip(s.palette, s.counts.tolist(), strict=True):
            counts[index] += count
    return counts[0] == max(counts.values())
