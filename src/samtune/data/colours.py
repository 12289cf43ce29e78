"""Masks whose classes are colours: read by a map, or as binary where there is but one colour."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from samtune.data.encodings import MaskEncoding, values_as
from samtune.data.maskstats import unpack
from samtune.data.options import NOT_CLASSES
from samtune.types import IGNORE, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.maskstats import MaskStats
    from samtune.data.options import DataOptions

Answer = tuple["MaskEncoding | None", tuple[str, ...], list[Problem]]


def infer_colours(stats: Sequence[MaskStats], options: DataOptions) -> Answer:
    """The encoding of colour masks, the class names, and what is wrong.

    Without `options.colours` only black and one other colour are accepted; anything else is refused with the
    list of colours, for no program can know which colour is which class.
    """
    pixels: Counter[int] = Counter()
    files: Counter[int] = Counter()
    for s in stats:
        for value, count in zip(values_as(s, "colour").tolist(), s.counts.tolist(), strict=True):
            pixels[value] += count
            files[value] += 1
    blurred = [s for s in stats if s.lossy and s.form == "colour"]
    if blurred:
        what = f"is a colour mask saved as JPEG ({len(blurred)} such file(s)), which blurs colours"
        return None, (), [Problem("jpeg_mask", str(blurred[0].path), what, "save the masks as PNG", True)]
    if options.colours is not None:
        return _by_map(stats, pixels, options)
    others = [colour for colour in pixels if colour != 0]
    meant = options.num_classes_meant
    if len(others) == 1 and 0 in pixels and meant in (None, 1):
        sentence = f"Masks are black and {unpack(others[0])}: that colour is the one class"
        names = options.class_names or ("foreground",)
        return MaskEncoding("binary", "colour", ((others[0], 1),), None, 1, sentence), names, []
    if not others:
        what = "all masks are black"
        return (
            None,
            (),
            [Problem("no_foreground", "masks", what, "draw the objects, or check the masks folder", True)],
        )
    first = next(s for s in stats if s.form in ("colour", "alpha", "palette"))
    total = sum(pixels.values())
    shown = "; ".join(
        f"{unpack(colour)} in {files[colour]} masks, {100 * count / total:.1f} % of pixels"
        for colour, count in pixels.most_common(12)
    )
    more = f"; and {len(pixels) - 12} more colours" if len(pixels) > 12 else ""
    what = f"has colours, and which colour is which class cannot be known (the folder has {shown}{more})"
    mend = f'give a map from class name to colour, such as {{"class_1": {unpack(others[0])}}}'
    return None, (), [Problem("colours_need_map", str(first.path), what, mend, True)]


def _by_map(stats: Sequence[MaskStats], pixels: Counter[int], options: DataOptions) -> Answer:
    colours = options.colours or {}
    packed = {name: (c[0] << 16) | (c[1] << 8) | c[2] for name, c in colours.items()}
    classes = options.class_names or tuple(name for name in packed if name.lower() not in NOT_CLASSES)
    table: dict[int, int] = {packed[name]: label for label, name in enumerate(classes, start=1)}
    for name, colour in packed.items():
        if name.lower() in NOT_CLASSES:
            table[colour] = 0 if name.lower() == "background" else IGNORE
    problems: list[Problem] = []
    meant = options.num_classes_meant
    if meant not in (None, len(classes)):
        what = f"the colour map names {len(classes)} classes, but {meant} are meant"
        problems.append(Problem("too_many_classes", "masks", what, "make num_classes and the map agree", True))
    table.setdefault(0, 0)
    for s in stats:
        unknown = [unpack(v) for v in values_as(s, "colour").tolist() if v not in table]
        if unknown:
            shown = ", ".join(str(colour) for colour in unknown[:6]) + (", ..." if len(unknown) > 6 else "")
            what = f"has {len(unknown)} colour(s) that the map does not name: {shown}"
            mend = 'add them to the map (as "background" or "ignore" if they are no class)'
            problems.append(Problem("unknown_colour", str(s.path), what, mend, True))
    if not any(table.get(colour, 0) not in (0, IGNORE) for colour in pixels) and not problems:
        what = "no mask has any colour of the map's classes"
        problems.append(Problem("no_foreground", "masks", what, "check the map: values are (red, green, blue)", True))
    if problems:
        return None, classes, problems
    shown = ", ".join(f"{name} {tuple(colours[name])}" for name in classes[:12])
    sentence = f"Masks are colours, read by the map: {shown}"
    encoding = MaskEncoding("colours", "colour", tuple(sorted(table.items())), None, len(classes), sentence)
    return encoding, classes, []
