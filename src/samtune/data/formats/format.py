"""The protocol of annotation formats, and the records that detection and reading return."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.data.options import DataOptions
    from samtune.types import Pair, Problem


class Certainty(IntEnum):
    """Certainty that a path holds data of a format; the format with the highest certainty reads it."""

    POSSIBLE = 1
    """The path is of the right kind, such as a folder; the errors of reading it name what is missing."""

    CONTENT = 2
    """The content is typical of this format."""

    NAMED = 3
    """The user named the format."""


@dataclass(frozen=True)
class Detection:
    """A format's claim to a path.

    Attributes:
        certainty: of the claim.
        reason: the evidence, as a clause with its subject: "`masks/` holds images".
    """

    certainty: Certainty
    reason: str


@dataclass(frozen=True)
class Records:
    """The annotated images of a data set as a format reads them.

    Attributes:
        pairs: image and mask files, in any order. A stem is the image's path below its root without ending; the table
            shortens it to the file name if that is unique. Annotations other than masks, such as polygons, are
            drawn into the cache (`$SAMTUNE_CACHE`).
        problems: images without mask, masks without image, ambiguous names, missing files.
        notes: what was left out or assumed, as sentences.
        options: the user's options, completed by what the format defines, such as the class names.
    """

    pairs: tuple[Pair, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    options: DataOptions


class Format(Protocol):
    """One annotation format: a file in this folder, and a row in `table.FORMATS`."""

    name: str
    """The prefix of paths that selects this format (`name:PATH`): lower-case letters and `_`."""

    expects: str
    """Noun phrase for what the format reads: "a CSV or TSV manifest with the columns image,mask"."""

    def detect(self, images: Path, masks: Path | None) -> Detection | None:
        """Return the certainty that these paths hold data of the format, with a reason; None if they do not.

        Reads only names and the first bytes of files, so that every format can be tried. Changes nothing, and raises
        nothing for data of other formats.

        Args:
            images: the user's first folder or file; it may not exist.
            masks: the user's second folder or file; None if only one was given.
        """
        ...

    def read(self, images: Path, masks: Path | None, options: DataOptions) -> Records:
        """Return the records of a data set; pixels are read later.

        Args:
            images: as for `detect`.
            masks: as for `detect`.
            options: what the user stated about the masks.

        Raises:
            DataError: nothing can be read. Problems of single files are in `Records.problems` instead, so that all of
                them are reported together.
        """
        ...
