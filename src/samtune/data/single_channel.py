"""The encoding of single-channel masks, inferred from the values of a whole folder."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from samtune.data.depths import mixed_depths
from samtune.data.encodings import MaskEncoding, values_as
from samtune.data.inferred import Inference, one_class, refuse
from samtune.data.instances import are_instances
from samtune.data.levels import Levels, pool
from samtune.data.maskstats import HALF, NAN
from samtune.data.noise import MANY, MAX_CORE, MIN_SCATTERED, SOLID, Borders, find_borders, find_two_levels
from samtune.data.options import MAX_CLASSES
from samtune.types import IGNORE, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.maskstats import MaskStats
    from samtune.data.options import DataOptions

MAX_MIDDLE_SHARE = 0.1
"""JPEG masks may have this share of pixels between `MIDDLE`; more is no blurred binary mask."""

MIDDLE = (32, 223)
"""Values between these are neither near 0 nor near 255."""

MIN_PARTITION = 4
"""Masks without any 0 are taken for maps in which every pixel has a class only from this many ids on."""

MIN_GREY_LEVELS = 32
"""So many values of which nearly none covers an area are grey levels, not ids."""

MIN_SCATTERED_LEVELS = 3
"""So many, where most of their pixels lie between lower and higher values or alone."""


class SingleChannel:
    """The values of single-channel masks, gathered over a folder.

    Args:
        stats: of all masks.
        reads: as `MaskEncoding.reads`: "value", "grey" or "unit".
        options: what the user says.
    """

    def __init__(self, stats: Sequence[MaskStats], reads: str, options: DataOptions) -> None:
        self.stats, self.reads, self.options = stats, reads, options
        self.values = [values_as(s, reads) for s in stats]
        self.sets = [set(values.tolist()) for values in self.values]
        self.found = set().union(*self.sets)
        self.ignore = None if options.ignore_label is None else _as_integer(options.ignore_label)
        self.background = {_as_integer(v) for v in options.background or ()} or {0} - set(options.ids or ())
        self.wide = max(s.bits for s in stats) > 8 and reads != "unit"
        self.notes: list[str] = []
        self.problems: list[Problem] = []
        self.unclear: Inference | None = None

    def infer(self) -> Inference:
        """Return the encoding, or what stops it."""
        options = self.options
        if self.ignore is not None and self.ignore not in self.found:
            self.notes.append(f"The ignore label {options.ignore_label} occurs in no mask")
        if options.threshold is not None:
            return self._by_threshold()
        steps = [self._strange_values]
        if options.ids is None and options.background is None and options.instances is not True:
            steps += [self._scales, self.infer_two_levels, self._empty, self._zero_absent, self._binary]
        for step in (*steps, self._empty):
            outcome = step()
            if outcome is not None:
                return outcome
        ids = self._ids_found()
        # Grey levels of 8 bit are in every mask, as ids of objects may be; only far more ids than classes are objects.
        may_be_objects = options.ids is None and (self.unclear is None or (self.wide and len(ids) > MAX_CLASSES))
        if may_be_objects and are_instances(self.stats, self.sets, ids, options):
            return self._borders(only_between=True) or self._instances(len(ids))
        if self.unclear is not None:
            return self.unclear
        if options.ids is None and (refused := self._grey_levels() or self._borders(only_between=False)):
            return refused
        return self._ids(sorted(ids))

    def infer_fractional(self) -> Inference | None:
        """Threshold float masks of two levels beyond 0..1; None where they have more levels."""
        return self._strange_values() or self.infer_two_levels()

    def infer_two_levels(self) -> Inference | None:
        """Threshold JPEG, blurred, resized and float masks half-way; None where the values are drawn."""
        if self._as_many_as_meant():
            return None
        if self.reads == "unit":
            return self._unit()
        lossy = [i for i, s in enumerate(self.stats) if s.lossy]
        if lossy:
            return self._lossy(lossy)
        full = 65535 if self.wide and max(self.found) > 255 else 255
        two = find_two_levels(self._levels, full)
        if two is None:
            rest = [i for i, values in enumerate(self.sets) if values != {0, 1}]
            two = find_two_levels(self._pool(rest), full) if 0 < len(rest) < len(self.sets) else None
        if two is None:
            return None
        noisy = [i for i, values in enumerate(self.sets) if values & set(two.extras)]
        first, which = str(self.stats[noisy[0]].path), f"{len(noisy)} of {len(self.stats)}"
        shown = _listed(two.extras)
        if two.single:
            value = two.extras[0]
            what = f"has {value} only along the edge between 0 and {two.top} ({which} masks): blurred, or a class?"
            ids = f"{value},{two.top}"
            mend = f"give `--threshold {two.threshold}` for one class, `--ids {ids}` for two"
            return refuse("border_value", first, what, mend)
        if not two.clear:
            what = f"has many values between 0 and {two.top} ({shown}; {which} masks): a blurred mask or a grey image?"
            self.unclear = refuse("grey_levels", first, what, _threshold_mend(two.threshold))
            return None
        mixed = self._zero_one_beside(two.top)
        if mixed is not None:
            return mixed
        what = f"is no clean 0/{two.top} mask ({len(noisy)} such file(s)): it also has the values {shown}"
        mend = "samtune doctor --fix OUT writes clean masks; `--ids` reads values as classes"
        self.problems.append(Problem("blurred_mask", first, what, mend, False))
        sentence = (
            f"Masks are 0/{two.top} with blurred edges or noise ({which} have other values, such as {shown}): "
            f"above {two.threshold} is the one class"
        )
        return self._done(one_class(self.reads, self._with_ignore({}), two.threshold, sentence, self.options))

    @property
    def _levels(self) -> Levels:
        """The values of all masks with how they lie, the ignore label left out."""
        return self._pool(range(len(self.stats)))

    def _pool(self, which: Sequence[int]) -> Levels:
        levels = pool((self.values[i], self.stats[i].counts, self.stats[i].spread) for i in which)
        return levels if self.ignore is None else levels.without(self.ignore)

    def _ids_found(self) -> set[int]:
        return self.found - self.background - {self.ignore}

    def _as_many_as_meant(self) -> bool:
        """Whether the user means several classes, and the masks have as many values."""
        meant = self.options.num_classes_meant
        return meant is not None and meant > 1 and meant == len(self._ids_found())

    def _done(self, inference: Inference) -> Inference:
        notes = (*self.notes, *inference.notes)
        problems = (*inference.problems, *self.problems)
        return Inference(inference.encoding, inference.class_names, problems, notes)

    def _with_ignore(self, table: dict[int, int]) -> tuple[tuple[int, int], ...]:
        table = {**{value: 0 for value in self.background if value != 0}, **table}
        if self.ignore is not None:
            table[self.ignore] = IGNORE
        return tuple(sorted(table.items()))

    def _by_threshold(self) -> Inference:
        said = self.options.threshold or 0
        limit = math.floor(said * 255 if self.reads == "unit" else said)
        sentence = f"Masks are read by a threshold: above {said} is the one class"
        return self._done(one_class(self.reads, self._with_ignore({}), limit, sentence, self.options))

    def _strange_values(self) -> Inference | None:
        """Negative values and NaN that nobody has said the meaning of."""
        for i, values in enumerate(self.sets):
            unknown = {v for v in values if v < 0} - self.background - {self.ignore}
            if self.stats[i].fractional:  # a negative overshoot of interpolation is below any threshold
                unknown &= {NAN}
            if unknown:
                value = min(unknown)
                word = "NaN" if value == NAN else str(value)
                what = f"has pixels of the value {word}, and whether they are background or ignored is not said"
                mend = f"give `--ignore-label {word.lower()}` or `--background 0,{word.lower()}`"
                return refuse("strange_values", str(self.stats[i].path), what, mend)
        return None

    def _scales(self) -> Inference | None:
        if self._as_many_as_meant():
            return None
        outcome = mixed_depths(self.stats, self.sets, self.reads, self.options, {0, self.ignore or 0})
        return None if outcome is None else self._done(outcome)

    def _empty(self) -> Inference | None:
        if self._ids_found():
            return None
        what = "all masks are empty" if self.ignore not in self.found else "all masks are empty or ignored"
        return refuse("no_foreground", "masks", what, "draw the objects, or check the masks folder")

    def _unit(self) -> Inference | None:
        """Float masks within 0..1."""
        levels = self._levels
        top = max(levels.values.tolist())
        threshold = HALF if top > HALF else (top - 1) // 2
        inner = (levels.values > 0) & (levels.values < top)
        drawn = {*levels.values[inner & (levels.spread.core > SOLID * levels.counts)].tolist()}
        unclear = [i for i, values in enumerate(self.sets) if len(values & {*drawn, top}) > 1 or self._is_faint(i, top)]
        if drawn and unclear and len(levels.values) <= MANY:
            shown = _listed([round(v / 255, 3) for v in levels.values.tolist()])
            what = f"has several float levels within 0..1 ({shown}): classes, or how certain the object is?"
            mend = "save class ids as whole numbers, or give `--threshold 0.5`: above it is the one class"
            return refuse("float_mask", str(self.stats[unclear[0]].path), what, mend)
        shown = "0.5" if threshold == HALF else f"{threshold / 255:.2g} (half of the largest value)"
        what = f"Masks are float 0..1: above {shown} is the one class"
        return self._done(one_class(self.reads, self._with_ignore({}), threshold, what, self.options))

    def _is_faint(self, index: int, top: int) -> bool:
        """Whether a float mask has an object that never reaches the threshold, unlike others."""
        return top > HALF and 0 < max(self.sets[index]) <= HALF

    def _share(self, low: int, high: int, which: Sequence[int]) -> float:
        """Share of the pixels of some masks whose value lies in low..high (both included)."""
        inside = total = 0
        for i in which:
            hit = (self.values[i] >= low) & (self.values[i] <= high)
            inside += int(self.stats[i].counts[hit].sum())
            total += int(self.stats[i].counts.sum())
        return inside / total if total else 0.0

    def _lossy(self, lossy: list[int]) -> Inference | None:
        """JPEG masks: 0/255 with noise, or nothing that can be read."""
        if not any(self.sets[i] - {0, 255, self.ignore} for i in lossy):
            self.notes.append(f"{len(lossy)} mask(s) are JPEG: PNG would keep their values")
            return None
        middle = self._share(MIDDLE[0] + 1, MIDDLE[1] - 1, lossy)
        top = max(max(self.sets[i]) for i in lossy)
        if middle > MAX_MIDDLE_SHARE or 0 < top < MIDDLE[1]:
            num = len(self.sets[lossy[0]])
            what = f"is a JPEG whose values ({num} different, up to {top}) are not near 0 and 255"
            mend = "save the masks as PNG: JPEG blurs class ids beyond repair"
            return refuse("jpeg_mask", str(self.stats[lossy[0]].path), what, mend)
        mixed = self._zero_one_beside(255)
        if mixed is not None:
            return mixed
        what = f"Masks are JPEG with blurred 0/255 ({len(lossy)} of {len(self.stats)}): above {HALF} is the one class"
        return self._done(one_class(self.reads, self._with_ignore({}), HALF, what, self.options))

    def _zero_one_beside(self, top: int) -> Inference | None:
        """Refuse masks with 0 and 1 alone beside noisy masks of 0 and `top`: the threshold would empty them."""
        odd = [s for s, values in zip(self.stats, self.sets, strict=True) if values == {0, 1}]
        if not odd or top <= 2:
            return None
        what = f"has the values 0 and 1, while other masks are blurred 0/{top} ({len(odd)} such file(s))"
        return refuse("mixed_encodings", str(odd[0].path), what, f"multiply it by {top}, or save all masks alike")

    def _zero_absent(self) -> Inference | None:
        """Masks in which no pixel is 0: with few ids, one of them may be the background."""
        ids = self._ids_found()
        if 0 in self.found or len(ids) < 2 or self._as_many_as_meant():
            return None
        counts: Counter[int] = Counter()
        for values, s in zip(self.values, self.stats, strict=True):
            counts.update(dict(zip(values.tolist(), s.counts.tolist(), strict=True)))
        shares = ", ".join(f"{v}: {100 * counts[v] / counts.total():.0f} %" for v in sorted(ids)[:8])
        ground = max(ids, key=lambda v: counts[v])
        what = f"no pixel of any mask is 0 (values {shares}{', ...' if len(ids) > 8 else ''})"
        if len(ids) < MIN_PARTITION:
            border = max(ids - {ground})
            mend = f"say which value is background, such as `--background {ground}`"
            if len(ids) == 3:
                mend += f" (with `--ignore-label {border}` if {border} is a border that counts nowhere)"
            mend += f", or `--classes {len(ids)}` if every value is a class"
            return refuse("no_background", "masks", what, mend)
        mend = f"give `--background VALUE` if one of them is background ({ground} is the most frequent)"
        self.problems.append(Problem("no_background", "masks", f"{what}: every pixel has a class", mend, False))
        self.notes.append("No pixel of any mask is 0: every pixel has a class, there is no background")
        return None

    def _binary(self) -> Inference | None:
        """One class: 0/255, 0/65535, 0/1 beside 0/255; also finds 255 as the ignore label."""
        found = self.found - {self.ignore}
        top = 65535 if self.wide and 65535 in found else 255
        if found <= {0, top}:
            form = "palette " if self.stats[0].form == "palette" else ""
            what = f"Masks are {form}0/{top}: {top} is the one class, 0 background"
            what += self._inverted()
            return self._done(one_class(self.reads, self._with_ignore({top: 1}), None, what, self.options))
        if found <= {0, 1, 255} and 255 in found:
            mixed = self._zero_one_or_255()
            if mixed is not None:
                return mixed
        return self._find_ignore(top)

    def _zero_one_or_255(self) -> Inference | None:
        """The values are 0, 1 and 255: two ways of writing binary masks, or 255 is ignored."""
        if self.found <= {0, 255} or any({1, 255} <= values for values in self.sets):
            return None
        if self.options.num_classes_meant not in (None, 1) or self.ignore is not None:
            return None
        ones = sum(1 in values for values in self.sets)
        whites = sum(255 in values for values in self.sets)
        what = f"Masks are 0/1 ({ones} files) and 0/255 ({whites} files): both 1 and 255 are the one class"
        return self._done(one_class(self.reads, ((1, 1), (255, 1)), None, what, self.options))

    def _find_ignore(self, top: int) -> Inference | None:
        """255 (65535 in 16 bit) beside small ids is the ignore label, unless it makes up the classes that are meant."""
        others = self.found - {0, top}
        if self.ignore is not None or top not in self.found or not others:
            return None
        meant = self.options.num_classes_meant
        if meant == len(others) + 1 and meant > 1:
            if max(others) > meant:
                self.notes.append(f"The value {top} is a class, since {meant} classes are meant")
                return None
            what = f"the masks have the ids {_listed(sorted(others))} and {top}, and {meant} classes are meant"
            every = ",".join(map(str, sorted({*others, top})))
            mend = f"give `--ids {every}` if {top} is a class, `--ignore-label {top}` if it counts nowhere"
            return refuse("ignore_or_class", "masks", what, mend)
        if max(others) < top and max(others) <= max(32, 2 * len(others)):
            self.ignore = top
            num = sum(top in values for values in self.sets)
            self.notes.append(
                f"The value {top} ({num} masks) beside ids up to {max(others)} taken for the ignore label: "
                "it counts nowhere"
            )
        return None

    def _instances(self, num: int) -> Inference:
        what = f"Masks hold one id per object ({num} ids, different from image to image): merged into one class"
        names = self.options.class_names or ("foreground",)
        return self._done(Inference(MaskEncoding("instances", self.reads, self._with_ignore({}), None, 1, what), names))

    def _borders(self, *, only_between: bool) -> Inference | None:
        """Refuse, or report, ids that lie along borders of others: interpolation or JPEG has left them."""
        if self._as_many_as_meant() or self.options.instances:
            return None
        borders = find_borders(self._levels, only_between=only_between)
        if borders is None:
            return None
        shown = _listed(borders.values, 20)
        first = next(s for s, values in zip(self.stats, self.sets, strict=True) if values & set(borders.values))
        what = f"the value(s) {shown} occur only along borders of other values"
        if not borders.certain:
            self.notes.append(
                f"The ids {shown} occur only as thin borders between other ids: drawn, or left by resizing?"
            )
            mend = "fine if they are classes; else resize masks to the nearest pixel"
            self.problems.append(Problem("border_ids", str(first.path), what, mend, False))
            return None
        return refuse(
            "interpolated_ids", str(first.path), f"{what}, as resizing or JPEG leaves them", self._ids_mend(borders)
        )

    def _ids_mend(self, borders: Borders) -> str:
        drawn = sorted(self._ids_found() - set(borders.values))
        mend = f"resize masks to the nearest pixel and save them as PNG (the ids may be {_listed(drawn)})"
        if len(self._ids_found()) <= MAX_CLASSES:
            every = ",".join(map(str, sorted(self._ids_found())))
            mend += f"; or give `--ids {every if len(every) <= 60 else 'A,B,...'}` if all of them are classes"
        if len(drawn) <= 1 or max(self.found) in (255, 65535):
            mend += f"; or {_threshold_mend((max(self.found) - 1) // 2)}"
        return mend

    def _grey_levels(self) -> Inference | None:
        """Refuse images in which hardly any value covers an area: grey levels are no ids."""
        if self._as_many_as_meant() or self.options.instances:
            return None
        levels = self._levels
        above = levels.values > 0
        num, pixels, spread = int(above.sum()), levels.counts[above].sum(), levels.spread
        scattered = spread.between[above].sum() >= MIN_SCATTERED * pixels
        if (
            num < (MIN_SCATTERED_LEVELS if scattered else MIN_GREY_LEVELS)
            or spread.core[above].sum() > MAX_CORE * pixels
        ):
            return None
        what = f"has grey levels rather than ids: of {num} values up to {levels.values[-1]}, hardly any covers an area"
        first = max(zip(self.stats, self.sets, strict=True), key=lambda each: len(each[1]))[0]
        return refuse("grey_levels", str(first.path), what, _threshold_mend((max(self.found) - 1) // 2))

    def _ids(self, found: list[int]) -> Inference:
        """Class ids: as they are, or brought to 1..K in their order."""
        meant, ids = self.options.num_classes_meant, self.options.ids
        if ids is None and meant is not None and found[0] > 0 and found[-1] <= meant:
            ids = tuple(range(1, meant + 1))
        if ids is None and (meant is None or len(found) <= meant):
            ids = tuple(found)
            if meant is not None and len(found) < meant:
                what = f"masks have the ids {found}, but {meant} classes are meant and the ids go beyond that"
                mend = f"renumber them to 1..{meant}, or give `--ids` with the value of each class"
                return refuse("fewer_classes", "masks", what, mend)
        if ids is None or not set(found) <= set(ids):
            return self._too_many(found, ids or tuple(range(1, (meant or 0) + 1)))
        if len(ids) > MAX_CLASSES:
            what = f"masks have {len(ids)} class ids (up to {ids[-1]}), but at most {MAX_CLASSES} are possible"
            return refuse("too_many_classes", "masks", what, "merge classes, or give `--instances` if ids are objects")
        absent = [value for value in ids if value not in self.found]
        if absent:
            self.notes.append(f"The class ids {absent[:10]} occur in no mask of this folder")
        names = self.options.class_names or (
            ("foreground",) if len(ids) == 1 else tuple(f"class_{value}" for value in ids)
        )
        table = self._with_ignore({value: label for label, value in enumerate(ids, start=1)})
        kind = "binary" if len(ids) == 1 else "ids"
        return self._done(Inference(MaskEncoding(kind, self.reads, table, None, len(ids), self._says(ids)), names))

    def _says(self, ids: tuple[int, ...]) -> str:
        ground = " and ".join("NaN" if v == NAN else str(v) for v in sorted(self.background & self.found))
        straight = ids == tuple(range(1, len(ids) + 1))
        background = f"{ground} background" if ground else "no pixel background"
        if straight and len(ids) == 1:
            return f"Masks are {ground or 0}/1: 1 is the one class, {background}{self._inverted()}"
        if straight:
            background = background if self.options.background else "0 background"
            return f"Masks are class ids: {background}, 1..{len(ids)} the classes{self._inverted()}"
        shown = ", ".join(f"{value} -> {label}" for label, value in enumerate(ids[:12], start=1))
        more = ", ..." if len(ids) > 12 else ""
        said = f" ({background})" if self.options.background else ""
        return f"Masks are class ids with gaps, numbered in order: {shown}{more}{said}"

    def _inverted(self) -> str:
        """The end of a sentence on masks that are shown inverted, of which the stored values count."""
        num = sum(s.inverted for s in self.stats)
        return f" ({num} of {len(self.stats)} are shown inverted; the stored values count)" if num else ""

    def _too_many(self, found: list[int], allowed: tuple[int, ...]) -> Inference:
        extra = sorted(set(found) - set(allowed))
        where = [s for s, values in zip(self.stats, self.sets, strict=True) if values & set(extra)]
        shown = f"{extra[:10]}{' and more' if len(extra) > 10 else ''}"
        what = (
            f"has ids beyond the {len(allowed)} classes that are meant: {shown} "
            f"(in {len(where)} of {len(self.stats)} masks; ids found: {found[:20]})"
        )
        mend = f"say {len(found)} classes, give `--ignore-label` or `--background` for the others, or remove these ids"
        return refuse("too_many_classes", str(where[0].path), what, mend)


def _as_integer(value: int | float) -> int:
    return NAN if isinstance(value, float) else value


def _listed(values: Sequence[int | float], most: int = 6) -> str:
    return ", ".join(map(str, values[:most])) + (", ..." if len(values) > most else "")


def _threshold_mend(threshold: int) -> str:
    return f"give `--threshold {threshold}` (above it is the object), or save the mask with 0 and 255 alone"
