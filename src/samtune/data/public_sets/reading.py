"""The folders of a public data set, read as pairs with their splits."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from samtune.data.images.decoding import IMAGE_SUFFIXES
from samtune.data.options import DataOptions
from samtune.data.public_sets.conversion import draw_coco, merge_object_files, threshold_levels
from samtune.data.public_sets.table import LAYOUTS, Layout, Part
from samtune.errors import DataError
from samtune.text import did_you_mean
from samtune.types import Pair, Problem

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator


def parse_set_name(images: Path | str) -> tuple[Layout, str | None, Path] | None:
    """Return the layout, part and folder of `cod10k:PATH` or `cod10k/test:PATH`; None for an ordinary path.

    Raises:
        DataError: the layout has no such part.
    """
    word, colon, path = str(images).partition(":")
    name, slash, part = word.partition("/")
    if not colon or name not in LAYOUTS:
        return None
    layout = LAYOUTS[name]
    if slash and part not in layout.part_names:
        if not layout.part_names:
            raise DataError(f"{images}: {name} has no split, so it has no part {part!r}; pass {name}:{path}")
        expected = ", ".join(layout.part_names)
        raise DataError(
            f"{images}: {name} has no part {part!r}; expected {expected}{did_you_mean(part, layout.part_names)}"
        )
    return layout, part or None, Path(path)


def layout_options(layout: Layout, options: DataOptions) -> DataOptions:
    """Return the user's options, completed by those of the data set."""
    given = {f.name for f in fields(DataOptions) if getattr(options, f.name) is not None}
    defaults = layout.options
    if given & {"num_classes", "class_names", "colours", "ids"}:
        # The user's classes take precedence; the layout's values in the files hold if the number of classes agrees.
        num = options.num_classes_meant or len(options.ids or options.colours or ())
        defaults = defaults if num == len(defaults.get("class_names", ())) and options.colours is None else {}
        defaults = {key: value for key, value in defaults.items() if key not in ("class_names", "num_classes")}
    return replace(options, **{key: value for key, value in defaults.items() if key not in given})


def find_layout_pairs(layout: Layout, part: str | None, root: Path) -> tuple[list[Pair], list[Problem], list[str]]:
    """Return the pairs of a data set with their splits, files without a partner as problems, and notes.

    Args:
        layout: the data set.
        part: "train", "val" or "test"; None for all that are present.
        root: the folder that the download was unpacked in, or its parent.

    Raises:
        DataError: the folder does not exist, or has none of the expected folders.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; pass the folder that {layout.title} was unpacked in")
    pairs: list[Pair] = []
    problems: list[Problem] = []
    notes = [f"{layout.title}: {layout.caveat}"] if layout.caveat else []
    missing = []
    parts = [one for one in layout.parts if part in (None, one.name)]
    for one in parts:
        folders = _find_folders(layout, one, root)
        if folders is None:
            missing.append(one)
            continue
        part_pairs, unpaired = _pairs_of(layout, one, *folders, root)
        pairs += part_pairs
        problems += unpaired
        if one.num_images is not None and len(part_pairs) != one.num_images:
            name = " ".join(filter(None, (layout.title, one.name)))
            notes.append(f"{name}: {len(part_pairs)} pairs here, {one.num_images} in the papers")
    if len(missing) == len(parts):
        expected = "; ".join(f"{one.images[0]} with {one.masks[0]}" for one in parts)
        raise DataError(
            f"{root}: expected {layout.title} as downloaded ({expected}), found none of these; see `samtune data list`"
        )
    if missing:
        names = ", ".join(f"{one.name or 'all'} ({one.images[0]})" for one in missing)
        notes.append(f"{layout.title}: parts not present: {names}")
    return pairs, problems, notes


def is_present(name: str, data: Path) -> bool:
    """Return whether a set, or a part of it, is in the folder `data/NAME`.

    Args:
        name: "istd" or "istd/train".
        data: the folder that holds a folder for each set.
    """
    name, _, part = name.partition("/")
    layout = LAYOUTS[name]
    parts = [one for one in layout.parts if part in ("", one.name)]
    return (data / name).is_dir() and all(_find_folders(layout, one, data / name) is not None for one in parts)


def _find_folders(layout: Layout, part: Part, root: Path) -> tuple[Path, Path] | None:
    """Return the folders of images and masks of a part: the first alternative at the root or in a wrapper."""
    tops = [root, *(root / wrapper for wrapper in layout.wrappers)]
    tops += [top / wrapper for top in tops[1:] for wrapper in layout.wrappers]
    num = max(len(part.images), len(part.masks))
    images_names, masks_names = (names * (num if len(names) == 1 else 1) for names in (part.images, part.masks))
    for top in tops:
        for images_name, masks_name in zip(images_names, masks_names, strict=True):
            images, masks_path = top / images_name, top / masks_name
            if images.is_dir() and masks_path.exists() and _has_files(part, images, masks_path):
                return images, masks_path
    return None


def _has_files(part: Part, images: Path, masks: Path) -> bool:
    """Return whether the folders hold files of the part; repacked sets may have empty folders."""
    if next(_image_files(part, images), None) is None:
        return False
    return masks.is_file() or next(_mask_files(part, masks), None) is not None


def _pairs_of(layout: Layout, part: Part, images: Path, masks: Path, root: Path) -> tuple[list[Pair], list[Problem]]:
    if layout.mask_storage == "files":
        return merge_object_files(images, layout.name), []
    if layout.mask_storage == "coco":
        return draw_coco(images, masks, layout.name, part.name)
    image_files, mask_files = (
        {stem: file for file, stem in sorted(files) if stem.startswith(part.prefix)}
        for files in (_image_files(part, images), _mask_files(part, masks))
    )
    if layout.mask_storage == "grey":
        mask_files = {
            key: threshold_levels(file, layout.name) if key in image_files else file for key, file in mask_files.items()
        }
    folder = f"{images.relative_to(root).as_posix()}/"
    pairs = [
        Pair(folder + key, file, mask_files[key], None, part.name)
        for key, file in image_files.items()
        if key in mask_files
    ]
    without_mask = image_files.keys() - mask_files.keys()
    problems = _unpaired((image_files[key] for key in without_mask), "has no mask of the same stem")
    if len({one.masks for one in layout.parts}) == len(layout.parts):
        # If parts share a folder of masks, masks without an image belong to another part.
        without_image = mask_files.keys() - image_files.keys()
        problems += _unpaired((mask_files[key] for key in without_image), "is a mask without an image")
    return pairs, problems


def _unpaired(files: Iterable[Path], what: str) -> list[Problem]:
    mend = "nothing to do: the download has such files, which are left out"
    return [Problem("unpaired", str(file), what, mend, False) for file in sorted(files)]


def _image_files(part: Part, folder: Path) -> Iterator[tuple[Path, str]]:
    return _files_with_stems(folder, part.image_suffixes or IMAGE_SUFFIXES, part.image_ending)


def _mask_files(part: Part, folder: Path) -> Iterator[tuple[Path, str]]:
    return _files_with_stems(folder, part.mask_suffixes or IMAGE_SUFFIXES, part.mask_ending)


def _files_with_stems(folder: Path, suffixes: Container[str], ending: str) -> Iterator[tuple[Path, str]]:
    """Yield the files with one of the suffixes whose stem has the ending, and their stems without it.

    Hidden files and those that macOS adds to archives are skipped.
    """
    for file in folder.rglob("*"):
        hidden = file.name.startswith(".") or "__MACOSX" in file.parts
        if not hidden and file.suffix.lower() in suffixes and file.stem.lower().endswith(ending.lower()):
            yield file, file.stem[: len(file.stem) - len(ending)]
