"""The seam of annotation formats: the protocol `Format`, and what detecting and reading return."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.data.options import DataOptions
    from samtune.types import Pair, Problem


class Certainty(IntEnum):
    """How sure a format is that a path holds its data; the surest format reads it."""

    POSSIBLE = 1
    """The path is of the right kind, a folder for example; reading it names what is missing."""

    CONTENT = 2
    """The content has the marks of this format."""

    NAMED = 3
    """The user named the format."""


@dataclass(frozen=True)
class Detection:
    """A format's claim to a path.

    Attributes:
        certainty: how sure the format is.
        reason: what it saw, as a clause with its subject: "`masks/` holds images".
    """

    certainty: Certainty
    reason: str


@dataclass(frozen=True)
class Records:
    """The annotated images of a data set as a format reads them.

    Attributes:
        pairs: image and mask files, in any order. A stem is the image's path below its root without ending; the table
            shortens it to the file name where that is unique. Annotations that are no masks, such as polygons, are
            drawn once into the cache (`$SAMTUNE_CACHE`).
        problems: images without mask, masks without image, names that fit in several ways, files that are missing.
        notes: what was left out or assumed, as sentences.
        options: the user's options, completed by what the format itself states, such as the class names.
    """

    pairs: tuple[Pair, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    options: DataOptions


class Format(Protocol):
    """One annotation format: a file in this folder, and a row in `table.FORMATS`."""

    name: str
    """The word in front of a path that names this format (`name:PATH`): lower-case letters and `_`."""

    expects: str
    """What the format reads, as a noun phrase: "a CSV or TSV manifest with the columns image,mask"."""

    def detect(self, images: Path, masks: Path | None) -> Detection | None:
        """Return how sure the format is that these paths hold its data, or None if they do not.

        Looks at names and at the first bytes of files alone, so that every format can be asked. Changes nothing and
        raises nothing for data of other formats.

        Args:
            images: the folder or file that the user named first; it may be missing.
            masks: the folder or file that the user named second, None without one.
        """
        ...

    def read(self, images: Path, masks: Path | None, options: DataOptions) -> Records:
        """Return the records of a data set; pixels are read later.

        Args:
            images: as for `detect`.
            masks: as for `detect`.
            options: what the user stated about the masks.

        Raises:
            DataError: nothing can be read. Problems of single files are returned in `Records.problems`, so that all of
                them are reported together.
        """
        ...
