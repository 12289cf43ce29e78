"""Masks whose classes are colours: read by a map, or as binary where there is but one colour."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.masks.encodings import UNKNOWN, MaskEncoding, values_as
from samtune.data.masks.inferred import Inference, refuse
from samtune.data.masks.statistics import MAX_COLOURS, unpack
from samtune.data.options import NOT_CLASSES
from samtune.types import IGNORE, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.masks.statistics import MaskStats
    from samtune.data.options import DataOptions

TOLERANCE = 16
"""A colour that no channel sets further apart from the nearest one of the map is read as that one."""

MIN_COLOURS_OF_OBJECTS = 4
"""So many colours, each in one mask alone, may be one random colour for each object."""


def infer_colours(stats: Sequence[MaskStats], options: DataOptions) -> Inference:
    """Infer the encoding of colour masks.

    Without `options.colours` only black and one other colour are accepted, or any colours with `options.instances`;
    anything else is refused with the list of colours, for no program can know which colour is which class.
    """
    pixels: Counter[int] = Counter()
    files: Counter[int] = Counter()
    for s in stats:
        for value, count in zip(values_as(s, "colour").tolist(), s.counts.tolist(), strict=True):
            pixels[value] += count
            files[value] += 1
    full = next((s for s in stats if s.truncated), None)
    if full is not None:
        what = f"has more than {MAX_COLOURS} colours: a photograph?"
        return refuse("too_many_colours", str(full.path), what, "check that this is a mask; masks have few colours")
    if options.colours is not None:
        return _by_map(stats, pixels, options)
    blurred = [s for s in stats if s.lossy and s.form == "colour"]
    if blurred:
        what = f"is a colour mask saved as JPEG ({len(blurred)} such file(s)), which blurs colours"
        mend = "save the masks as PNG, or give a map with `--colour NAME=#RRGGBB` and a wide `--colour-tolerance`"
        return refuse("jpeg_mask", str(blurred[0].path), what, mend)
    others = [colour for colour in pixels if colour != 0]
    if not others:
        mend = "draw the objects, or check the masks folder"
        return refuse("no_foreground", "masks", "all masks are black", mend)
    if options.instances:
        return _objects(len(others), options)
    if len(others) == 1 and 0 in pixels and options.num_classes_meant in (None, 1):
        sentence = f"Masks are black and {unpack(others[0])}: that colour is the one class"
        names = options.class_names or ("foreground",)
        return Inference(MaskEncoding("binary", "colour", ((others[0], 1),), None, 1, sentence), names)
    return _ask(stats, pixels, files)


def _objects(num: int, options: DataOptions) -> Inference:
    """One colour for each object."""
    sentence = f"Masks hold one colour per object ({num} colours): every colour but black is the one class"
    table = () if options.ignore_label is None else ((int(options.ignore_label) * 0x010101, IGNORE),)
    encoding = MaskEncoding("instances", "colour", table, None, 1, sentence)
    return Inference(encoding, options.class_names or ("foreground",))


def _ask(stats: Sequence[MaskStats], pixels: Counter[int], files: Counter[int]) -> Inference:
    """Refuse colours without a map; the mend shows one for the colours that are there."""
    others = [colour for colour, _ in pixels.most_common() if colour != 0]
    first = next(s for s in stats if s.form in ("colour", "alpha", "palette"))
    total = pixels.total()
    shown = "; ".join(
        f"{unpack(colour)} in {files[colour]} masks, {100 * count / total:.1f} % of pixels"
        for colour, count in pixels.most_common(12)
    )
    more = f"; and {len(pixels) - 12} more colours" if len(pixels) > 12 else ""
    what = f"has colours, and which colour is which class cannot be known (the folder has {shown}{more})"
    mend = (
        f'give a map from class name to colour, such as {{"class_1": {unpack(others[0])}}} '
        f"(`--colour class_1=#{others[0]:06X}`)"
    )
    if first.form == "palette":
        what += ", and the order of the palettes means nothing"
        mend += "; or `--ids A,B,...` to read palette indices as classes"
    if any(s.one_hot for s in stats) and first.form != "palette":
        what += "; each pixel has a value in one channel alone: one channel for each class?"
    if len(others) >= MIN_COLOURS_OF_OBJECTS and len(stats) > 1 and all(files[colour] == 1 for colour in others):
        what += "; each colour occurs in one mask alone: one random colour for each object?"
        mend += "; or `--instances` if each colour is one object"
    return refuse("colours_need_map", str(first.path), what, mend)


def _by_map(stats: Sequence[MaskStats], pixels: Counter[int], options: DataOptions) -> Inference:
    """The classes of a map, with the colours near its own."""
    colours = options.colours or {}
    packed = {name: (c[0] << 16) | (c[1] << 8) | c[2] for name, c in colours.items()}
    classes = options.class_names or tuple(name for name in packed if name.lower() not in NOT_CLASSES)
    table: dict[int, int] = {packed[name]: label for label, name in enumerate(classes, start=1)}
    for name, colour in packed.items():
        if name.lower() in NOT_CLASSES:
            table[colour] = 0 if name.lower() == "background" else IGNORE
    table.setdefault(0, 0)
    meant = options.num_classes_meant
    if meant not in (None, len(classes)):
        what = f"the colour map names {len(classes)} classes, but {meant} are meant"
        return refuse("too_many_classes", "masks", what, "make num_classes and the map agree")
    said = options.colour_tolerance
    tolerance = safe_tolerance(list(table)) if said is None else said
    shown = ", ".join(f"{name} {tuple(colours[name])}" for name in classes[:12])
    sentence = f"Masks are colours, read by the map: {shown}"
    encoding = MaskEncoding("colours", "colour", tuple(sorted(table.items())), None, len(classes), sentence, tolerance)
    problems = [p for s in stats if (p := _beyond(s, encoding)) is not None]
    if problems:
        return Inference(None, classes, tuple(problems))
    labels = dict(zip(pixels, encoding.labels_of(np.array(list(pixels), np.int64)).tolist(), strict=True))
    if all(label in (0, IGNORE) for label in labels.values()):
        what = "no mask has any colour of the map's classes"
        return refuse("no_foreground", "masks", what, "check the map: values are (red, green, blue)")
    return _say_near(encoding, classes, pixels, stats)


def safe_tolerance(colours: list[int]) -> int:
    """`TOLERANCE`, or less where colours of the map are so close that a colour could be near two of them."""
    channels = np.array([unpack(colour) for colour in colours])
    apart = np.abs(channels[:, None] - channels[None]).max(axis=-1)
    nearest = int(apart[~np.eye(len(colours), dtype=bool)].min())
    return min(TOLERANCE, (nearest - 1) // 2)


def _beyond(stats: MaskStats, encoding: MaskEncoding) -> Problem | None:
    """The colours of a mask that are too far from every colour of the map."""
    values = values_as(stats, "colour")
    unknown = encoding.labels_of(values) == UNKNOWN
    if not unknown.any():
        return None
    ordered = values[unknown][np.argsort(-stats.counts[unknown], kind="stable")].tolist()
    shown = ", ".join(str(unpack(colour)) for colour in ordered[:6]) + (", ..." if len(ordered) > 6 else "")
    share = 100 * stats.counts[unknown].sum() / stats.counts.sum()
    what = (
        f"has {len(ordered)} colour(s) that the map does not name, {share:.2g} % of its pixels, more than "
        f"{encoding.tolerance} steps from every colour of the map: {shown}"
    )
    mend = (
        'add them to the map (as "background" or "ignore" if they are no class), or, if edges are blurred, '
        "give `--colour-tolerance 255` to read each as the nearest colour"
    )
    return Problem("unknown_colour", str(stats.path), what, mend, True)


def _say_near(
    encoding: MaskEncoding, classes: tuple[str, ...], pixels: Counter[int], stats: Sequence[MaskStats]
) -> Inference:
    """The encoding, with what was read as the nearest colour of the map."""
    named = {value for value, _ in encoding.table}
    near = [colour for colour in pixels if colour not in named]
    if not near:
        return Inference(encoding, classes)
    share = 100 * sum(pixels[colour] for colour in near) / pixels.total()
    note = (
        f"{len(near)} colours that the map does not name ({share:.2g} % of pixels) were read as the nearest colour of "
        f"the map, within a tolerance of {encoding.tolerance} steps of 255"
    )
    first = next(s for s in stats if not named.issuperset(values_as(s, "colour").tolist()))
    what = f"has colours near those of the map, such as {unpack(near[0])}"
    mend = "samtune doctor --fix OUT writes clean masks; `--colour-tolerance 0` refuses such colours"
    return Inference(encoding, classes, (Problem("near_colours", str(first.path), what, mend, False),), (note,))
