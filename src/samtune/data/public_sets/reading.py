"""From the folders of a public data set to pairs, each with its split."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from samtune.data.images.decoding import IMAGE_SUFFIXES
from samtune.data.options import DataOptions
from samtune.data.public_sets.merging import cut_levels, draw_coco, merge_files
from samtune.data.public_sets.table import LAYOUTS, Layout, Part
from samtune.errors import DataError
from samtune.spelling import did_you_mean
from samtune.types import Pair, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable


def split_word(images: Path | str) -> tuple[Layout, str | None, Path] | None:
    """`cod10k:PATH` or `cod10k/test:PATH` taken apart: layout, part, path; None for an ordinary path.

    Raises:
        DataError: the layout has no such part.
    """
    word, colon, path = str(images).partition(":")
    name, slash, part = word.partition("/")
    if not colon or name not in LAYOUTS:
        return None
    layout = LAYOUTS[name]
    if slash and part not in layout.part_names:
        offered = ", ".join(layout.part_names) or "none, for it names no split"
        raise DataError(
            f"{images}: the part of {name} must be one of its own ({offered}), but {part!r} came"
            f"{did_you_mean(part, layout.part_names)}"
        )
    return layout, part or None, Path(path)


def layout_options(images: Path | str, options: DataOptions) -> DataOptions:
    """The options with what the layout knows filled in where the user said nothing; as they are for other paths."""
    found = split_word(images)
    if found is None:
        return options
    told = {f.name for f in fields(DataOptions) if getattr(options, f.name) is not None}
    known = found[0].options
    if told & {"num_classes", "class_names", "colours", "ids"}:
        # The user's classes stand; the values in the files are as the layout has them, if the number agrees.
        num = options.num_classes_meant or len(options.ids or options.colours or ())
        known = known if num == len(known.get("class_names", ())) and options.colours is None else {}
        known = {key: value for key, value in known.items() if key not in ("class_names", "num_classes")}
    return replace(options, **{key: value for key, value in known.items() if key not in told})


def find_layout_pairs(layout: Layout, part: str | None, root: Path) -> tuple[list[Pair], list[Problem], list[str]]:
    """The pairs of a data set, with their splits, problems (files without partner) and notes.

    Args:
        layout: which set.
        part: "train", "val" or "test" alone; None for all that are there.
        root: the folder it was unpacked in, or the one wrapped in it.

    Raises:
        DataError: the folder is not there, or has none of the expected ones.
    """
    if not root.is_dir():
        raise DataError(f"{root}: must be the folder that {layout.title} was unpacked in, but there is none")
    pairs: list[Pair] = []
    problems: list[Problem] = []
    notes = [f"{layout.title}: {layout.trap}"] if layout.trap else []
    missing = []
    wanted = [one for one in layout.parts if part in (None, one.name)]
    for one in wanted:
        place = _place(layout, one, root)
        if place is None:
            missing.append(one)
            continue
        found, lonely = _pairs_of(layout, one, *place, root)
        pairs += found
        problems += lonely
        if one.num is not None and len(found) != one.num:
            notes.append(f"{layout.title} {one.name or ''}: {len(found)} pairs here, {one.num} in the papers")
    if len(missing) == len(wanted):
        expected = "; ".join(f"{one.images[0]} with {one.masks[0]}" for one in wanted)
        raise DataError(
            f"{root}: must hold {layout.title} as it is downloaded ({expected}), but has none of these folders; see "
            "samtune data list"
        )
    if missing:
        names = ", ".join(f"{one.name or ''} ({one.images[0]})" for one in missing)
        notes.append(f"{layout.title}: not here: {names}")
    return pairs, problems, notes


def is_there(word: str, data: Path) -> bool:
    """Whether a set, or a part of it, lies in the folder of its name below `data`.

    Args:
        word: "istd" or "istd/train".
        data: the folder of folders.
    """
    name, _, part = word.partition("/")
    layout = LAYOUTS[name]
    wanted = [one for one in layout.parts if part in ("", one.name)]
    return (data / name).is_dir() and all(_place(layout, one, data / name) is not None for one in wanted)


def _place(layout: Layout, part: Part, root: Path) -> tuple[Path, Path] | None:
    """The folders of a part: the first alternative that is there, at the root or in a wrapper."""
    tops = [root, *(root / wrapper for wrapper in layout.wrappers)]
    tops += [top / wrapper for top in tops[1:] for wrapper in layout.wrappers]
    for top in tops:
        for images, masks in zip(part.images, _as_long(part.masks, len(part.images)), strict=False):
            if (top / images).is_dir() and (top / masks).exists() and _fits(part, top / images, top / masks):
                return top / images, top / masks
    return None


def _as_long(masks: tuple[str, ...], num: int) -> tuple[str, ...]:
    return masks if len(masks) == num else masks * num


def _fits(part: Part, images: Path, masks: Path) -> bool:
    """Whether the folders hold files of the part's kinds; repacked sets may have the folder but not the files."""
    if not any(_is_image(part, file) for file in images.rglob("*")):
        return False
    return masks.is_file() or any(_is_mask(part, file) for file in masks.rglob("*"))


def _pairs_of(layout: Layout, part: Part, images: Path, masks: Path, root: Path) -> tuple[list[Pair], list[Problem]]:
    if layout.objects == "files":
        return merge_files(images, layout.name), []
    if layout.objects == "coco":
        return draw_coco(images, masks, layout.name, part.name)
    files = {_bare(file.stem, part.image_end): file for file in sorted(images.rglob("*")) if _is_image(part, file)}
    there = {_bare(file.stem, part.mask_end): file for file in sorted(masks.rglob("*")) if _is_mask(part, file)}
    if part.only is not None:
        files = {key: file for key, file in files.items() if key.startswith(part.only)}
        there = {key: file for key, file in there.items() if key.startswith(part.only)}
    if layout.objects == "grey":
        there = {key: cut_levels(file, layout.name) if key in files else file for key, file in there.items()}
    prefix = f"{images.relative_to(root).as_posix()}/"
    pairs = [Pair(prefix + key, file, there[key], None, part.name) for key, file in files.items() if key in there]
    problems = _lonely((files[key] for key in files.keys() - there.keys()), "has no mask of the same stem")
    if len({one.masks for one in layout.parts}) == len(layout.parts):
        # Where parts share a folder of masks, those of the other part are no strays.
        problems += _lonely((there[key] for key in there.keys() - files.keys()), "is a mask without an image")
    return pairs, problems


def _lonely(files: Iterable[Path], what: str) -> list[Problem]:
    mend = "nothing: such files are strays of the download"
    return [Problem("unpaired", str(file), what, mend, False) for file in sorted(files)]


def _is_image(part: Part, file: Path) -> bool:
    suffixes = part.image_suffixes or IMAGE_SUFFIXES
    return _visible(file) and file.suffix.lower() in suffixes and file.stem.lower().endswith(part.image_end.lower())


def _is_mask(part: Part, file: Path) -> bool:
    suffixes = part.mask_suffixes or IMAGE_SUFFIXES
    return _visible(file) and file.suffix.lower() in suffixes and file.stem.lower().endswith(part.mask_end.lower())


def _visible(file: Path) -> bool:
    return not file.name.startswith(".") and "__MACOSX" not in file.parts


def _bare(stem: str, end: str) -> str:
    return stem[: -len(end)] if end and stem.lower().endswith(end.lower()) else stem
