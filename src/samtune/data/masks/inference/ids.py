"""Single-channel masks with one value per class or per object, and grey levels or borders that only look like ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samtune.data.masks.channels import NAN
from samtune.data.masks.encoding import MaskEncoding
from samtune.data.masks.inference.channel import threshold_remedy
from samtune.data.masks.inference.instances import may_be_instances
from samtune.data.masks.inference.noise import MAX_CORE, MIN_SCATTERED, Borders, find_borders
from samtune.data.masks.inference.outcome import InferredEncoding, refuse, shorten
from samtune.data.masks.spread import SOLID_SHARE
from samtune.data.options import MAX_CLASSES
from samtune.types import Problem

if TYPE_CHECKING:
    from samtune.data.masks.inference.channel import Channel

MIN_GREY_LEVELS = 32
"""At least this many values, hardly any of which covers an area, are grey levels rather than ids."""

MIN_SCATTERED_LEVELS = 3
"""Replaces `MIN_GREY_LEVELS` if most pixels of the values lie between lower and higher values."""


def infer_ids(channel: Channel) -> InferredEncoding:
    """Return the encoding of class ids, as they are or renumbered to 1..K in their order; or refuse them."""
    expected, ids, used = channel.options.num_classes_meant, channel.options.ids, sorted(channel.ids())
    if ids is None and expected is not None and used[0] > 0 and used[-1] <= expected:
        ids = tuple(range(1, expected + 1))
    if ids is None and (expected is None or len(used) <= expected):
        ids = tuple(used)
        if expected is not None and len(used) < expected:
            what = f"masks have the ids {used}; expected {expected} classes with ids 1..{expected}"
            mend = f"renumber them to 1..{expected}, or pass `--ids` with the value of each class"
            return refuse("fewer_classes", "masks", what, mend)
    if ids is None or not set(used) <= set(ids):
        return _refuse_too_many(channel, used, ids or tuple(range(1, (expected or 0) + 1)))
    if len(ids) > MAX_CLASSES:
        what = f"masks have {len(ids)} class ids (up to {ids[-1]}); expected at most {MAX_CLASSES}"
        return refuse("too_many_classes", "masks", what, "merge classes, or pass `--instances` if ids are objects")
    absent = [value for value in ids if value not in channel.all_values]
    if absent:
        channel.notes.append(f"The class ids {absent[:10]} occur in no mask of this folder")
    is_guess = expected is None and channel.options.ids is None and channel.options.instances is None
    if is_guess and may_be_instances(channel, set(used)):
        channel.notes.append(
            "Each id is one connected piece in every mask; the ids were read as classes. If they number objects, pass "
            "`--instances`"
        )
    names = channel.options.class_names or (
        ("foreground",) if len(ids) == 1 else tuple(f"class_{value}" for value in ids)
    )
    table = channel.table({value: label for label, value in enumerate(ids, start=1)})
    kind = "binary" if len(ids) == 1 else "ids"
    encoding = MaskEncoding(kind, channel.reads, table, None, len(ids), _sentence(channel, ids))
    return channel.finish(InferredEncoding(encoding, names))


def infer_instances(channel: Channel) -> InferredEncoding:
    """Return the encoding of masks with one id per object."""
    sentence = (
        f"Masks hold one id per object ({len(channel.ids())} ids, different from image to image): merged into one class"
    )
    encoding = MaskEncoding("instances", channel.reads, channel.table({}), None, 1, sentence)
    return channel.finish(InferredEncoding(encoding, channel.options.class_names or ("foreground",)))


def refuse_grey_levels(channel: Channel) -> InferredEncoding | None:
    """Refuse masks in which hardly any value covers an area: their values are grey levels, not ids."""
    if channel.has_expected_number() or channel.options.instances:
        return None
    levels = channel.levels()
    above = levels.values > 0
    num, pixels, spread = int(above.sum()), levels.counts[above].sum(), levels.spread
    scattered = spread.between[above].sum() >= MIN_SCATTERED * pixels
    least = MIN_SCATTERED_LEVELS if scattered else MIN_GREY_LEVELS
    solid = above & (spread.core > SOLID_SHARE * levels.counts) & (levels.counts > 0.01 * pixels)
    if num < least or spread.core[above].sum() > MAX_CORE * pixels or solid.any():
        return None
    what = f"has grey levels rather than ids: of {num} values up to {levels.values[-1]}, hardly any covers an area"
    first = max(zip(channel.stats, channel.value_sets, strict=True), key=lambda each: len(each[1]))[0]
    return refuse("grey_levels", str(first.path), what, threshold_remedy((max(channel.all_values) - 1) // 2))


def refuse_borders(channel: Channel, *, only_between: bool) -> InferredEncoding | None:
    """Refuse, or report, ids that occur only along borders of others, as interpolation or JPEG leaves them.

    Args:
        channel: the values of all masks.
        only_between: ignore scattered ids, because objects may be as small as a pixel.
    """
    if channel.has_expected_number() or channel.options.instances:
        return None
    borders = find_borders(channel.levels(), only_between=only_between)
    if borders is None:
        return None
    shown = shorten(borders.values, 20)
    first = str(channel.first_with(set(borders.values)).path)
    what = f"the value(s) {shown} occur only along borders of other values, or scattered"
    if borders.certain:
        return refuse(
            "interpolated_ids", first, f"{what}, as resizing or JPEG leaves them", _border_remedy(channel, borders)
        )
    channel.notes.append(
        f"The ids {shown} occur only as thin borders between other ids or in few, scattered pixels; they may be drawn "
        "or noise"
    )
    mend = "nothing to do if they are classes; otherwise resize masks with nearest-neighbour interpolation"
    channel.problems.append(Problem("border_ids", first, what, mend, False))
    return None


def _border_remedy(channel: Channel, borders: Borders) -> str:
    ids, top = channel.ids(), max(channel.all_values)
    drawn = sorted(ids - set(borders.values))
    mend = f"resize masks with nearest-neighbour interpolation and save them as PNG (the ids may be {shorten(drawn)})"
    if len(ids) <= MAX_CLASSES:
        every = ",".join(map(str, sorted(ids)))
        mend += f"; or pass `--ids {every if len(every) <= 60 else 'A,B,...'}` if all of them are classes"
    if len(drawn) <= 1 or top in (255, 65535):
        mend += f"; or {threshold_remedy((top - 1) // 2)}"
    return mend


def _sentence(channel: Channel, ids: tuple[int, ...]) -> str:
    """Return the encoding of class ids in words."""
    backgrounds = sorted(channel.background & channel.all_values)
    used = " and ".join("NaN" if v == NAN else str(v) for v in backgrounds)
    verb = "are" if len(backgrounds) > 1 else "is"
    background = f"{used} {verb} background" if used else "no pixel is background"
    if ids == (1,):
        return f"Masks are {used or 0}/1: 1 is foreground, {background}"
    if ids == tuple(range(1, len(ids) + 1)):
        background = background if channel.options.background else "0 is background"
        return f"Masks are class ids: {background}, 1..{len(ids)} are the classes"
    shown = ", ".join(f"{value} -> {label}" for label, value in enumerate(ids[:12], start=1))
    more = ", ..." if len(ids) > 12 else ""
    clause = f" ({background})" if channel.options.background else ""
    return f"Masks are class ids with gaps, numbered in order: {shown}{more}{clause}"


def _refuse_too_many(channel: Channel, used: list[int], allowed: tuple[int, ...]) -> InferredEncoding:
    extra = sorted(set(used) - set(allowed))
    where = [s for s, values in zip(channel.stats, channel.value_sets, strict=True) if values & set(extra)]
    shown = f"{extra[:10]}{' and more' if len(extra) > 10 else ''}"
    what = (
        f"has ids beyond the {len(allowed)} expected classes: {shown} "
        f"(in {len(where)} of {len(channel.stats)} masks; all ids: {used[:20]})"
    )
    mend = f"expect {len(used)} classes, pass `--ignore-label` or `--background` for the others, or remove these ids"
    return refuse("too_many_classes", str(where[0].path), what, mend)
