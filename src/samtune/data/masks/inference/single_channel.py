"""Single-channel masks: the order of the checks, and the checks of binary masks and special values."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from samtune.data.masks.channels import NAN
from samtune.data.masks.inference.bit_depths import infer_bit_depths
from samtune.data.masks.inference.channel import Channel
from samtune.data.masks.inference.ids import infer_ids, infer_instances, refuse_borders, refuse_grey_levels
from samtune.data.masks.inference.instances import are_instances
from samtune.data.masks.inference.outcome import InferredEncoding, refuse, shorten
from samtune.data.masks.inference.thresholds import infer_two_levels
from samtune.data.options import MAX_CLASSES
from samtune.types import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.masks.statistics import MaskStats
    from samtune.data.options import DataOptions

MIN_PARTITION = 4
"""Masks without a 0 are read as class maps without background only if they have at least this many ids."""


def infer_single_channel(stats: Sequence[MaskStats], reads: str, options: DataOptions) -> InferredEncoding:
    """Infer the encoding of single-channel masks: the first check with an outcome decides.

    Args:
        stats: of all masks of the folder.
        reads: as `MaskEncoding.reads`: "value", "grey" or "unit".
        options: what the user states about the masks.
    """
    channel = Channel(stats, reads, options)
    if channel.ignore is not None and channel.ignore not in channel.all_values:
        channel.notes.append(f"The ignore label {options.ignore_label} occurs in no mask")
    if options.threshold is not None:
        return _by_threshold(channel, options.threshold)
    checks = [_refuse_special_values]
    if options.ids is None and options.background is None and options.instances is not True:
        checks += [_bit_depths, infer_two_levels, _refuse_empty, _refuse_without_background, _infer_binary]
    for check in (*checks, _refuse_empty):
        outcome = check(channel)
        if outcome is not None:
            return outcome
    ids = channel.ids()
    # Grey levels of 8 bits occur in every mask, as ids of objects may; only far more ids than classes are objects.
    may_be_objects = options.ids is None and (channel.doubt is None or (channel.wide and len(ids) > MAX_CLASSES))
    if may_be_objects and are_instances(channel, ids):
        return refuse_borders(channel, only_between=True) or infer_instances(channel)
    if channel.doubt is not None:
        return channel.doubt
    if options.ids is None:
        for check in (refuse_grey_levels, partial(refuse_borders, only_between=False)):
            outcome = check(channel)
            if outcome is not None:
                return outcome
    return infer_ids(channel)


def infer_fractional(stats: Sequence[MaskStats], options: DataOptions) -> InferredEncoding | None:
    """Threshold float masks of two levels beyond 0..1; None if they have more levels."""
    channel = Channel(stats, "value", options)
    return _refuse_special_values(channel) or infer_two_levels(channel)


def _by_threshold(channel: Channel, threshold: float) -> InferredEncoding:
    limit = math.floor(threshold * 255 if channel.reads == "unit" else threshold)
    return channel.one_class({}, limit, f"Masks are read by a threshold: values above {threshold} are foreground")


def _refuse_special_values(channel: Channel) -> InferredEncoding | None:
    """Refuse negative values and NaN that the options do not define."""
    for s, values in zip(channel.stats, channel.value_sets, strict=True):
        undefined = {v for v in values if v < 0} - channel.background - {channel.ignore}
        if s.fractional:  # a negative overshoot of interpolation is below any threshold
            undefined &= {NAN}
        if undefined:
            value = min(undefined)
            text = "NaN" if value == NAN else str(value)
            what = f"has pixels of the value {text}, which may be background or ignored"
            mend = f"pass `--ignore-label {text.lower()}` or `--background 0,{text.lower()}`"
            return refuse("strange_values", str(s.path), what, mend)
    return None


def _bit_depths(channel: Channel) -> InferredEncoding | None:
    if channel.has_expected_number():
        return None
    outcome = infer_bit_depths(channel)
    return None if outcome is None else channel.finish(outcome)


def _refuse_empty(channel: Channel) -> InferredEncoding | None:
    if channel.ids():
        return None
    what = "all masks are empty" if channel.ignore not in channel.all_values else "all masks are empty or ignored"
    return refuse("no_foreground", "masks", what, "draw the objects, or check the masks folder")


def _refuse_without_background(channel: Channel) -> InferredEncoding | None:
    """Refuse masks of few ids in which no pixel is 0, since one id may be the background; report those of many ids."""
    ids = channel.ids()
    if 0 in channel.all_values or len(ids) < 2 or channel.has_expected_number():
        return None
    counts: Counter[int] = Counter()
    for values, s in zip(channel.values, channel.stats, strict=True):
        counts.update(dict(zip(values.tolist(), s.counts.tolist(), strict=True)))
    shares = ", ".join(f"{v}: {100 * counts[v] / counts.total():.0f} %" for v in sorted(ids)[:8])
    largest = max(ids, key=lambda v: counts[v])
    what = f"no pixel of any mask is 0 (values {shares}{', ...' if len(ids) > 8 else ''})"
    if len(ids) < MIN_PARTITION:
        border = max(ids - {largest})
        mend = f"name the background, such as `--background {largest}`"
        if len(ids) == 3:
            mend += f" (with `--ignore-label {border}` if {border} is a border to be ignored)"
        mend += f", or pass `--classes {len(ids)}` if every value is a class"
        return refuse("no_background", "masks", what, mend)
    mend = f"pass `--background VALUE` if one of them is background ({largest} is the most frequent)"
    channel.problems.append(Problem("no_background", "masks", f"{what}: every pixel has a class", mend, False))
    channel.notes.append("No pixel of any mask is 0: every pixel has a class and there is no background")
    return None


def _infer_binary(channel: Channel) -> InferredEncoding | None:
    """Return the encoding of masks of 0/255, 0/65535, or 0/1 beside 0/255; otherwise look for an ignore label."""
    values = channel.all_values - {channel.ignore}
    top = 65535 if channel.wide and 65535 in values else 255
    if values <= {0, top}:
        form = "Palette masks" if channel.stats[0].form == "palette" else "Masks"
        sentence = f"{form} are 0/{top}: {top} is foreground, 0 is background"
        return channel.one_class({top: 1}, None, sentence)
    if values <= {0, 1, 255} and 255 in values:
        mixed = _infer_zero_one_255(channel)
        if mixed is not None:
            return mixed
    return _infer_ignore_label(channel, top)


def _infer_zero_one_255(channel: Channel) -> InferredEncoding | None:
    """Return the encoding of files of 0/1 beside files of 0/255; None if 1 and 255 occur in one file."""
    sets = channel.value_sets
    if channel.all_values <= {0, 255} or any({1, 255} <= values for values in sets):
        return None
    if channel.options.num_classes_meant not in (None, 1) or channel.ignore is not None:
        return None
    ones, whites = sum(1 in values for values in sets), sum(255 in values for values in sets)
    sentence = f"Masks are 0/1 ({ones} files) and 0/255 ({whites} files): both 1 and 255 are foreground"
    return channel.one_class({1: 1, 255: 1}, None, sentence)


def _infer_ignore_label(channel: Channel, top: int) -> InferredEncoding | None:
    """Take 255 (65535 in 16 bits) beside small ids for the ignore label; refuse it if it may be an expected class."""
    others = channel.all_values - {0, top}
    if channel.ignore is not None or top not in channel.all_values or not others:
        return None
    num_classes = channel.options.num_classes_meant
    if num_classes == len(others) + 1 and num_classes > 1:
        if max(others) > num_classes:
            channel.notes.append(f"The value {top} is a class, since {num_classes} classes are expected")
            return None
        what = (
            f"the masks have the ids {shorten(sorted(others))} and {top}, and {num_classes} classes are expected, so "
            f"{top} may be a class or ignored"
        )
        every = ",".join(map(str, sorted({*others, top})))
        mend = f"pass `--ids {every}` if {top} is a class, `--ignore-label {top}` if it is to be ignored"
        return refuse("ignore_or_class", "masks", what, mend)
    if max(others) < top and max(others) <= max(32, 2 * len(others)):
        channel.ignore = top
        num = sum(top in values for values in channel.value_sets)
        channel.notes.append(
            f"The value {top} ({num} masks) beside ids up to {max(others)} was read as the ignore label: its pixels "
            "are ignored"
        )
    return None
