"""Orientation of masks whose images have an EXIF orientation.

Viewers and annotation tools differ in whether they apply it, so a mask may be drawn on the image as displayed or as
stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from samtune.types import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.images.raw import Header
    from samtune.data.masks.statistics import MaskStats
    from samtune.data.options import DataOptions
    from samtune.types import Pair


@dataclass(frozen=True)
class MaskOrientations:
    """The orientations of the masks of a folder.

    Attributes:
        pairs: the pairs, with `Pair.mask_orientation` set.
        problems: masks whose orientation is ambiguous, or contradicts the user's option.
        notes: what was inferred or done, as sentences.
        drawn_on: "shown" or "stored", from the user or inferred; None if the sizes left no mask ambiguous.
    """

    pairs: tuple[Pair, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    drawn_on: str | None = None


def infer_orientations(
    pairs: Sequence[Pair], headers: Sequence[Header], stats: Sequence[MaskStats], options: DataOptions
) -> MaskOrientations:
    """Infer which masks have to be rotated or mirrored like their images.

    A quarter turn of an image that is not square shows in the size of its mask; a square image, a half turn and a
    mirror image do not. For those, the other pairs of the folder decide; if they cannot, the result has a problem that
    the user solves with `drawn_on`. A mask with an EXIF orientation of its own has already been rotated by it, and a
    mask of a single value is the same either way.

    Args:
        pairs: images and masks.
        headers: of the images, in the order of `pairs`.
        stats: of the masks, in the order of `pairs`.
        options: `drawn_on`, if given, decides.
    """
    rotated = [i for i, header in enumerate(headers) if header.orientation != 1 and stats[i].orientation == 1]
    as_shown = [i for i in rotated if stats[i].hw == headers[i].hw]
    as_stored = [i for i in rotated if stats[i].hw == _stored_hw(headers[i])]
    both = [i for i in as_shown if i in set(as_stored)]
    if options.drawn_on == "stored":
        return _rotate(pairs, headers, stats, as_stored, [i for i in as_shown if i not in set(both)])
    ambiguous = [i for i in both if stats[i].num_values > 1]
    if options.drawn_on == "shown" or not ambiguous:
        return MaskOrientations(tuple(pairs), drawn_on=options.drawn_on)
    if len(as_shown) > len(both) and len(as_stored) == len(both):
        note = (
            f"EXIF rotates {len(ambiguous)} image(s) without changing their size; their masks were assumed to be drawn "
            f"on the images as shown, like {len(as_shown) - len(both)} other(s) of the folder"
        )
        return MaskOrientations(tuple(pairs), notes=(note,), drawn_on="shown")
    first = ambiguous[0]
    what = (
        f"may be drawn on its image as shown or as stored: the image's EXIF orientation is "
        f"{headers[first].orientation}, which keeps its size ({len(ambiguous)} such mask(s))"
    )
    mend = (
        "compare the mask with the image in a viewer; pass `--drawn-on shown` if they fit, `--drawn-on stored` if the "
        "mask needs the image's rotation"
    )
    return MaskOrientations(tuple(pairs), (Problem("turned_image", str(pairs[first].mask), what, mend, True),))


def _rotate(
    pairs: Sequence[Pair],
    headers: Sequence[Header],
    stats: Sequence[MaskStats],
    as_stored: list[int],
    contradicting: list[int],
) -> MaskOrientations:
    """Rotate the masks that fit their images as stored; report those that fit only as shown."""
    rotated = list(pairs)
    for i in as_stored:
        rotated[i] = replace(pairs[i], mask_orientation=headers[i].orientation)
    notes: tuple[str, ...] = ()
    if as_stored:
        notes = (f"{len(as_stored)} mask(s) drawn on images as stored were rotated by the images' EXIF orientation",)
    problems = []
    for i in contradicting:
        (height, width), (rows, columns) = _stored_hw(headers[i]), stats[i].hw
        what = (
            f"is {rows} x {columns} (rows x columns) like its image as shown; with `--drawn-on stored`, expected "
            f"{height} x {width}"
        )
        mend = "pass `--drawn-on shown` if no mask has to be rotated, or export all masks in the same way"
        problems.append(Problem("turned_image", str(pairs[i].mask), what, mend, True))
    return MaskOrientations(tuple(rotated), tuple(problems), notes, "stored")


def _stored_hw(header: Header) -> tuple[int, int]:
    """Return rows and columns before the EXIF rotation."""
    height, width = header.hw
    return (width, height) if header.orientation >= 5 else (height, width)
