"""The outcome of inferring an encoding: how masks are to be read, or what stops that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samtune.data.masks.encodings import MaskEncoding
from samtune.types import Problem

if TYPE_CHECKING:
    from samtune.data.options import DataOptions


@dataclass(frozen=True)
class Inference:
    """What the masks of a folder say of themselves.

    Attributes:
        encoding: how to read them; None where a problem stops that.
        class_names: K names.
        problems: what is wrong, each with file and mend; beside an encoding, guesses that the user should check.
        notes: what was guessed beyond the encoding's own sentence.
    """

    encoding: MaskEncoding | None
    class_names: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def refuse(kind: str, file: str, what: str, mend: str) -> Inference:
    """No encoding, and the problem that stops it."""
    return Inference(None, (), (Problem(kind, file, what, mend, True),))


def one_class(
    reads: str, table: tuple[tuple[int, int], ...], threshold: int | None, sentence: str, options: DataOptions
) -> Inference:
    """The encoding of masks with one class, or a problem where the user means more classes."""
    meant = options.num_classes_meant
    if meant not in (None, 1):
        what = f"the masks hold one class ({sentence[0].lower()}{sentence[1:]}), but {meant} are meant"
        return refuse("fewer_classes", "masks", what, "save class ids 0..K, or say one class")
    names = options.class_names or ("foreground",)
    kind = "threshold" if options.threshold is not None else "binary" if threshold is None else "soft"
    return Inference(MaskEncoding(kind, reads, table, threshold, 1, sentence), names)
