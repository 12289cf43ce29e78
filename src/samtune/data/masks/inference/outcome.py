"""The outcome of inferring an encoding: the encoding of a folder's masks, or the problem that prevents it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samtune.data.masks.encoding import MaskEncoding
from samtune.types import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.options import DataOptions


@dataclass(frozen=True)
class InferredEncoding:
    """What was inferred about the masks of a folder.

    Attributes:
        encoding: how to read the masks; None if a problem prevents it.
        class_names: K names; empty without an encoding.
        problems: what is wrong, each with its file and remedy; beside an encoding, guesses that the user should check.
        notes: further guesses, beyond the encoding's own sentence.
    """

    encoding: MaskEncoding | None
    class_names: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def refuse(kind: str, file: str, what: str, mend: str) -> InferredEncoding:
    """Return an outcome without encoding; the arguments are those of `Problem`."""
    return InferredEncoding(None, (), (Problem(kind, file, what, mend, True),))


def one_class(
    reads: str, table: tuple[tuple[int, int], ...], threshold: int | None, sentence: str, options: DataOptions
) -> InferredEncoding:
    """Return the encoding of masks with a single class, or a problem if the user expects several.

    Args:
        reads: as `MaskEncoding.reads`.
        table: as `MaskEncoding.table`.
        threshold: as `MaskEncoding.threshold`.
        sentence: as `MaskEncoding.sentence`.
        options: names the class.
    """
    num_classes = options.num_classes_meant
    if num_classes not in (None, 1):
        what = f"the masks hold one class ({sentence[0].lower()}{sentence[1:]}), but {num_classes} are expected"
        return refuse("fewer_classes", "masks", what, "save class ids 0..K, or pass `--classes 1`")
    names = options.class_names or ("foreground",)
    kind = "threshold" if options.threshold is not None else "binary" if threshold is None else "soft"
    return InferredEncoding(MaskEncoding(kind, reads, table, threshold, 1, sentence), names)


def shorten(values: Sequence[int | float], most: int = 6) -> str:
    """Return the first values, separated by commas, and "..." if there are more."""
    return ", ".join(map(str, values[:most])) + (", ..." if len(values) > most else "")
