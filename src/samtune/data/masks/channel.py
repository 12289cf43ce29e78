"""The values of single-channel masks over a folder, and what noise among them means: a threshold, or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samtune.data.masks.encodings import values_as
from samtune.data.masks.inferred import Inference, one_class, refuse
from samtune.data.masks.levels import SOLID_SHARE, Levels, pool
from samtune.data.masks.noise import MANY, MAX_CORE, MIN_SCATTERED, SOLID, Borders, find_borders, find_two_levels
from samtune.data.masks.statistics import HALF, NAN
from samtune.data.options import MAX_CLASSES
from samtune.types import IGNORE, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.masks.statistics import MaskStats
    from samtune.data.options import DataOptions

MAX_MIDDLE_SHARE = 0.1
"""JPEG masks may have this share of pixels between `MIDDLE`; more is no blurred binary mask."""

MIDDLE = (32, 223)
"""Values between these are neither near 0 nor near 255."""

MIN_GREY_LEVELS = 32
"""So many values of which nearly none covers an area are grey levels, not ids."""

MIN_SCATTERED_LEVELS = 3
"""So many, where most of their pixels lie between lower and higher values or alone."""


class Channel:
    """The values of single-channel masks, gathered over a folder.

    Args:
        stats: of all masks.
        reads: as `MaskEncoding.reads`: "value", "grey" or "unit".
        options: how the user asks for the masks to be read.
    """

    def __init__(self, stats: Sequence[MaskStats], reads: str, options: DataOptions) -> None:
        self.stats, self.reads, self.options = stats, reads, options
        self.values = [values_as(s, reads) for s in stats]
        self.sets = [set(values.tolist()) for values in self.values]
        self.found = set().union(*self.sets)
        self.ignore = None if options.ignore_label is None else as_integer(options.ignore_label)
        self.background = {as_integer(v) for v in options.background or ()} or {0} - set(options.ids or ())
        self.wide = max(s.bits for s in stats) > 8 and reads != "unit"
        self.notes: list[str] = []
        self.problems: list[Problem] = []
        self.unclear: Inference | None = None

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
        shown = listed(two.extras)
        if two.single:
            value = two.extras[0]
            what = f"has {value} only along the edge between 0 and {two.top} ({which} masks): blurred, or a class?"
            ids = f"{value},{two.top}"
            mend = f"give `--threshold {two.threshold}` for one class, `--ids {ids}` for two"
            return refuse("border_value", first, what, mend)
        if not two.clear:
            what = f"has many values between 0 and {two.top} ({shown}; {which} masks): a blurred mask or a grey image?"
            self.unclear = refuse("grey_levels", first, what, threshold_mend(two.threshold))
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

    def _unit(self) -> Inference | None:
        """Float masks within 0..1."""
        levels = self._levels
        top = max(levels.values.tolist())
        threshold = HALF if top > HALF else (top - 1) // 2
        inner = (levels.values > 0) & (levels.values < top)
        drawn = {*levels.values[inner & (levels.spread.core > SOLID * levels.counts)].tolist()}
        unclear = [i for i, values in enumerate(self.sets) if len(values & {*drawn, top}) > 1 or self._is_faint(i, top)]
        if drawn and unclear and len(levels.values) <= MANY:
            shown = listed([round(v / 255, 3) for v in levels.values.tolist()])
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

    def _borders(self, *, only_between: bool) -> Inference | None:
        """Refuse, or report, ids that lie along borders of others: interpolation or JPEG has left them."""
        if self._as_many_as_meant() or self.options.instances:
            return None
        borders = find_borders(self._levels, only_between=only_between)
        if borders is None:
            return None
        shown = listed(borders.values, 20)
        first = next(s for s, values in zip(self.stats, self.sets, strict=True) if values & set(borders.values))
        what = f"the value(s) {shown} occur only along borders of other values or scattered"
        if not borders.certain:
            self.notes.append(
                f"The ids {shown} occur only as thin borders between other ids or in few, scattered pixels: drawn, "
                "or noise?"
            )
            mend = "fine if they are classes; else resize masks to the nearest pixel"
            self.problems.append(Problem("border_ids", str(first.path), what, mend, False))
            return None
        return refuse(
            "interpolated_ids", str(first.path), f"{what}, as resizing or JPEG leaves them", self._ids_mend(borders)
        )

    def _ids_mend(self, borders: Borders) -> str:
        drawn = sorted(self._ids_found() - set(borders.values))
        mend = f"resize masks to the nearest pixel and save them as PNG (the ids may be {listed(drawn)})"
        if len(self._ids_found()) <= MAX_CLASSES:
            every = ",".join(map(str, sorted(self._ids_found())))
            mend += f"; or give `--ids {every if len(every) <= 60 else 'A,B,...'}` if all of them are classes"
        if len(drawn) <= 1 or max(self.found) in (255, 65535):
            mend += f"; or {threshold_mend((max(self.found) - 1) // 2)}"
        return mend

    def _grey_levels(self) -> Inference | None:
        """Refuse images in which hardly any value covers an area: grey levels are no ids."""
        if self._as_many_as_meant() or self.options.instances:
            return None
        levels = self._levels
        above = levels.values > 0
        num, pixels, spread = int(above.sum()), levels.counts[above].sum(), levels.spread
        scattered = spread.between[above].sum() >= MIN_SCATTERED * pixels
        least = MIN_SCATTERED_LEVELS if scattered else MIN_GREY_LEVELS
        solid = above & (spread.core > SOLID_SHARE * levels.counts) & (levels.counts > 0.01 * pixels)
        if num < least or spread.core[above].sum() > MAX_CORE * pixels or solid.any():
            return None
        what = f"has grey levels rather than ids: of {num} values up to {levels.values[-1]}, hardly any covers an area"
        first = max(zip(self.stats, self.sets, strict=True), key=lambda each: len(each[1]))[0]
        return refuse("grey_levels", str(first.path), what, threshold_mend((max(self.found) - 1) // 2))


def as_integer(value: int | float) -> int:
    """A value of `DataOptions` as it stands in the tables of encodings: NaN as `maskstats.NAN`."""
    return NAN if isinstance(value, float) else value


def listed(values: Sequence[int | float], most: int = 6) -> str:
    """The first values, separated by commas."""
    return ", ".join(map(str, values[:most])) + (", ..." if len(values) > most else "")


def threshold_mend(threshold: int) -> str:
    """What to do about masks that may be one class with noise."""
    return f"give `--threshold {threshold}` (above it is the object), or save the mask with 0 and 255 alone"
