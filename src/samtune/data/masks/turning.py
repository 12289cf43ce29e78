"""Whether masks are drawn on images as shown, turned by EXIF, or as stored, and so must be turned as well."""

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
class Turns:
    """How the masks of a folder are turned.

    Attributes:
        pairs: with `Pair.mask_orientation` set.
        problems: the question, where neither the sizes nor the user answer it.
        notes: what was inferred or done, as sentences.
        drawn_on: "shown" or "stored" as said or inferred, None where no image is turned.
    """

    pairs: tuple[Pair, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    drawn_on: str | None = None


def settle_turns(
    pairs: Sequence[Pair], headers: Sequence[Header], stats: Sequence[MaskStats], options: DataOptions
) -> Turns:
    """Find which masks must be turned like their images.

    Viewers and annotation tools differ in whether they turn an image by its EXIF orientation. A quarter turn of an
    image that is no square shows in the size of its mask; a square one, a half turn and a mirror do not. Those are
    taken as the others of the folder are, or it is asked. A mask with an EXIF orientation of its own has been turned
    by it, and a mask of one value is the same either way.
    """
    turned = [i for i, header in enumerate(headers) if header.orientation != 1 and stats[i].orientation == 1]
    as_shown = [i for i in turned if stats[i].hw == headers[i].hw]
    as_stored = [i for i in turned if stats[i].hw == _stored_hw(headers[i])]
    both = [i for i in as_shown if i in set(as_stored)]
    if options.drawn_on == "stored":
        return _as_stored(pairs, headers, stats, as_stored, [i for i in as_shown if i not in set(both)])
    doubtful = [i for i in both if stats[i].num_values > 1]
    if options.drawn_on == "shown" or not doubtful:
        return Turns(tuple(pairs), drawn_on=options.drawn_on)
    if len(as_shown) > len(both) and len(as_stored) == len(both):
        note = (
            f"{len(doubtful)} mask(s) whose image is turned by EXIF without a change of its size are taken as drawn on "
            f"the image as shown, like {len(as_shown) - len(both)} other(s) of the folder"
        )
        return Turns(tuple(pairs), notes=(note,), drawn_on="shown")
    first = doubtful[0]
    what = (
        f"may be drawn on its image as shown or as stored: the image is turned by EXIF (orientation "
        f"{headers[first].orientation}) and keeps its size ({len(doubtful)} such mask(s)); is the mask turned as well?"
    )
    mend = (
        "look at the image in a viewer beside the mask; say `--drawn-on shown` if they fit, `--drawn-on stored` if the "
        "mask must be turned like the image"
    )
    return Turns(tuple(pairs), (Problem("turned_image", str(pairs[first].mask), what, mend, True),))


def _as_stored(
    pairs: Sequence[Pair], headers: Sequence[Header], stats: Sequence[MaskStats], turn: list[int], other: list[int]
) -> Turns:
    """Turn the masks that fit their images as stored; one that fits its image as shown alone contradicts that."""
    settled = list(pairs)
    for i in turn:
        settled[i] = replace(pairs[i], mask_orientation=headers[i].orientation)
    notes = (f"{len(turn)} mask(s) drawn on images as stored: turned like them by EXIF",) if turn else ()
    problems = []
    for i in other:
        (height, width), (rows, columns) = _stored_hw(headers[i]), stats[i].hw
        what = (
            f"is {rows} x {columns} (rows x columns) as its image is shown, but masks are said to be drawn on images "
            f"as stored, {height} x {width}"
        )
        mend = "say `--drawn-on shown` if no mask is to be turned; or export all masks alike"
        problems.append(Problem("turned_image", str(pairs[i].mask), what, mend, True))
    return Turns(tuple(settled), tuple(problems), notes, "stored")


def _stored_hw(header: Header) -> tuple[int, int]:
    """Rows and columns before the EXIF rotation."""
    height, width = header.hw
    return (width, height) if header.orientation >= 5 else (height, width)
