"""The values of the single-channel masks of a folder, as all checks of their encoding use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samtune.data.masks.channels import NAN
from samtune.data.masks.inference.outcome import InferredEncoding, one_class
from samtune.data.masks.spread import Levels, pool
from samtune.types import IGNORE, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from samtune.data.masks.statistics import MaskStats
    from samtune.data.options import DataOptions


class Channel:
    """The values of all masks of a folder, with the notes and problems that the checks add.

    Attributes:
        stats: of each mask.
        reads: as `MaskEncoding.reads`: "value", "grey" or "unit".
        options: what the user states about the masks.
        values: the unique values of each mask, int64, in the order of `stats[i].counts`.
        value_sets: `values` as sets.
        all_values: the values of all masks.
        ignore: the value of ignored pixels, from the user or inferred; None if there is none.
        background: the values of the background.
        wide: whether any mask has more than 8 bits; False for "unit".
        notes: guesses, as sentences.
        problems: guesses that the user should check.
        doubt: the refusal to return unless the values turn out to be ids of objects; None if there is none.
    """

    def __init__(self, stats: Sequence[MaskStats], reads: str, options: DataOptions) -> None:
        self.stats, self.reads, self.options = stats, reads, options
        self.values = [s.values_as(reads) for s in stats]
        self.value_sets = [set(values.tolist()) for values in self.values]
        self.all_values = set().union(*self.value_sets)
        self.ignore = None if options.ignore_label is None else stored_value(options.ignore_label)
        self.background = {stored_value(v) for v in options.background or ()} or {0} - set(options.ids or ())
        self.wide = max(s.bits for s in stats) > 8 and reads != "unit"
        self.notes: list[str] = []
        self.problems: list[Problem] = []
        self.doubt: InferredEncoding | None = None

    def levels(self, which: Iterable[int] | None = None) -> Levels:
        """Return the pooled values, without the ignore label, of all masks or of those with the given indices."""
        indices = range(len(self.stats)) if which is None else which
        levels = pool((self.values[i], self.stats[i].counts, self.stats[i].spread) for i in indices)
        return levels if self.ignore is None else levels.without(self.ignore)

    def ids(self) -> set[int]:
        """Return all values but background and ignore label."""
        return self.all_values - self.background - {self.ignore}

    def has_expected_number(self) -> bool:
        """Return whether the user expects several classes and the masks have exactly as many values."""
        num_classes = self.options.num_classes_meant
        return num_classes is not None and num_classes > 1 and num_classes == len(self.ids())

    def first_with(self, values: set[int]) -> MaskStats:
        """Return the first mask that has any of the values."""
        return next(s for s, own in zip(self.stats, self.value_sets, strict=True) if own & values)

    def table(self, labels: dict[int, int]) -> tuple[tuple[int, int], ...]:
        """Return a `MaskEncoding.table` of value -> label, with background and ignore label added."""
        table = {**{value: 0 for value in self.background if value != 0}, **labels}
        if self.ignore is not None:
            table[self.ignore] = IGNORE
        return tuple(sorted(table.items()))

    def one_class(self, labels: dict[int, int], threshold: int | None, sentence: str) -> InferredEncoding:
        """Return the encoding of masks with a single class; see `outcome.one_class` and `table`."""
        return self.finish(one_class(self.reads, self.table(labels), threshold, sentence, self.options))

    def finish(self, inferred: InferredEncoding) -> InferredEncoding:
        """Return an outcome with the notes and problems of the channel added."""
        notes = (*self.notes, *inferred.notes)
        problems = (*inferred.problems, *self.problems)
        return InferredEncoding(inferred.encoding, inferred.class_names, problems, notes)


def stored_value(value: int | float) -> int:
    """Return a value of `DataOptions` as `MaskEncoding.table` holds it, with `NAN` for NaN."""
    return NAN if isinstance(value, float) else value


def threshold_remedy(threshold: int) -> str:
    """Return what to do about masks that may be one class with noise."""
    return f"pass `--threshold {threshold}` (values above it are foreground), or save the mask with 0 and 255 only"
