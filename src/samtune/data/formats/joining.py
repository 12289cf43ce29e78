"""Several mask files per image, joined into one mask in the cache.

Only binary masks are joined, and only if their meaning is clear: files that differ in a number are objects (one class,
or one id each), sub-folders are classes. Masks of different name patterns or values, and classes that overlap, are
problems.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.formats.manifest import SPLITS
from samtune.data.formats.pairing import OTHER_FOLDER, manifest_lines, pattern_of, unpaired_problem
from samtune.data.images.decoding import decode
from samtune.data.masks import cached_mask, stamp
from samtune.data.masks.inference.thresholds import MAX_MIDDLE_SHARE, MIDDLE
from samtune.data.options import MAX_CLASSES, NOT_CLASSES
from samtune.errors import DataError
from samtune.types import IGNORE, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.data.formats.pairing import Hit, Matches, Named
    from samtune.data.images.raw import Raw
    from samtune.data.options import DataOptions

MAX_OVERLAP = 0.01
"""Two classes may overlap, along their borders, in at most this share of the smaller one's pixels."""


@dataclass
class Joined:
    """The mask of each image.

    Attributes:
        masks: image -> its mask file.
        problems: images without a mask, and masks that cannot be joined.
        notes: what was joined, as sentences.
        class_names: names of the sub-folders that are classes; empty if there are none.
    """

    masks: dict[Named, Path] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    class_names: tuple[str, ...] = ()


def join(matches: Matches, options: DataOptions) -> Joined:
    """Return the mask of each image: its only mask, or all of its masks joined."""
    joined = Joined()
    for image in matches.hits:
        if not matches.hits[image] and image not in matches.ambiguous:
            what, mend = "has no mask of the same stem", "add the mask, or leave the image out"
            joined.problems.append(unpaired_problem(image, what, mend))
    hits = {image: image_hits for image, image_hits in matches.hits.items() if image_hits}
    folders = _class_folders(hits)
    if folders:
        _join_classes(hits, folders, options, joined)
    else:
        _join_objects(hits, options, joined)
    return joined


def _join_objects(hits: dict[Named, list[Hit]], options: DataOptions, joined: Joined) -> None:
    unlike: dict[tuple[str, ...], list[tuple[Named, list[Hit]]]] = defaultdict(list)
    merged: list[tuple[Named, list[Hit]]] = []
    for image, image_hits in hits.items():
        if len(image_hits) == 1:
            joined.masks[image] = image_hits[0].mask.file
        elif _are_objects(image_hits):
            try:
                joined.masks[image] = _union(image, image_hits, as_ids=options.instances is True)
                merged.append((image, image_hits))
            except (_CannotJoinError, DataError) as error:
                joined.problems.append(_problem_of(error))
        else:
            unlike[tuple(sorted({pattern_of(hit) for hit in image_hits}))].append((image, image_hits))
    for patterns, examples in unlike.items():
        image, image_hits = examples[0]
        files = ", ".join(hit.mask.inner for hit in image_hits[1:5])
        shown = " and ".join(f"`{pattern}`" for pattern in patterns)
        what = f"is not the only mask of its image: {files} ({len(examples)} image(s) have masks named {shown})"
        mend = f"keep one kind, or name the pairs in a CSV manifest ({manifest_lines([image], [image_hits[0].mask])})"
        joined.problems.append(Problem("stem_twice", str(image_hits[0].mask.file), what, mend, True))
    if merged:
        image, image_hits = merged[0]
        files = ", ".join(hit.mask.inner for hit in image_hits[:4]) + (", ..." if len(image_hits) > 4 else "")
        how = (
            "one id per file"
            if options.instances is True
            else "joined; a pixel of any of them is foreground (pass `--instances` to keep each file as one object)"
        )
        joined.notes.append(f"{len(merged)} image(s) have several mask files ({files} for {image.inner}): {how}")


def _are_objects(image_hits: list[Hit]) -> bool:
    """Return whether the names of an image's masks differ only in a number."""
    numbers = [hit.number for hit in image_hits]
    alike = len({(hit.mask.folder, hit.patterns[1].casefold()) for hit in image_hits}) == 1
    return alike and len(set(numbers)) == len(numbers)


def _class_folders(hits: dict[Named, list[Hit]]) -> list[str]:
    """Return the sub-folders of masks that may be classes; empty unless they hold all masks."""
    folders = set()
    several = False
    for image, image_hits in hits.items():
        inside = {_class_of(image, hit) for hit in image_hits}
        if "" in inside or any(hit.cost < OTHER_FOLDER for hit in image_hits):
            return []
        several = several or len(inside) > 1
        folders |= inside
    if all(folder.lower() in SPLITS for folder in folders):
        return []
    return sorted(folders) if several or (len(folders) > 1 and len({image.folder for image in hits}) == 1) else []


def _class_of(image: Named, hit: Hit) -> str:
    """Return a mask's folder without that of its image: `cat` for a mask in `train/cat` of an image in `train`."""
    folder = hit.mask.folder
    if image.folder and folder.startswith(f"{image.folder}/"):
        return folder[len(image.folder) + 1 :]
    return folder[: -len(image.folder) - 1] if image.folder and folder.endswith(f"/{image.folder}") else folder


def _join_classes(hits: dict[Named, list[Hit]], folders: list[str], options: DataOptions, joined: Joined) -> None:
    names = tuple(folder for folder in folders if folder.lower() not in NOT_CLASSES)
    problem = _class_problem(hits, folders, names, options)
    if problem is not None:
        joined.problems.append(problem)
        return
    names = options.class_names or names
    labels = {folder: label for label, folder in enumerate(names, start=1)}
    labels |= {folder: 0 if folder.lower() == "background" else IGNORE for folder in folders if folder not in labels}
    for image, image_hits in hits.items():
        by_label: dict[int, list[Hit]] = defaultdict(list)
        for hit in image_hits:
            by_label[labels[_class_of(image, hit)]].append(hit)
        unlike = next((each for each in by_label.values() if len(each) > 1 and not _are_objects(each)), None)
        if unlike is not None:
            what = f"is not the only mask of its image and class: {', '.join(hit.mask.inner for hit in unlike[1:5])}"
            joined.problems.append(Problem("stem_twice", str(unlike[0].mask.file), what, "keep one of them", True))
            continue
        try:
            joined.masks[image] = _class_map(image, by_label)
        except (_CannotJoinError, DataError) as error:
            joined.problems.append(_problem_of(error))
    if not joined.masks:
        return
    joined.class_names = names
    example = next(image_hits for image_hits in hits.values() if len(image_hits) > 1)
    joined.notes.append(
        f"The sub-folders of masks ({_list_folders(folders)}) hold one mask per class, such as "
        f"{' and '.join(hit.mask.inner for hit in example[:2])}: read as the classes {', '.join(names)}"
    )


def _class_problem(
    hits: dict[Named, list[Hit]], folders: list[str], names: tuple[str, ...], options: DataOptions
) -> Problem | None:
    """Return a problem if the sub-folders cannot be classes or may not be; else None.

    Args:
        hits: image -> its masks.
        folders: all sub-folders, sorted.
        names: the sub-folders without those of background and ignored pixels.
        options: the classes that the user expects.
    """
    image, image_hits = max(hits.items(), key=lambda item: len(item[1]))
    shown, where = _list_folders(folders), str(image_hits[0].mask.file.parent.parent)
    manifest = f"name the pairs in a CSV manifest ({manifest_lines([image], [image_hits[0].mask])})"
    if all(len({hit.mask.folder for hit in each}) == 1 for each in hits.values()):
        what = f"has the sub-folders {shown}, which the images lack, and one mask per image, so they may be classes"
        mend = f"if they are, write one mask per image with an id per class; if not, {manifest}"
        return Problem("ambiguous_pair", where, what, mend, True)
    expected = options.class_names
    if (expected is not None and set(expected) != set(names)) or options.num_classes not in (None, len(names)):
        classes = f"{options.num_classes} classes" if expected is None else f"the classes {', '.join(expected)}"
        what = f"has one sub-folder per class ({shown}); expected {classes}"
        return Problem("fewer_classes", where, what, "name the classes like the sub-folders, or leave them out", True)
    if len(names) > MAX_CLASSES:
        what = f"has {len(names)} sub-folders; expected at most {MAX_CLASSES} classes"
        return Problem("too_many_classes", where, what, f"merge classes, or {manifest}", True)
    return None


def _list_folders(folders: list[str]) -> str:
    return ", ".join(f"{folder}/" for folder in folders[:6]) + (", ..." if len(folders) > 6 else "")


class _CannotJoinError(Exception):
    """A mask cannot be joined with the others of its image."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


def _problem_of(error: _CannotJoinError | DataError) -> Problem:
    if isinstance(error, _CannotJoinError):
        return error.problem
    file, _, what = str(error).partition(": ")
    return Problem("unreadable", file, what or str(error), "replace or remove it", True)


def _union(image: Named, image_hits: list[Hit], *, as_ids: bool) -> Path:
    """Return the file of an image's joined masks."""

    def make() -> np.ndarray:
        planes = _planes(image_hits)
        if as_ids:
            ids = np.zeros(planes[0].plane.shape, np.uint16)
            for number, part in enumerate(planes, start=1):
                ids[part.inside] = number
            return ids
        pixels = np.maximum.reduce([part.pixels for part in planes])
        return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])

    stamps = [stamp(hit.mask.file) for hit in image_hits]
    return cached_mask("joined", image.inner, ("ids" if as_ids else "union", stamps), make)


def _class_map(image: Named, parts: dict[int, list[Hit]]) -> Path:
    """Return the file of an image's class map; where classes overlap, the one with fewer pixels is on top."""

    def make() -> np.ndarray:
        inside = {label: np.logical_or.reduce([p.inside for p in _planes(hits)]) for label, hits in parts.items()}
        ordered = sorted(inside, key=lambda label: (-int(inside[label].sum()), label))
        ids = np.zeros(next(iter(inside.values())).shape, np.uint8)
        covered = np.zeros(ids.shape, bool)
        for label in ordered:
            both = int((inside[label] & covered).sum())
            if both > MAX_OVERLAP * max(1, int(inside[label].sum())):
                mask = parts[label][0].mask
                other = parts[int(np.bincount(ids[inside[label] & covered]).argmax())][0].mask.inner
                what = f"overlaps {other} in {both} pixels, so their folders cannot be classes"
                mend = f"pass one sub-folder as masks, such as {mask.file.parent}, or draw each pixel in one class"
                raise _CannotJoinError(Problem("classes_overlap", str(mask.file), what, mend, True))
            covered |= inside[label]
            ids[inside[label]] = label
        return ids

    stamps = [stamp(hit.mask.file) for label in sorted(parts) for hit in parts[label]]
    return cached_mask("joined", image.inner, ("classes", sorted(parts), stamps), make)


@dataclass(frozen=True)
class _BinaryMask:
    """One binary mask.

    Attributes:
        pixels: grey (H, W) or RGB (H, W, 3).
        plane: (H, W), 0 where nothing is drawn.
        inside: bool (H, W), the object.
    """

    pixels: np.ndarray
    plane: np.ndarray
    inside: np.ndarray


def _planes(image_hits: list[Hit]) -> list[_BinaryMask]:
    """Return the decoded masks of an image, after checking that they can be joined.

    Raises:
        DataError: a file is damaged.
        _CannotJoinError: their sizes or values differ, or a mask is not binary.
    """
    parts: list[_BinaryMask] = []
    top = None
    for hit in image_hits:
        file = hit.mask.file
        pixels, plane = _grey_or_rgb(decode(file))
        if parts and plane.shape != parts[0].plane.shape:
            rows, columns = plane.shape
            what = f"is {rows} x {columns} (rows x columns), unlike {image_hits[0].mask.inner} of the same image"
            raise _CannotJoinError(
                Problem("size_differs", str(file), what, "export all masks at the image's size", True)
            )
        highest = int(plane.max())
        others = np.unique(plane)
        others = others[(others != 0) & (others != highest)]
        if others.size and not _is_soft(plane, highest):
            what = (
                f"holds the values {[0, *others[:6].tolist(), highest]}, so it cannot be joined with the other masks "
                f"of its image ({', '.join(other.mask.inner for other in image_hits[:3] if other is not hit)})"
            )
            mend = "keep one mask per image, or save each object as a binary mask"
            raise _CannotJoinError(Problem("stem_twice", str(file), what, mend, True))
        if highest and top is not None and top != highest and not others.size:
            what = f"has the value {highest}, another mask of its image {top}, so the masks may be classes or objects"
            mend = "save one mask per image with an id per class, or use one value for all objects"
            raise _CannotJoinError(Problem("stem_twice", str(file), what, mend, True))
        top = top or highest or None
        parts.append(_BinaryMask(pixels, plane, plane > highest / 2 if highest else np.zeros(plane.shape, bool)))
    if len({(part.pixels.ndim, part.pixels.dtype) for part in parts}) > 1 or parts[0].pixels.dtype.kind not in "u":
        parts = [_BinaryMask(part.inside.astype(np.uint8) * np.uint8(255), part.plane, part.inside) for part in parts]
    return parts


def _grey_or_rgb(raw: Raw) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels as grey (H, W) or RGB (H, W, 3), and one plane (H, W) that is 0 where nothing is drawn."""
    pixels = raw.pixels if raw.palette is None else raw.palette[raw.pixels]
    if pixels.ndim == 2:
        return pixels, pixels
    colour = pixels
    if raw.header.has_alpha:
        alpha = pixels[..., -1]
        if int(alpha.min()) != int(alpha.max()):
            return alpha, alpha
        colour = pixels[..., :-1]
    plane: np.ndarray = colour.max(axis=2)
    return (plane if bool((colour == colour[..., :1]).all()) else colour), plane


def _is_soft(plane: np.ndarray, highest: int) -> bool:
    """Return whether 8-bit values are 0 and 255 with blurred edges or compression noise."""
    if plane.dtype != np.uint8 or highest <= MIDDLE[1]:
        return False
    middle = (plane > MIDDLE[0]) & (plane < MIDDLE[1])
    return float(middle.mean()) <= MAX_MIDDLE_SHARE
