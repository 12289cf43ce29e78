"""Masks of one folder that were saved with different numbers of bits, and so perhaps on different scales."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from samtune.data.masks.inferred import Inference, one_class, refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.masks.statistics import MaskStats
    from samtune.data.options import DataOptions

NEARLY_FULL = 0.93
"""Noisy binary masks reach this share of the full value."""


def mixed_depths(
    stats: Sequence[MaskStats], sets: Sequence[set[int]], reads: str, options: DataOptions, others: set[int]
) -> Inference | None:
    """Read, or refuse, a folder whose files have different bits on different scales; None where the scales agree.

    Files that hold ids in as few bits as these need agree. Files of 0/255 and 0/65535 are one class.

    Args:
        stats: of all masks.
        sets: the values in each mask.
        reads: as `MaskEncoding.reads`.
        options: how the user asks for the masks to be read.
        others: values that are no ids: the background, the ignore label.
    """
    groups: dict[int, set[int]] = defaultdict(set)
    for s, values in zip(stats, sets, strict=True):
        if values - others:
            groups[s.bits] |= values - others
    tops = {bits: next(iter(values)) for bits, values in groups.items() if len(values) == 1}
    if len(tops) == len(groups) > 1 and all(top in (1, _full(bits)) for bits, top in tops.items()):
        return _whites(sets, sorted(set(tops.values())), reads, options)
    shallow: set[int] = set()
    for bits in sorted(groups):
        deep = groups[bits]
        if shallow and _differ(shallow, deep, max(b for b in groups if b < bits), bits):
            file = next(s for s, values in zip(stats, sets, strict=True) if s.bits == bits and values & deep)
            what = (
                f"has {bits} bits with the values {_listed(deep)}, while masks of fewer bits have {_listed(shallow)}: "
                "the files are on different scales"
            )
            return refuse("mixed_encodings", str(file.path), what, "save all masks with the same values and bits")
        shallow |= deep
    return None


def _full(bits: int) -> int:
    return int(2**bits - 1)


def _differ(shallow: set[int], deep: set[int], shallow_bits: int, bits: int) -> bool:
    """Whether values of fewer and of more bits are on different scales."""
    if bits > 8 and max(shallow) >= NEARLY_FULL * _full(8) and max(deep) >= NEARLY_FULL * _full(16):
        return True
    if shallow & deep:
        return False
    if bits > 8:
        return max(deep) > _full(8)
    # Shown on one scale, 1 of 1 bit is 255 of 8 bit, and 1, 2, 3 of 2 bit are 85, 170, 255.
    step = _full(bits) // _full(shallow_bits)
    return max(deep) == _full(bits) and (shallow_bits == 1 or all(value % step == 0 for value in deep))


def _whites(sets: Sequence[set[int]], tops: list[int], reads: str, options: DataOptions) -> Inference | None:
    """Binary masks of several depths: 1 or the full value of each is the one class."""
    if len(tops) < 2 or tops == [1, 255] or options.num_classes_meant not in (None, 1):
        return None
    shown = " and ".join(f"0/{top} ({sum(top in values for values in sets)} files)" for top in tops)
    every = " and ".join(map(str, tops))
    sentence = f"Masks are {shown}: {every} are the one class"
    return one_class(reads, tuple((top, 1) for top in tops), None, sentence, options)


def _listed(values: set[int]) -> str:
    ordered = sorted(values)
    return ", ".join(map(str, ordered[:6])) + (", ..." if len(ordered) > 6 else "")
