"""Binary masks with blurred edges or compression noise: one class, above a threshold halfway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samtune.data.masks.channels import HALF
from samtune.data.masks.inference.channel import threshold_remedy
from samtune.data.masks.inference.noise import MANY, SOLID, TwoLevels, find_two_levels
from samtune.data.masks.inference.outcome import InferredEncoding, refuse, shorten
from samtune.types import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.masks.inference.channel import Channel

MIDDLE = (32, 223)
"""Values between these are neither near 0 nor near 255."""

MAX_MIDDLE_SHARE = 0.1
"""A binary mask saved as JPEG has at most this share of pixels between the values of `MIDDLE`."""


def infer_two_levels(channel: Channel) -> InferredEncoding | None:
    """Threshold JPEG, blurred, resized and float masks halfway, or refuse them.

    If the two levels are uncertain, `channel.doubt` is set.

    Returns:
        None if the values were drawn, or the two levels are uncertain.
    """
    if channel.has_expected_number():
        return None
    if channel.reads == "unit":
        return _unit(channel)
    lossy = [i for i, s in enumerate(channel.stats) if s.lossy]
    if lossy:
        return _lossy(channel, lossy)
    full = 65535 if channel.wide and max(channel.all_values) > 255 else 255
    two = find_two_levels(channel.levels(), full)
    if two is None:
        rest = [i for i, values in enumerate(channel.value_sets) if values != {0, 1}]
        two = find_two_levels(channel.levels(rest), full) if 0 < len(rest) < len(channel.stats) else None
    return None if two is None else _two_levels(channel, two)


def _two_levels(channel: Channel, two: TwoLevels) -> InferredEncoding | None:
    noisy = [s for s, values in zip(channel.stats, channel.value_sets, strict=True) if values & set(two.noise)]
    first, which = str(noisy[0].path), f"{len(noisy)} of {len(channel.stats)}"
    shown = shorten(two.noise)
    if two.single:
        value = two.noise[0]
        what = (
            f"has {value} only along the edge between 0 and {two.top} ({which} masks), which may be blur or a class of "
            "its own"
        )
        mend = f"pass `--threshold {two.threshold}` for one class, `--ids {value},{two.top}` for two"
        return refuse("border_value", first, what, mend)
    if not two.clear:
        what = (
            f"has many values between 0 and {two.top} ({shown}; {which} masks), which may be a blurred mask or a grey "
            "image"
        )
        channel.doubt = refuse("grey_levels", first, what, threshold_remedy(two.threshold))
        return None
    mixed = _refuse_zero_one(channel, two.top)
    if mixed is not None:
        return mixed
    what = f"is not a clean 0/{two.top} mask ({len(noisy)} such file(s)): it also has the values {shown}"
    mend = "samtune doctor --fix OUT writes clean masks; `--ids` reads values as classes"
    channel.problems.append(Problem("blurred_mask", first, what, mend, False))
    sentence = (
        f"Masks are 0/{two.top} with blurred edges or noise ({which} have other values, such as {shown}): "
        f"values above {two.threshold} are foreground"
    )
    return channel.one_class({}, two.threshold, sentence)


def _unit(channel: Channel) -> InferredEncoding | None:
    """Threshold float masks within 0..1; refuse them if they may have several classes."""
    levels = channel.levels()
    top = max(levels.values.tolist())
    threshold = HALF if top > HALF else (top - 1) // 2
    inner = (levels.values > 0) & (levels.values < top)
    drawn = {*levels.values[inner & (levels.spread.core > SOLID * levels.counts)].tolist()}
    unclear = [
        s
        for s, values in zip(channel.stats, channel.value_sets, strict=True)
        # The second case is an object that never reaches the threshold, unlike those of other masks.
        if len(values & {*drawn, top}) > 1 or (top > HALF and 0 < max(values) <= HALF)
    ]
    if drawn and unclear and len(levels.values) <= MANY:
        shown = shorten([round(v / 255, 3) for v in levels.values.tolist()])
        what = f"has several float levels within 0..1 ({shown}), which may be classes or probabilities of one class"
        mend = "save class ids as whole numbers, or pass `--threshold 0.5`: values above it are foreground"
        return refuse("float_mask", str(unclear[0].path), what, mend)
    shown = "0.5" if threshold == HALF else f"{threshold / 255:.2g} (half of the largest value)"
    return channel.one_class({}, threshold, f"Masks are float 0..1: values above {shown} are foreground")


def _lossy(channel: Channel, lossy: list[int]) -> InferredEncoding | None:
    """Threshold JPEG masks of 0/255 with noise; refuse other JPEG masks.

    Args:
        channel: the values of all masks.
        lossy: indices of the masks in a lossy format.
    """
    sets = channel.value_sets
    if not any(sets[i] - {0, 255, channel.ignore} for i in lossy):
        channel.notes.append(f"{len(lossy)} mask(s) are JPEG; PNG would keep their values")
        return None
    top = max(max(sets[i]) for i in lossy)
    if _middle_share(channel, lossy) > MAX_MIDDLE_SHARE or 0 < top < MIDDLE[1]:
        what = f"is a JPEG whose {len(sets[lossy[0]])} values (up to {top}) are not near 0 and 255"
        mend = "save the masks as PNG: class ids cannot be recovered from JPEG"
        return refuse("jpeg_mask", str(channel.stats[lossy[0]].path), what, mend)
    mixed = _refuse_zero_one(channel, 255)
    if mixed is not None:
        return mixed
    which = f"{len(lossy)} of {len(channel.stats)}"
    sentence = f"Masks are JPEG with blurred 0/255 ({which}): values above {HALF} are foreground"
    return channel.one_class({}, HALF, sentence)


def _middle_share(channel: Channel, which: Sequence[int]) -> float:
    """Return the share of pixels of some masks whose values are between those of `MIDDLE`."""
    inside = total = 0
    for i in which:
        between = (channel.values[i] > MIDDLE[0]) & (channel.values[i] < MIDDLE[1])
        inside += int(channel.stats[i].counts[between].sum())
        total += int(channel.stats[i].counts.sum())
    return inside / total if total else 0.0


def _refuse_zero_one(channel: Channel, top: int) -> InferredEncoding | None:
    """Refuse masks of 0 and 1 beside noisy masks of 0 and `top`: the threshold would empty them."""
    odd = [s for s, values in zip(channel.stats, channel.value_sets, strict=True) if values == {0, 1}]
    if not odd or top <= 2:
        return None
    what = f"has the values 0 and 1, while other masks are blurred 0/{top} ({len(odd)} such file(s))"
    return refuse("mixed_encodings", str(odd[0].path), what, f"multiply it by {top}, or save all masks alike")
