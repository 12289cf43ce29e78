"""Folders of images and folders of masks, paired by file name."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from samtune.data.formats.format import Certainty, Detection, Records
from samtune.data.formats.joining import join
from samtune.data.formats.manifest import SPLITS
from samtune.data.formats.naming import has_mask_word, is_image_word, is_mask_word
from samtune.data.formats.pairing import Named, describe_names, match, no_pairs_problem, select_masks, unpaired_problem
from samtune.data.images.decoding import IMAGE_SUFFIXES
from samtune.data.images.listing import find_images_below
from samtune.errors import DataError
from samtune.types import Pair, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from samtune.data.options import DataOptions


class MaskFolders:
    """Format of images with one or several mask files each, paired by file name."""

    name = "folders"
    expects = "a folder of images and a folder of masks, or one folder that holds both"

    def detect(self, images: Path, masks: Path | None) -> Detection | None:
        """See `Format.detect`; the evidence for this format is an image in the folder of masks."""
        if not images.is_dir() or not (masks is None or masks.is_dir()):
            return None
        if masks is None or masks.resolve() == images.resolve():
            reason = _evidence_in_one(images)
        else:
            first = next(_image_files(masks), None)
            reason = None if first is None else f"{masks.name}/ holds images such as {first.name}"
        if reason is None:
            return Detection(Certainty.POSSIBLE, f"{images.name}/ is a folder")
        return Detection(Certainty.CONTENT, reason)

    def read(self, images: Path, masks: Path | None, options: DataOptions) -> Records:
        """See `Format.read`."""
        for folder in (images, masks):
            if folder is not None and not folder.is_dir():
                raise DataError(f"{folder}: no such folder; check the path")
        if masks is not None and masks.resolve() != images.resolve():
            return _read_parts(_Layout((_Part(images, masks),)), options)
        layout = _layout_of(images)
        return _read_side_by_side(images, options) if layout is None else _read_parts(layout, options)


@dataclass(frozen=True)
class _Part:
    """A folder of images, its folder of masks, and the part of the split that they belong to, if any."""

    images: Path
    masks: Path
    split: str | None = None


@dataclass(frozen=True)
class _Layout:
    """The folders of images and masks below one root, with a note if they were recognised by a word in their names."""

    parts: tuple[_Part, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Paired:
    """The pairs of one part; `class_names` is empty unless each class has a sub-folder of masks."""

    pairs: tuple[Pair, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    class_names: tuple[str, ...]


def _evidence_in_one(root: Path) -> str | None:
    """Return the evidence, as a clause, that one folder holds images and masks; None without evidence."""
    try:
        layout = _layout_of(root)
    except DataError:
        return None
    if layout is not None:
        return f"{root.name}/ holds {layout.parts[0].images.name}/ and {layout.parts[0].masks.name}/"
    first = next((file for file in _image_files(root) if has_mask_word(file.stem)), None)
    return None if first is None else f"{first.name} is named like a mask"


def _image_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder with the suffix of an image; unreadable folders are skipped."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(parent, name)


def _sub_folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{root}: cannot be read ({error.strerror or error}); make it readable") from error


def _layout_of(root: Path) -> _Layout | None:
    """Return the folders of images and masks below one root; None if images and masks share folders."""
    folders = _sub_folders(root)
    parts = [
        _Part(folder / "images", folder / "masks", SPLITS[folder.name.lower()])
        for folder in folders
        if folder.name.lower() in SPLITS and _has_both(folder)
    ]
    parts = parts or [
        _Part(root / f"images{word}", root / f"labels{word}", split)
        for word, split in (("Tr", "train"), ("Ts", "test"))
        if (root / f"images{word}").is_dir() and (root / f"labels{word}").is_dir()
    ]
    if parts:
        return _Layout(tuple(parts))
    if _has_both(root):
        return _Layout((_Part(root / "images", root / "masks"),))
    of_images = [folder for folder in folders if is_image_word(folder.name)]
    of_masks = [folder for folder in folders if is_mask_word(folder.name)]
    if len(of_images) == len(of_masks) == 1:
        note = f"{of_images[0].name}/ was taken for the images and {of_masks[0].name}/ for the masks, by their names"
        return _Layout((_Part(of_images[0], of_masks[0]),), (note,))
    return None


def _has_both(folder: Path) -> bool:
    return (folder / "images").is_dir() and (folder / "masks").is_dir()


def _read_side_by_side(root: Path, options: DataOptions) -> Records:
    """Read images and masks that share folders; a word in the masks' names distinguishes them."""
    folders = _sub_folders(root)
    if len(folders) > 1 and all(map(_has_both, folders)):
        raise DataError(
            f"{root}: each of its {len(folders)} sub-folders, such as {folders[0].name}, has images/ and masks/; pass "
            f"dsb2018:{root} if each holds one image with a mask per object, otherwise a CSV manifest"
        )
    listing = find_images_below(root)
    named = Named.below(root, listing.files)
    masks = select_masks(named)
    images = [one for one in named if one not in masks]
    if not masks or not images:
        names = f", named like {describe_names(named)}" if named else ""
        raise DataError(
            f"{root}: expected images/ and masks/, or {{train,val,test}}/{{images,masks}}, or images with "
            f"name_mask.png beside name.png, got {len(named)} image files{names}; move the masks to a folder of "
            "their own, or write a CSV with the columns image,mask"
        )
    paired = _pair(images, [one for one in named if one in masks], options, str(root), listing.problems)
    return _as_records(replace(paired, notes=(*listing.notes, *paired.notes)), options)


def _read_parts(layout: _Layout, options: DataOptions) -> Records:
    """Read folders of images with their folders of masks; their classes must agree."""
    parts = [_read_part(part, options) for part in layout.parts]
    pairs = [pair for part in parts for pair in part.pairs]
    problems = [problem for part in parts for problem in part.problems]
    if pairs and len(parts) > 1:
        problems = [replace(p, stops_training=False) if p.kind == "no_pairs" else p for p in problems]
    if layout.parts[0].split is None:
        pairs = _splits_of_sub_folders(pairs)
    names = {part.class_names for part in parts if part.pairs}
    if len(names) > 1:
        classes = "; ".join(", ".join(one) or "none" for one in names)
        what = f"has other classes than the masks of other parts: {classes}"
        mend = "give each part of the split the same sub-folders of masks"
        problems.append(Problem("fewer_classes", str(layout.parts[0].masks), what, mend, True))
    notes = [*layout.notes, *dict.fromkeys(note for part in parts for note in part.notes)]
    return _as_records(_Paired(tuple(pairs), tuple(problems), tuple(notes), next(iter(names), ())), options)


def _read_part(part: _Part, options: DataOptions) -> _Paired:
    images, masks = find_images_below(part.images), find_images_below(part.masks)
    named = Named.below(part.images, images.files), Named.below(part.masks, masks.files)
    paired = _pair(*named, options, f"{part.images} and {part.masks}", [*images.problems, *masks.problems])
    prefix = f"{part.split}/" if part.split else ""
    return replace(
        paired,
        pairs=tuple(replace(pair, stem=prefix + pair.stem, split=part.split) for pair in paired.pairs),
        notes=(*images.notes, *masks.notes, *paired.notes),
    )


def _pair(
    images: Sequence[Named], masks: Sequence[Named], options: DataOptions, where: str, problems: Sequence[Problem]
) -> _Paired:
    """Pair the listed files; `where` names their folders in messages, `problems` are those of the listing."""
    matches = match(images, masks)
    joined = join(matches, options)
    stems = _stems(images)
    pairs = [Pair(stems[image], image.file, mask) for image, mask in joined.masks.items()]
    problems = [*problems, *matches.problems, *joined.problems]
    what, mend = "is a mask without an image of the same stem", "add the image, or rename the mask"
    problems += [unpaired_problem(mask, what, mend) for mask in matches.unpaired]
    if not pairs and not any(problem.stops_training for problem in problems):
        problems.insert(0, no_pairs_problem(images, masks, where))
    return _Paired(tuple(pairs), tuple(problems), (*matches.notes, *joined.notes), joined.class_names)


def _as_records(paired: _Paired, options: DataOptions) -> Records:
    if paired.class_names:
        options = replace(options, class_names=paired.class_names)
    return Records(paired.pairs, paired.problems, paired.notes, options)


def _splits_of_sub_folders(pairs: list[Pair]) -> list[Pair]:
    """Set the split from the sub-folders if all of them name parts of a split, as in `images/train/a.png`."""
    firsts = [pair.stem.split("/")[0].lower() if "/" in pair.stem else "" for pair in pairs]
    if not pairs or any(first not in SPLITS for first in firsts):
        return pairs
    return [replace(pair, split=SPLITS[first]) for pair, first in zip(pairs, firsts, strict=True)]


def _stems(images: Sequence[Named]) -> dict[Named, str]:
    """Return each image's path without its ending, or with it if two differ in nothing else (`a.jpg`, `a.png`)."""
    counts = Counter(image.path for image in images)
    return {image: image.path if counts[image.path] == 1 else image.inner for image in images}
