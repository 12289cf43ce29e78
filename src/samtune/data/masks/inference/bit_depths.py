"""Folders of masks with different bit depths, whose values may be on different scales."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from samtune.data.masks.inference.outcome import InferredEncoding, one_class, refuse, shorten

if TYPE_CHECKING:
    from samtune.data.masks.inference.channel import Channel

NEARLY_FULL = 0.93
"""The object of a noisy binary mask reaches at least this share of the largest value of its bit depth."""


def infer_bit_depths(channel: Channel) -> InferredEncoding | None:
    """Read masks of 0 and the largest value of several bit depths as one class; refuse other scales that differ.

    Returns:
        None if all masks are on one scale, as ids saved with different bit depths are.
    """
    others = {0, channel.ignore or 0}
    groups: dict[int, set[int]] = defaultdict(set)
    for s, values in zip(channel.stats, channel.value_sets, strict=True):
        if values - others:
            groups[s.bits] |= values - others
    tops = {bits: next(iter(values)) for bits, values in groups.items() if len(values) == 1}
    if len(tops) == len(groups) > 1 and all(top in (1, _largest(bits)) for bits, top in tops.items()):
        return _binary(channel, sorted(set(tops.values())))
    shallow: set[int] = set()
    for bits in sorted(groups):
        deep = groups[bits]
        if shallow and _differ(shallow, deep, max(b for b in groups if b < bits), bits):
            files = zip(channel.stats, channel.value_sets, strict=True)
            file = next(s for s, values in files if s.bits == bits and values & deep)
            what = (
                f"has {bits} bits with the values {shorten(sorted(deep))}, while masks of fewer bits have "
                f"{shorten(sorted(shallow))}: the files are on different scales"
            )
            return refuse("mixed_encodings", str(file.path), what, "save all masks with the same values and bit depth")
        shallow |= deep
    return None


def _largest(bits: int) -> int:
    return int(2**bits - 1)


def _differ(shallow: set[int], deep: set[int], shallow_bits: int, bits: int) -> bool:
    """Return whether values of fewer and of more bits are on different scales."""
    if bits > 8 and max(shallow) >= NEARLY_FULL * _largest(8) and max(deep) >= NEARLY_FULL * _largest(16):
        return True
    if shallow & deep:
        return False
    if bits > 8:
        return max(deep) > _largest(8)
    # Displayed on one scale, the 1 of 1 bit is the 255 of 8 bits, and 1, 2, 3 of 2 bits are 85, 170, 255.
    step = _largest(bits) // _largest(shallow_bits)
    return max(deep) == _largest(bits) and (shallow_bits == 1 or all(value % step == 0 for value in deep))


def _binary(channel: Channel, tops: list[int]) -> InferredEncoding | None:
    """Return the encoding of binary masks of several bit depths: 1 or the largest value of each is foreground."""
    if len(tops) < 2 or tops == [1, 255] or channel.options.num_classes_meant not in (None, 1):
        return None
    shown = " and ".join(f"0/{top} ({sum(top in values for values in channel.value_sets)} files)" for top in tops)
    sentence = f"Masks are {shown}: {' and '.join(map(str, tops))} are foreground"
    return one_class(channel.reads, tuple((top, 1) for top in tops), None, sentence, channel.options)
