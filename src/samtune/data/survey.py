"""One pass over a folder of images and masks: pairs, headers, mask values, and everything that is wrong."""

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
from samtune.types import Pair, Problem

if TYPE_CHECKING:
    from samtune.data.images.raw import Header
    from samtune.data.masks import MaskEncoding
    from samtune.data.options import DataOptions


@dataclass(frozen=True)
class Survey:
    """What one pass found; `pairs`, `headers` and `stats` run in parallel and hold only what could be read.

    Attributes:
        pairs: the readable pairs, sizes not yet compared.
        headers: of each image.
        stats: of each mask.
        inference: the encoding of the masks.
        problems: all of them.
        notes: sentences on what was left out, scaled or guessed; the encoding's own sentence is not among
            them.
        drawn_on: "shown" or "stored", as said or inferred; see `infer_orientations`.
    """

    pairs: tuple[Pair, ...]
    headers: tuple[Header, ...]
    stats: tuple[MaskStats, ...]
    inference: InferredEncoding
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    drawn_on: str | None = None


def survey(images: Path | str, masks: Path | str | None, options: DataOptions, *, allow_empty: bool = False) -> Survey:
    """Look at every pair once: image headers, mask values.

    Args:
        images: as for `find_pairs`.
        masks: as for `find_pairs`.
        options: what the masks alone cannot say.
        allow_empty: accept masks without any object, where `options` say the classes.

    Raises:
        DataError: a folder or the manifest does not exist or has no known shape.
    """
    found = find_pairs(images, masks, options)
    options = found.options
    problems = list(found.problems)
    if not found.pairs and not any(problem.stops_training for problem in problems):
        problems.insert(0, Problem("no_pairs", str(images), "there are no images", "check the path", True))
    pairs, headers, stats, clauses = [], [], [], []
    for pair in track(found.pairs, "reading masks", len(found.pairs)):
        image, mask = _image(pair.image, problems), _mask(pair.mask, problems)
        if image is not None and mask is not None:
            header, said = image
            pairs.append(pair)
            headers.append(header)
            clauses.append(said)
            stats.append(mask)
            if mask.pages > 1 and header.pages == 1 and header.hw == mask.hw:
                problems.append(_pages_problem(mask))
    turns = infer_orientations(pairs, headers, stats, options)
    problems += turns.problems
    for pair, header, mask in zip(turns.pairs, headers, stats, strict=True):
        if header.hw != mask.hw and pair.mask_orientation == 1:
            problems.append(size_problem(header, mask))
    inference = infer_encoding(stats, options)
    if allow_empty and {problem.kind for problem in inference.problems} == {"no_foreground"}:
        inference = infer_empty(stats, options) or inference
    elif not allow_empty and inference.encoding is not None and not _has_objects(stats, inference.encoding):
        what = f"no mask has any object ({inference.encoding.sentence[0].lower()}{inference.encoding.sentence[1:]})"
        problems.append(Problem("no_foreground", "masks", what, "draw the objects, or check the options", True))
    problems += inference.problems
    notes = [*found.notes, *_told(clauses, stats), *turns.notes, *inference.notes, *_inverted(stats, inference)]
    return Survey(turns.pairs, tuple(headers), tuple(stats), inference, tuple(problems), tuple(notes), turns.drawn_on)


def _has_objects(stats: list[MaskStats], encoding: MaskEncoding) -> bool:
    return any(encoding.count(s)[1:-1].any() for s in stats)


def unreadable(path: Path, error: DataError) -> Problem:
    """A file that no decoder takes, as a problem that stops training."""
    what = str(error).removeprefix(f"{path}: ")
    return Problem("unreadable", str(path), what, "replace or remove it", True)


def _image(path: Path, problems: list[Problem]) -> tuple[Header, list[str]] | None:
    """The header of an image and what reading it changes; decoded only where the header does not tell all."""
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
    try:
        return survey_mask(path)
    except DataError as error:
        problems.append(unreadable(path, error))
        return None


def size_problem(header: Header, mask: MaskStats) -> Problem:
    """An image and a mask of different sizes; says so if the mask fits the image before its EXIF rotation."""
    (h, w), (mask_h, mask_w) = header.hw, mask.hw
    what = f"is {mask_h} x {mask_w} (rows x columns) but its image is {h} x {w}"
    mend = "export the mask at its image's size, or let samtune doctor --fix resize it if the shape agrees"
    if header.orientation >= 5 and (mask_w, mask_h) == (h, w):
        what += ": it was drawn before the image's EXIF rotation"
        mend = "say `--drawn-on stored`, or let samtune doctor --fix turn it like its image"
    return Problem("size_differs", str(mask.path), what, mend, True)


def _pages_problem(mask: MaskStats) -> Problem:
    """A mask of several pages beside an image of one: they may be its classes, and the first alone is one of them."""
    what = "has several pages but its image has one, and which page is the mask is not said: one for each class?"
    mend = "save one page in which each class has its value"
    return Problem("mask_pages", str(mask.path), what, mend, True)


def _inverted(stats: list[MaskStats], inference: InferredEncoding) -> list[str]:
    """A sentence on masks that are shown inverted, unless that of their encoding says so or reads what is shown."""
    num, encoding = sum(s.inverted for s in stats), inference.encoding
    if not num or encoding is None or encoding.reads not in ("value", "unit") or "shown inverted" in encoding.sentence:
        return []
    return [f"{num} mask(s) are shown inverted; the stored values count"]


def _told(clauses: list[list[str]], stats: list[MaskStats]) -> list[str]:
    """Sentences on what reading changed, counted over the folder."""
    notes = count_notes(clauses)
    paged = sum(s.pages > 1 for s in stats)
    if paged:
        notes.append(f"{paged} mask(s) have several pages: only the first is used")
    return notes
