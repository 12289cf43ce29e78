"""`inspect`: all problems of a data set at once, each with its file and its remedy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from samtune.data.images.decoding import decode
from samtune.data.images.duplicates import duplicate_groups, thumbnail
from samtune.data.images.reading import content_id, to_rgb
from samtune.data.options import DataOptions
from samtune.data.survey import survey, unreadable
from samtune.errors import DataError
from samtune.progress import track
from samtune.types import IGNORE, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.data.masks import MaskEncoding
    from samtune.data.survey import Survey
    from samtune.types import Pair

CELL_PIXELS = 4
"""Pixels of the encoder's input along a side of one cell of the mask logits, for every SAM."""

MAX_INVERTED, MAX_SHARE_OF_OTHERS = 0.25, 0.25
"""Largest share of mostly foreground masks among all masks, and largest median share of foreground in the other masks,
with which the former are reported as inverted."""

MIN_RIM = 0.9
"""Smallest share of foreground along the border of an inverted mask."""


@dataclass(frozen=True)
class Findings:
    """Problems of a data set and notes on it: the result of `inspect`, or of `mend`.

    Attributes:
        num_pairs: number of images with a mask (`mend`: of written pairs).
        num_classes: K; 0 if the masks cannot be read.
        problems: sorted, those that stop training first.
        notes: what was inferred or changed, as sentences.
    """

    num_pairs: int
    num_classes: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    @property
    def stops_training(self) -> bool:
        """Whether `open_dataset` refuses this data."""
        return any(problem.stops_training for problem in self.problems)

    def as_json(self) -> dict[str, Any]:
        """Return num_pairs, num_classes, problems (fields of `Problem`) and notes in plain JSON types."""
        return {
            "num_pairs": self.num_pairs,
            "num_classes": self.num_classes,
            "problems": [asdict(problem) for problem in self.problems],
            "notes": list(self.notes),
        }


def inspect(
    images: Path | str,
    masks: Path | str | None = None,
    options: DataOptions | None = None,
    *,
    image_size: int | None = None,
) -> Findings:
    """Read every image and every mask and return all problems; changes nothing.

    Args:
        images: as for `open_dataset`.
        masks: as for `open_dataset`.
        options: as for `open_dataset`.
        image_size: of the encoder's input in pixels, to find objects smaller than one cell of the model's output;
            None skips that.

    Raises:
        DataError: as for `find_pairs`.
    """
    result = survey(images, masks, options or DataOptions())
    problems = list(result.problems)
    reported = {problem.file for problem in problems if problem.kind == "unreadable"}
    thumbnails, identities, readable = [], [], []
    for pair in track(result.pairs, "reading images", len(result.pairs)):
        try:
            image = to_rgb(decode(pair.image), pair.image)
        except DataError as error:
            if str(pair.image) not in reported:
                problems.append(unreadable(pair.image, error))
            continue
        thumbnails.append(thumbnail(image))
        identities.append(content_id(image))
        readable.append(pair)
    for group in duplicate_groups(thumbnails, identities):
        problems += _duplicates([readable[i] for i in group], len({identities[i] for i in group}) == 1)
    jpeg = {problem.file for problem in problems if problem.kind == "jpeg_mask"}
    problems += [
        Problem("jpeg_mask", str(s.path), "is a JPEG, which blurs labels", "save masks as PNG", False)
        for s in result.stats
        if s.lossy and str(s.path) not in jpeg
    ]
    encoding = result.inference.encoding
    notes = list(result.notes)
    if encoding is not None:
        notes.insert(0, encoding.sentence)
        problems += _mask_problems(result, encoding, image_size)
        problems += _class_problems(result, encoding)
    problems.sort(key=lambda problem: not problem.stops_training)
    num_classes = encoding.num_classes if encoding is not None else 0
    return Findings(len(result.pairs), num_classes, tuple(problems), tuple(notes))


def _duplicates(pairs: list[Pair], exact: bool) -> list[Problem]:
    """Return a problem for a group of similar images, unless group and split already keep them together."""
    splits, groups = {pair.split for pair in pairs}, {pair.group for pair in pairs}
    names = ", ".join(pair.image.name for pair in pairs[1:5]) + (", ..." if len(pairs) > 5 else "")
    same = "the same as" if exact else "nearly the same as"
    if len(splits) > 1:
        what = f"is {same} {names}, in another part of the split ({', '.join(sorted(str(s) for s in splits))})"
        mend = "keep such images in one part, or the scores will be too good"
        return [Problem("duplicate_across_split", str(pairs[0].image), what, mend, False)]
    if len(groups) == 1 and None not in groups and not exact:
        return []
    mend = "leave out the copies" if exact else "give them one group in a manifest, so that no split separates them"
    kind = "duplicate" if exact else "near_duplicate"
    return [Problem(kind, str(pairs[0].image), f"is {same} {names}", mend, False)]


def _class_problems(result: Survey, encoding: MaskEncoding) -> list[Problem]:
    """Return problems of classes that occur in only one image, or not in a named part of the split."""
    names = result.inference.class_names
    if len(names) < 2:
        return []
    present = np.stack([encoding.count(stats)[1:-1] > 0 for stats in result.stats])
    problems = []
    for name, has_class in zip(names, present.T, strict=True):
        if has_class.sum() == 1:
            only = result.pairs[int(has_class.argmax())].image.name
            what = f"class {name} occurs in only one image ({only}), so training or validation lacks it"
            problems.append(Problem("rare_class", "masks", what, "draw it in more images, or merge it", False))
    for part, word in (("train", "training"), ("val", "validation")):
        inside = np.array([pair.split == part for pair in result.pairs])
        absent = [name for name, occurs in zip(names, present[inside].any(axis=0).tolist(), strict=True) if not occurs]
        if inside.any() and absent:
            what = f"{len(absent)} of {len(names)} classes are in no {word} image: {', '.join(absent[:10])}"
            problems.append(
                Problem("missing_class", "masks", what, "move images between the parts of the split", False)
            )
    return problems


def _mask_problems(result: Survey, encoding: MaskEncoding, image_size: int | None) -> list[Problem]:
    """Return problems of empty, full and inverted masks, and of small objects."""
    problems = []
    for stats in track(result.stats, "checking objects", len(result.stats)):
        counts = encoding.count(stats)
        foreground, background = int(counts[1:-1].sum()), int(counts[0])
        if foreground == 0:
            what = "has no object" if not counts[-1] else "has no object besides ignored pixels"
            mend = "fine if the image shows none; else draw it"
            problems.append(Problem("empty_mask", str(stats.path), what, mend, False))
        elif background == 0 and encoding.num_classes == 1:
            what = "is foreground everywhere"
            problems.append(Problem("full_mask", str(stats.path), what, "check that it is not inverted", False))
        elif image_size is not None:
            problems += _small_objects(stats.path, encoding, image_size)
    return problems + (_inverted_masks(result, encoding) if encoding.num_classes == 1 else [])


def _inverted_masks(result: Survey, encoding: MaskEncoding) -> list[Problem]:
    """Return problems of masks that are mostly foreground, also along the border, while the others are background."""
    counts = np.array([encoding.count(stats)[:2] for stats in result.stats], np.float64)
    shares = counts[:, 1] / np.maximum(counts.sum(axis=1), 1)
    mostly = (shares > 0.5) & (shares < 1)
    others = shares[~mostly]
    if not mostly.any() or mostly.sum() > MAX_INVERTED * len(shares) or np.median(others) > MAX_SHARE_OF_OTHERS:
        return []
    what = "is {:.0%} foreground, and the masks of its folder are {:.0%} in the median"
    mend = "check it, and invert it if object and background are swapped"
    return [
        Problem("inverted_mask", str(stats.path), what.format(share, np.median(others)), mend, False)
        for stats, share, is_mostly in zip(result.stats, shares, mostly, strict=True)
        if is_mostly and 1 - share <= 1.5 * others.max() and _rim_share(encoding.read(stats.path)) >= MIN_RIM
    ]


def _rim_share(labels: np.ndarray) -> float:
    """Return the share of foreground among the outermost pixels of a label map (H, W)."""
    rim = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    return float((rim == 1).mean())


def _small_objects(path: Path, encoding: MaskEncoding, image_size: int) -> list[Problem]:
    """Return a problem if connected objects of one class cover less than one cell of the mask logits."""
    labels = encoding.read(path)
    min_area = (CELL_PIXELS * max(labels.shape) / image_size) ** 2
    small = total = 0
    for label in np.unique(labels):
        if label in (0, IGNORE):
            continue
        _, _, areas, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8), connectivity=8)
        small += int((areas[1:, cv2.CC_STAT_AREA] < min_area).sum())
        total += len(areas) - 1
    if not small:
        return []
    what = (
        f"has {small} of {total} objects ({100 * small / total:.0f} %) smaller than one cell of the model's "
        f"output ({min_area:.1f} pixels of this image at an input size of {image_size})"
    )
    mend = "cut the images into tiles or use a larger input size; remove the objects if they are specks"
    return [Problem("small_objects", str(path), what, mend, False)]
