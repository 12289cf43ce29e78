"""The survey of a data set: one pass over images and masks for pairs, headers, mask values and all problems."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from samtune.data.formats.table import find_pairs
from samtune.data.images.decoding import decode, is_complete, read_header
from samtune.data.images.reading import count_notes, header_notes, image_notes
from samtune.data.masks import (
    InferredEncoding,
    MaskStats,
    infer_empty,
    infer_encoding,
    infer_orientations,
    survey_mask,
)
from samtune.errors import DataError
from samtune.progress import track
from samtune.text import count
from samtune.types import Pair, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.images.raw import Header
    from samtune.data.masks import MaskEncoding
    from samtune.data.options import DataOptions


@dataclass(frozen=True)
class Survey:
    """The result of one pass; `pairs`, `headers` and `stats` are parallel and hold only readable pairs.

    Attributes:
        pairs: the readable pairs; the sizes of image and mask may differ.
        headers: the header of each image.
        stats: the statistics of each mask.
        inference: the encoding of the masks.
        problems: everything that is wrong with the data.
        notes: sentences on what was left out, scaled or guessed, without the sentence of the encoding.
        drawn_on: "shown" or "stored", as stated or inferred; see `infer_orientations`.
    """

    pairs: tuple[Pair, ...]
    headers: tuple[Header, ...]
    stats: tuple[MaskStats, ...]
    inference: InferredEncoding
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    drawn_on: str | None = None


def survey(images: Path | str, masks: Path | str | None, options: DataOptions, *, allow_empty: bool = False) -> Survey:
    """Read the header of every image and the values of every mask.

    Args:
        images: as for `find_pairs`.
        masks: as for `find_pairs`.
        options: how masks are read where the files leave it open.
        allow_empty: accept masks without any object, if `options` names the classes.

    Raises:
        DataError: as for `find_pairs`. Problems of single files are returned, not raised.
    """
    records = find_pairs(images, masks, options)
    options = records.options
    problems = list(records.problems)
    if not records.pairs and not any(problem.stops_training for problem in problems):
        problems.insert(0, Problem("no_pairs", str(images), "there are no images", "check the path", True))
    pairs, headers, stats, clauses = _read(records.pairs, problems)
    orientations = infer_orientations(pairs, headers, stats, options)
    problems += orientations.problems
    for pair, header, mask in zip(orientations.pairs, headers, stats, strict=True):
        if header.hw != mask.hw and pair.mask_orientation == 1:
            problems.append(size_problem(header, mask))
    inference = infer_encoding(stats, options)
    if allow_empty and {problem.kind for problem in inference.problems} == {"no_foreground"}:
        inference = infer_empty(stats, options) or inference
    elif not allow_empty and inference.encoding is not None and not _has_objects(stats, inference.encoding):
        what = f"no mask has any object ({inference.encoding.sentence[0].lower()}{inference.encoding.sentence[1:]})"
        problems.append(Problem("no_foreground", "masks", what, "draw the objects, or check the options", True))
    problems += inference.problems
    notes = [
        *records.notes,
        *_reading_notes(clauses, stats),
        *orientations.notes,
        *inference.notes,
        *_inverted(stats, inference.encoding),
    ]
    return Survey(
        orientations.pairs,
        tuple(headers),
        tuple(stats),
        inference,
        tuple(problems),
        tuple(notes),
        orientations.drawn_on,
    )


def _read(
    pairs: Sequence[Pair], problems: list[Problem]
) -> tuple[list[Pair], list[Header], list[MaskStats], list[list[str]]]:
    """Read the headers of images and the values of masks; what is wrong with a file is added to the problems.

    Returns:
        The readable pairs, and for each of them the header of its image, the statistics of its mask, and what reading
        changes in its image.
    """
    readable, headers, stats, clauses = [], [], [], []
    for pair in track(pairs, "reading masks", len(pairs)):
        image, mask = _image(pair.image, problems), _mask(pair.mask, problems)
        if image is not None and mask is not None:
            header, changes = image
            readable.append(pair)
            headers.append(header)
            clauses.append(changes)
            stats.append(mask)
            if mask.pages > 1 and header.pages == 1 and header.hw == mask.hw:
                problems.append(_pages_problem(mask))
    return readable, headers, stats, clauses


def _has_objects(stats: list[MaskStats], encoding: MaskEncoding) -> bool:
    """Return whether any mask has a pixel of a class."""
    return any(encoding.count(s)[1:-1].any() for s in stats)


def unreadable(path: Path, error: DataError) -> Problem:
    """Return the problem of a file that cannot be decoded; it stops training."""
    what = str(error).removeprefix(f"{path}: ")
    return Problem("unreadable", str(path), what, "replace or remove it", True)


def _image(path: Path, problems: list[Problem]) -> tuple[Header, list[str]] | None:
    """Return the header of an image and what reading it changes; None if it cannot be decoded.

    Its pixels are decoded only where the header does not suffice. A failure is added to the problems.
    """
    try:
        header = read_header(path)
        if header.samples.has_bytes and is_complete(path):
            return header, header_notes(header)
        raw = decode(path)
        return header, image_notes(raw, path)
    except DataError as error:
        problems.append(unreadable(path, error))
        return None


def _mask(path: Path, problems: list[Problem]) -> MaskStats | None:
    """Return the statistics of a mask; None if it cannot be decoded, which is added to the problems."""
    try:
        return survey_mask(path)
    except DataError as error:
        problems.append(unreadable(path, error))
        return None


def size_problem(header: Header, mask: MaskStats) -> Problem:
    """Return the problem of a mask whose size differs from its image's; names an EXIF rotation that explains it."""
    (h, w), (mask_h, mask_w) = header.hw, mask.hw
    what = f"is {mask_h} x {mask_w} (rows x columns), its image {h} x {w}"
    mend = "export the mask at its image's size, or let samtune doctor --fix resize it if the shape agrees"
    if header.orientation >= 5 and (mask_w, mask_h) == (h, w):
        what += ": it was drawn before the image's EXIF rotation"
        mend = "set `--drawn-on stored`, or let samtune doctor --fix rotate it like its image"
    return Problem("size_differs", str(mask.path), what, mend, True)


def _pages_problem(mask: MaskStats) -> Problem:
    """Return the problem of a mask with several pages whose image has one; the pages may be its classes."""
    what = (
        "has several pages and its image has one, so it is unclear which page is the mask, or whether each is a class"
    )
    mend = "save one page in which each class has its value"
    return Problem("mask_pages", str(mask.path), what, mend, True)


def _inverted(stats: list[MaskStats], encoding: MaskEncoding | None) -> list[str]:
    """Return a note on masks that viewers show inverted, if the encoding reads their stored values."""
    num = sum(s.inverted for s in stats)
    if not num or encoding is None or encoding.reads not in ("value", "unit"):
        return []
    return [f"{num} of {count(len(stats), 'mask')} shown inverted; the stored values count"]


def _reading_notes(clauses: list[list[str]], stats: list[MaskStats]) -> list[str]:
    """Return sentences on what reading changed, counted over all images, and on masks of several pages."""
    notes = count_notes(clauses)
    paged = sum(s.pages > 1 for s in stats)
    if paged:
        notes.append(f"{count(paged, 'mask')} with several pages: only the first is used")
    return notes
