"""Several mask files of one image made one map: objects by union or as ids, class sub-folders as class ids.

Joined maps lie in the cache (`layouts.merging`). Only binary masks are joined, and nothing is joined in doubt: masks of
different patterns, of different values, or classes that overlap are problems that show what was found.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.formats.manifest import SPLITS
from samtune.data.formats.pairing import OTHER_FOLDER, lonely_problem, manifest_lines, pattern_of
from samtune.data.images.decoding import decode
from samtune.data.masks import cached_mask
from samtune.data.options import MAX_CLASSES, NOT_CLASSES
from samtune.errors import DataError
from samtune.types import IGNORE, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.data.formats.pairing import Hit, Matches, Named
    from samtune.data.images.raw import Raw
    from samtune.data.options import DataOptions

MIDDLE = (32, 223)
MAX_MIDDLE_SHARE = 0.1
"""A blurred binary mask has at most this share of pixels between the values of `MIDDLE`."""
MAX_OVERLAP = 0.01
"""Classes may claim this share of the smaller one's pixels in common; more is no set of classes."""


@dataclass
class Joined:
    """Masks of a folder, one for each image.

    Attributes:
        masks: image -> its mask file.
        problems: images without mask, and masks that cannot be joined.
        notes: what was joined, as sentences.
        class_names: names of the class sub-folders, empty without such.
    """

    masks: dict[Named, Path] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    class_names: tuple[str, ...] = ()


def join(matches: Matches, options: DataOptions) -> Joined:
    """Choose or make the mask of each image."""
    joined = Joined()
    for image in matches.hits:
        if not matches.hits[image] and image not in matches.unclear:
            what, mend = "has no mask of the same stem", "add the mask, or leave the image out"
            joined.problems.append(lonely_problem(image, what, mend))
    hits = {image: found for image, found in matches.hits.items() if found}
    folders = _class_folders(hits)
    if folders:
        _join_classes(hits, folders, options, joined)
    else:
        _join_objects(hits, options, joined)
    return joined


def _join_objects(hits: dict[Named, list[Hit]], options: DataOptions, joined: Joined) -> None:
    unlike: dict[tuple[str, ...], list[tuple[Named, list[Hit]]]] = defaultdict(list)
    merged: list[tuple[Named, list[Hit]]] = []
    for image, found in hits.items():
        if len(found) == 1:
            joined.masks[image] = found[0].mask.file
        elif _are_objects(found):
            try:
                joined.masks[image] = _union(image, found, as_ids=options.instances is True)
                merged.append((image, found))
            except _CannotJoinError as error:
                joined.problems.append(error.problem)
            except DataError as error:
                joined.problems.append(_damaged(error))
        else:
            unlike[tuple(sorted({pattern_of(hit) for hit in found}))].append((image, found))
    for patterns, examples in unlike.items():
        image, found = examples[0]
        files = ", ".join(hit.mask.inner for hit in found[1:5])
        shown = " and ".join(f"`{pattern}`" for pattern in patterns)
        what = f"is not the only mask of its image: {files} ({len(examples)} image(s) have masks named {shown})"
        mend = f"keep one kind, or name the pairs in a CSV manifest ({manifest_lines([image], [found[0].mask])})"
        joined.problems.append(Problem("stem_twice", str(found[0].mask.file), what, mend, True))
    if merged:
        image, found = merged[0]
        files = ", ".join(hit.mask.inner for hit in found[:4]) + (", ..." if len(found) > 4 else "")
        how = (
            "one id per file"
            if options.instances is True
            else "joined, a pixel of any of them is foreground (say instances to keep each file an object)"
        )
        joined.notes.append(f"{len(merged)} image(s) have several mask files ({files} for {image.inner}): {how}")


def _are_objects(found: list[Hit]) -> bool:
    """Whether the masks of an image differ in a number alone."""
    numbers = [hit.number for hit in found]
    alike = len({(hit.mask.folder, hit.patterns[1].casefold()) for hit in found}) == 1
    return alike and len(set(numbers)) == len(numbers)


def _class_folders(hits: dict[Named, list[Hit]]) -> list[str]:
    """The sub-folders of masks that stand for classes: all masks lie in such, and images have masks in several."""
    folders = set()
    several = False
    for image, found in hits.items():
        inside = {_class_of(image, hit) for hit in found}
        if "" in inside or any(hit.cost < OTHER_FOLDER for hit in found):
            return []
        several = several or len(inside) > 1
        folders |= inside
    if all(folder.lower() in SPLITS for folder in folders):
        return []
    return sorted(folders) if several or (len(folders) > 1 and len({image.folder for image in hits}) == 1) else []


def _class_of(image: Named, hit: Hit) -> str:
    """What a mask's folder has beside the image's: `cat` of `train/cat` for an image in `train`."""
    folder = hit.mask.folder
    if image.folder and folder.startswith(f"{image.folder}/"):
        return folder[len(image.folder) + 1 :]
    return folder[: -len(image.folder) - 1] if image.folder and folder.endswith(f"/{image.folder}") else folder


def _join_classes(hits: dict[Named, list[Hit]], folders: list[str], options: DataOptions, joined: Joined) -> None:
    image, found = next(((image, found) for image, found in hits.items() if len(found) > 1), next(iter(hits.items())))
    shown = ", ".join(f"{folder}/" for folder in folders[:6]) + (", ..." if len(folders) > 6 else "")
    where = str(found[0].mask.file.parent.parent)
    manifest = f"name the pairs in a CSV manifest ({manifest_lines([image], [found[0].mask])})"
    if all(len({hit.mask.folder for hit in each}) == 1 for each in hits.values()):
        what = f"has the sub-folders {shown} that the images lack, with one mask per image: are they classes?"
        mend = f"if not, {manifest}; if so, write one mask per image with an id per class"
        joined.problems.append(Problem("ambiguous_pair", where, what, mend, True))
        return
    names = tuple(folder for folder in folders if folder.lower() not in NOT_CLASSES)
    meant = options.class_names
    if (meant is not None and set(meant) != set(names)) or options.num_classes not in (None, len(names)):
        what = f"has one sub-folder per class ({shown}), but the classes that are meant are {list(meant or ())}"
        mend = "name the classes like the sub-folders, or leave the classes out"
        joined.problems.append(Problem("fewer_classes", where, what, mend, True))
        return
    if len(names) > MAX_CLASSES:
        what = f"has {len(names)} sub-folders, but at most {MAX_CLASSES} classes are possible"
        joined.problems.append(Problem("too_many_classes", where, what, f"merge classes, or {manifest}", True))
        return
    names = meant or names
    labels = {folder: label for label, folder in enumerate(names, start=1)}
    labels |= {folder: 0 if folder.lower() == "background" else IGNORE for folder in folders if folder not in labels}
    for image, found in hits.items():
        parts: dict[int, list[Hit]] = defaultdict(list)
        for hit in found:
            parts[labels[_class_of(image, hit)]].append(hit)
        unlike = next((each for each in parts.values() if len(each) > 1 and not _are_objects(each)), None)
        if unlike is not None:
            what = f"is not the only mask of its image and class: {', '.join(hit.mask.inner for hit in unlike[1:5])}"
            joined.problems.append(Problem("stem_twice", str(unlike[0].mask.file), what, "keep one of them", True))
            continue
        try:
            joined.masks[image] = _class_map(image, parts)
        except _CannotJoinError as error:
            joined.problems.append(error.problem)
        except DataError as error:
            joined.problems.append(_damaged(error))
    if not joined.masks:
        return
    joined.class_names = names
    joined.notes.append(
        f"The sub-folders of masks ({shown}) hold one mask per class, such as "
        f"{' and '.join(hit.mask.inner for hit in next(f for f in hits.values() if len(f) > 1)[:2])}: read as the "
        f"classes {', '.join(names)}"
    )


class _CannotJoinError(Exception):
    """A mask that cannot be joined with others."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


def _damaged(error: DataError) -> Problem:
    file, _, what = str(error).partition(": ")
    return Problem("unreadable", file, what or str(error), "replace or remove it", True)


def _stamp(found: list[Hit]) -> list[tuple[str, int, int]]:
    stats = [(hit.mask.file, hit.mask.file.stat()) for hit in found]
    return [(str(file.resolve()), stat.st_size, stat.st_mtime_ns) for file, stat in stats]


def _union(image: Named, found: list[Hit], *, as_ids: bool) -> Path:
    """The file of the joined masks of an image."""

    def make() -> np.ndarray:
        planes = _planes(found)
        if as_ids:
            ids = np.zeros(planes[0].plane.shape, np.uint16)
            for number, part in enumerate(planes, start=1):
                ids[part.inside] = number
            return ids
        pixels = np.maximum.reduce([part.pixels for part in planes])
        return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])

    return cached_mask("joined", image.inner, ("ids" if as_ids else "union", _stamp(found)), make)


def _class_map(image: Named, parts: dict[int, list[Hit]]) -> Path:
    """The file of an image's class map; where borders overlap, the class with fewer pixels is on top."""

    def make() -> np.ndarray:
        inside = {label: np.logical_or.reduce([p.inside for p in _planes(found)]) for label, found in parts.items()}
        ordered = sorted(inside, key=lambda label: (-int(inside[label].sum()), label))
        ids = np.zeros(next(iter(inside.values())).shape, np.uint8)
        taken = np.zeros(ids.shape, bool)
        for label in ordered:
            both = int((inside[label] & taken).sum())
            if both > MAX_OVERLAP * max(1, int(inside[label].sum())):
                file = parts[label][0].mask
                other = parts[int(np.bincount(ids[inside[label] & taken]).argmax())][0].mask.inner
                what = f"overlaps {other} in {both} pixels, so their folders are no classes"
                mend = f"pass one sub-folder as masks, such as {file.file.parent}, or draw each pixel in one class"
                raise _CannotJoinError(Problem("classes_overlap", str(file.file), what, mend, True))
            taken |= inside[label]
            ids[inside[label]] = label
        return ids

    files = [hit for label in sorted(parts) for hit in parts[label]]
    return cached_mask("joined", image.inner, ("classes", sorted(parts), _stamp(files)), make)


@dataclass(frozen=True)
class _Part:
    """One binary mask: its pixels (grey or RGB), the plane that is compared, and where its object is."""

    pixels: np.ndarray
    plane: np.ndarray
    inside: np.ndarray


def _planes(found: list[Hit]) -> list[_Part]:
    """Decode masks that are to be joined.

    Raises:
        DataError: a file is damaged.
        _CannotJoinError: sizes differ, or a mask is not binary, or their values differ.
    """
    parts: list[_Part] = []
    top = None
    for hit in found:
        file = hit.mask.file
        pixels, plane = _grey_or_rgb(decode(file))
        if parts and plane.shape != parts[0].plane.shape:
            what = f"is {plane.shape[0]} x {plane.shape[1]} but {found[0].mask.inner}, of the same image, is not"
            raise _CannotJoinError(
                Problem("size_differs", str(file), what, "export all masks at the image's size", True)
            )
        highest = int(plane.max())
        others = np.unique(plane)
        others = others[(others != 0) & (others != highest)]
        if others.size and not _is_soft(plane, highest):
            what = (
                f"holds the values {[0, *others[:6].tolist(), highest]}, so it cannot be joined with the other masks "
                f"of its image ({', '.join(other.mask.inner for other in found[:3] if other is not hit)})"
            )
            mend = "keep one mask per image, or save each object as a binary mask"
            raise _CannotJoinError(Problem("stem_twice", str(file), what, mend, True))
        if highest and top is not None and top != highest and not others.size:
            what = (
                f"has the value {highest} where another mask of its image has {top}: classes, or objects of one class?"
            )
            mend = "save one mask per image with an id per class, or use one value for all objects"
            raise _CannotJoinError(Problem("stem_twice", str(file), what, mend, True))
        top = top or highest or None
        parts.append(_Part(pixels, plane, plane > highest / 2 if highest else np.zeros(plane.shape, bool)))
    if len({(part.pixels.ndim, part.pixels.dtype) for part in parts}) > 1 or parts[0].pixels.dtype.kind not in "u":
        parts = [_Part(part.inside.astype(np.uint8) * np.uint8(255), part.plane, part.inside) for part in parts]
    return parts


def _grey_or_rgb(raw: Raw) -> tuple[np.ndarray, np.ndarray]:
    """Pixels as grey (H, W) or RGB (H, W, 3), and one plane (H, W) that is 0 where nothing is drawn."""
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
    """Whether 8-bit values are 0 and 255 with blurred edges or compression noise."""
    if plane.dtype != np.uint8 or highest <= MIDDLE[1]:
        return False
    middle = (plane > MIDDLE[0]) & (plane < MIDDLE[1])
    return float(middle.mean()) <= MAX_MIDDLE_SHARE
