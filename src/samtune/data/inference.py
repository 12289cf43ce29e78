"""The encoding of a whole folder of masks, inferred from all their values; every guess is a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.colours import infer_colours
from samtune.data.encodings import THRESHOLD, MaskEncoding, values_as
from samtune.data.instances import are_instances
from samtune.data.options import MAX_CLASSES
from samtune.types import IGNORE, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.maskstats import MaskStats
    from samtune.data.options import DataOptions

BLACK_WHITE = frozenset({0x000000, 0xFFFFFF})
MIDDLE = (32, 223)
"""Values between these are neither near 0 nor near 255."""
MAX_MIDDLE_SHARE = 0.1
"""Blurred masks may have this share of middle pixels; more is no blurred binary mask."""


@dataclass(frozen=True)
class Inference:
    """What the masks of a folder say of themselves.

    Attributes:
        encoding: how to read them; None where a problem stops that.
        class_names: K names.
        problems: what is wrong, each with file and mend.
        notes: what was guessed beyond the encoding's own sentence.
    """

    encoding: MaskEncoding | None
    class_names: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def infer_encoding(stats: Sequence[MaskStats], options: DataOptions) -> Inference:
    """Infer how the masks are to be read; never guesses inverted masks, and never a class map of colours."""
    if not stats:
        return Inference(None, ())
    reads = choose_reading(stats, options)
    if reads == "colour":
        encoding, names, problems = infer_colours(stats, options)
        return Inference(encoding, names, tuple(problems))
    if reads == "alpha":
        return _binary(
            reads,
            (),
            THRESHOLD,
            "The transparency of the masks carries them: visible is the one class",
            options,
        )
    contradiction = _palette_contradiction(stats, reads)
    if contradiction is not None and options.ids is None:
        return Inference(None, (), (contradiction,))
    if reads == "mixed_float":
        bad = next(s for s in stats if s.form == "float" and s.values.max() > 1 and not _integral(s))
        what = f"has float values up to {bad.values.max():g} that are neither ids nor within 0..1"
        return _refused("float_mask", str(bad.path), what, "save it with 0 and 1, or with whole numbers as ids")
    return _Folder(stats, reads, options).infer()


def choose_reading(stats: Sequence[MaskStats], options: DataOptions) -> str:
    """Which of `MaskEncoding.reads` fits all masks, or "mixed_float" where none does."""
    forms = {s.form for s in stats}
    if options.colours is not None:
        return "colour"
    if forms == {"alpha"} and len({colour for s in stats for colour in s.visible}) <= 1:
        return "alpha"
    if forms & {"colour", "alpha"}:
        return "colour"
    if options.ids is not None and forms <= {"palette", "value"}:
        return "value"
    if "palette" in forms:
        used: dict[int, set[int]] = {}
        for s in stats:
            for index, colour in s.palette:
                used.setdefault(index, set()).add(colour)
        if set().union(*used.values()) <= BLACK_WHITE:
            # Of 0 and 255 the stored one counts, also under ImageJ's inverting table, which shows 255 black.
            return "value" if set(used) <= {0, 255} else "grey"
        return "value" if all(len(colours) == 1 for colours in used.values()) else "colour"
    floats = [s for s in stats if s.form == "float"]
    if all(_integral(s) for s in floats):
        return "value"
    return "unit" if all(s.values.max() <= 1 for s in floats) else "mixed_float"


def _palette_contradiction(stats: Sequence[MaskStats], reads: str) -> Problem | None:
    """Palettes of black and white in which the index 0 is white: their order may mean nothing."""
    if reads != "grey":
        return None
    odd = [s for s in stats if s.palette and (0, 0xFFFFFF) in s.palette]
    if not odd:
        return None
    what = (
        f"has a palette in which the index 0 is shown white and another one black ({len(odd)} such file(s)), so "
        "what is stored contradicts what is shown"
    )
    mend = (
        "say ids=[1] if the index 1 is the object, whatever its colour; or say the colour of the object, such as "
        '{"object": (255, 255, 255)}'
    )
    return Problem("palette_order", str(odd[0].path), what, mend, True)


def _integral(stats: MaskStats) -> bool:
    return bool((stats.values == np.round(stats.values)).all())


def _refused(kind: str, file: str, what: str, mend: str) -> Inference:
    return Inference(None, (), (Problem(kind, file, what, mend, True),))


def _binary(
    reads: str, table: tuple[tuple[int, int], ...], threshold: int | None, sentence: str, options: DataOptions
) -> Inference:
    kind = "binary" if threshold is None else "soft"
    meant = options.num_classes_meant
    if meant not in (None, 1):
        what = f"the masks hold one class ({sentence[0].lower()}{sentence[1:]}), but {meant} are meant"
        return _refused("fewer_classes", "masks", what, "save class ids 0..K, or say one class")
    names = options.class_names or ("foreground",)
    return Inference(MaskEncoding(kind, reads, table, threshold, 1, sentence), names)


class _Folder:
    """The values of single-channel masks, gathered over a folder."""

    def __init__(self, stats: Sequence[MaskStats], reads: str, options: DataOptions) -> None:
        self.stats, self.reads, self.options = stats, reads, options
        self.values = [values_as(s, reads) for s in stats]
        self.sets = [set(values.tolist()) for values in self.values]
        self.found = set().union(*self.sets)
        self.ignore: int | None = options.ignore_label
        self.wide = max(s.bits for s in stats) > 8 and reads != "unit"
        self.notes: list[str] = []

    def infer(self) -> Inference:
        options, found = self.options, self.found - {self.ignore}
        if self.options.ignore_label is not None and options.ignore_label not in self.found:
            self.notes.append(f"The ignore label {options.ignore_label} occurs in no mask")
        if options.ids is None and options.instances is not True:
            soft = self._soft()
            if soft is not None:
                return soft
        if not found - {0}:
            return _refused(
                "no_foreground", "masks", "all masks are empty", "draw the objects, or check the masks folder"
            )
        if options.ids is None:
            top = 65535 if self.wide and 65535 in found else 255
            if found <= {0, top} and options.instances is not True:
                return self._done(_binary(self.reads, self._with_ignore({top: 1}), None, _says(top, self), options))
            if found <= {0, 1, 255} and 255 in found:
                mixed = self._zero_one_or_255()
                if mixed is not None:
                    return mixed
            self._find_ignore(top)
        found = self.found - {0, self.ignore}
        if not found:
            return _refused("no_foreground", "masks", "all masks are empty or ignored", "draw the objects")
        if options.ids is None and are_instances(self.stats, self.sets, found, options):
            return self._instances(len(found))
        return self._ids(sorted(found))

    def _done(self, inference: Inference) -> Inference:
        notes = (*self.notes, *inference.notes)
        return Inference(inference.encoding, inference.class_names, inference.problems, notes)

    def _with_ignore(self, table: dict[int, int]) -> tuple[tuple[int, int], ...]:
        if self.ignore is not None:
            table = {**table, self.ignore: IGNORE}
        return tuple(sorted(table.items()))

    def _share(self, low: int, high: int, which: Sequence[int]) -> float:
        """Share of the pixels of some masks whose value lies in low..high (both included)."""
        inside = total = 0
        for i in which:
            hit = (self.values[i] >= low) & (self.values[i] <= high)
            inside += int(self.stats[i].counts[hit].sum())
            total += int(self.stats[i].counts.sum())
        return inside / total if total else 0.0

    def _soft(self) -> Inference | None:
        """Thresholded reading for JPEG, antialiased and float masks; None where the values are ids."""
        lossy = [i for i, s in enumerate(self.stats) if s.lossy]
        blurred = [i for i, s in enumerate(self.sets) if len([v for v in s if MIDDLE[0] < v < MIDDLE[1]]) >= 5]
        if self.reads == "unit":
            what = "Masks are float 0..1: above 0.5 is the one class"
        elif lossy:
            if not any(self.sets[i] - {0, 255, self.ignore} for i in lossy):
                self.notes.append(f"{len(lossy)} mask(s) are JPEG: PNG would keep their values")
                return None
            middle, top = (
                self._share(MIDDLE[0] + 1, MIDDLE[1] - 1, lossy),
                max(max(self.sets[i]) for i in lossy),
            )
            if middle > MAX_MIDDLE_SHARE or 0 < top < MIDDLE[1]:
                num = len(self.sets[lossy[0]])
                what = f"is a JPEG whose values ({num} different, up to {top}) are not near 0 and 255"
                mend = "save the masks as PNG: JPEG blurs class ids beyond repair"
                return _refused("jpeg_mask", str(self.stats[lossy[0]].path), what, mend)
            which = f"{len(lossy)} of {len(self.stats)}"
            what = f"Masks are JPEG with blurred 0/255 ({which}): above {THRESHOLD} is the one class"
        elif (
            blurred
            and not self.wide
            and all(255 in self.sets[i] or max(self.sets[i]) >= 239 for i in blurred)
            and self._share(MIDDLE[0] + 1, MIDDLE[1] - 1, blurred) <= MAX_MIDDLE_SHARE
            and self._share(1, 16, blurred) <= MAX_MIDDLE_SHARE
        ):
            which = f"{len(blurred)} of {len(self.stats)}"
            what = f"Masks are 0/255 with blurred edges ({which}): above {THRESHOLD} is the one class"
        else:
            return None
        odd = [s for s, values in zip(self.stats, self.sets, strict=True) if values == {0, 1}]
        if odd and self.reads != "unit":
            what = f"has the values 0 and 1, while other masks are blurred 0/255 ({len(odd)} such file(s))"
            return _refused("mixed_encodings", str(odd[0].path), what, "multiply it by 255, or save all masks alike")
        return self._done(_binary(self.reads, self._with_ignore({}), THRESHOLD, what, self.options))

    def _zero_one_or_255(self) -> Inference | None:
        """The values are 0, 1 and 255: two ways of writing binary masks, or 255 is ignored."""
        if self.found <= {0, 255} or any({1, 255} <= values for values in self.sets):
            return None
        if self.options.num_classes_meant not in (None, 1) or self.ignore is not None:
            return None
        ones = sum(1 in values for values in self.sets)
        whites = sum(255 in values for values in self.sets)
        what = f"Masks are 0/1 ({ones} files) and 0/255 ({whites} files): both 1 and 255 are the one class"
        return self._done(_binary(self.reads, ((1, 1), (255, 1)), None, what, self.options))

    def _find_ignore(self, top: int) -> None:
        """255 (65535 in 16 bit) beside small ids is the ignore label."""
        others = self.found - {0, top}
        if self.ignore is not None or top not in self.found or not others:
            return
        if max(others) < top and max(others) <= max(32, 2 * len(others)):
            self.ignore = top
            num = sum(top in values for values in self.sets)
            self.notes.append(
                f"The value {top} ({num} masks) beside ids up to {max(others)} taken for the ignore label: "
                "it counts nowhere"
            )

    def _instances(self, num: int) -> Inference:
        what = f"Masks hold one id per object ({num} ids, different from image to image): merged into one class"
        names = self.options.class_names or ("foreground",)
        return self._done(Inference(MaskEncoding("instances", self.reads, self._with_ignore({}), None, 1, what), names))

    def _ids(self, found: list[int]) -> Inference:
        """Class ids: as they are, or brought to 1..K in their order."""
        meant, ids = self.options.num_classes_meant, self.options.ids
        if ids is None and meant is not None and found[-1] <= meant:
            ids = tuple(range(1, meant + 1))
        if ids is None and (meant is None or len(found) <= meant):
            ids = tuple(found)
            if meant is not None and len(found) < meant:
                what = f"masks have the ids {found}, but {meant} classes are meant and the ids go beyond that"
                return _refused(
                    "fewer_classes", "masks", what, f"renumber them to 1..{meant}, or say which ids are meant"
                )
        if ids is None or not set(found) <= set(ids):
            return self._too_many(found, ids or tuple(range(1, (meant or 0) + 1)))
        if len(ids) > MAX_CLASSES:
            what = f"masks have {len(ids)} class ids (up to {ids[-1]}), but at most {MAX_CLASSES} are possible"
            return _refused("too_many_classes", "masks", what, "merge classes, or say that they are instances")
        straight = ids == tuple(range(1, len(ids) + 1))
        if straight and len(ids) == 1:
            what = f"Masks are 0/1: 1 is the one class, 0 background{inverted_note(self.stats)}"
        elif straight:
            what = f"Masks are class ids: 0 background, 1..{len(ids)} the classes{inverted_note(self.stats)}"
        else:
            shown = ", ".join(f"{value} -> {label}" for label, value in enumerate(ids[:12], start=1))
            what = f"Masks are class ids with gaps, numbered in order: {shown}{', ...' if len(ids) > 12 else ''}"
        absent = [value for value in ids if value not in self.found]
        if absent:
            self.notes.append(f"The class ids {absent[:10]} occur in no mask of this folder")
        names = self.options.class_names or (
            ("foreground",) if len(ids) == 1 else tuple(f"class_{value}" for value in ids)
        )
        table = self._with_ignore({value: label for label, value in enumerate(ids, start=1)})
        kind = "binary" if len(ids) == 1 else "ids"
        return self._done(Inference(MaskEncoding(kind, self.reads, table, None, len(ids), what), names))

    def _too_many(self, found: list[int], allowed: tuple[int, ...]) -> Inference:
        extra = sorted(set(found) - set(allowed))
        where = [s for s, values in zip(self.stats, self.sets, strict=True) if values & set(extra)]
        shown = f"{extra[:10]}{' and more' if len(extra) > 10 else ''}"
        what = (
            f"has ids beyond the {len(allowed)} classes that are meant: {shown} "
            f"(in {len(where)} of {len(self.stats)} masks; ids found: {found[:20]})"
        )
        mend = f"say {len(found)} classes, set ignore_label, or remove these ids"
        return _refused("too_many_classes", str(where[0].path), what, mend)


def _says(top: int, folder: _Folder) -> str:
    form = "palette " if folder.stats[0].form == "palette" else ""
    return f"Masks are {form}0/{top}: {top} is the one class, 0 background{inverted_note(folder.stats)}"


def inverted_note(stats: Sequence[MaskStats]) -> str:
    """The end of a sentence on masks that are shown inverted, of which the stored values count."""
    num = sum(s.inverted for s in stats)
    return f" ({num} of {len(stats)} are shown inverted; the stored values count)" if num else ""
