"""Which image belongs to which mask: by their names in folders, or by a manifest.

Stems are the file names without ending. Where two images of one data set share a stem (sub-folders), every
stem becomes the path below the images folder instead, with "/" between its parts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from samtune.data.formats.joining import join
from samtune.data.formats.manifest import SPLITS, read_manifest
from samtune.data.formats.naming import is_image_word, is_mask_word
from samtune.data.formats.pairing import Named, lonely_problem, look_of, masks_among, match, nothing_pairs
from samtune.data.images.listing import find_images_below
from samtune.data.options import DataOptions
from samtune.data.public_sets import find_layout_pairs, split_word
from samtune.errors import DataError
from samtune.inputs import as_path
from samtune.types import Pair, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Found:
    """What lies on disk, paired.

    Attributes:
        pairs: sorted by stem.
        problems: images without mask, masks without image, names that can be paired in several ways, folders that
            cannot be read, files that a manifest names in vain.
        notes: files left out, pairs found by another rule than equal stems, and how stems were made, as sentences.
        class_names: names of the classes where the masks lie in one sub-folder per class; else empty.
    """

    pairs: tuple[Pair, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Part:
    """A folder of images with its folder of masks, and the split they are of."""

    images: Path
    masks: Path
    split: str | None = None


def find_pairs(images: Path | str, masks: Path | str | None = None, options: DataOptions | None = None) -> Found:
    """Pair the images with their masks.

    Args:
        images: a folder of images (searched with its sub-folders), a CSV or TSV manifest with the columns
            `image,mask[,group,split]`, or, with `masks` left out, a folder that holds `images/` and
            `masks/`, or `{train,val,test}/{images,masks}`, or images and masks side by side (`a.png`,
            `a_mask.png`); or a public data set as `cod10k:PATH` or `cod10k/test:PATH` (`layouts`).
        masks: the folder of masks. A mask has its image's stem, possibly with a word of `naming.MASK_WORDS`
            before or after it, with the number of an object, and any of the image endings.
        options: as for `open_dataset`; says whether several masks of an image are objects, and how class
            sub-folders are ordered.

    Raises:
        DataError: a path does not exist, or the folder has none of these shapes.
    """
    options = options or DataOptions()
    known = split_word(images)
    if known is not None:
        if masks is not None:
            raise DataError(f"{images}: a public data set has its own masks, so no masks folder may be given ({masks})")
        pairs, problems, notes = find_layout_pairs(*known)
        return _finish(pairs, problems, notes=notes)
    images = as_path(images)
    masks = None if masks is None else as_path(masks)
    if images.is_file():
        if masks is not None:
            raise DataError(f"{images}: a manifest names the masks itself, so no masks folder may be given ({masks})")
        return _finish(*read_manifest(images), notes=[])
    for folder in (images, masks):
        if folder is not None and not folder.is_dir():
            raise DataError(f"{folder}: must be an existing folder (or a CSV or TSV manifest in place of the images)")
    if masks is not None and masks.resolve() != images.resolve():
        return _pair_folders([_Part(images, masks)], options)
    return _find_in_one(images, options)


def _find_in_one(root: Path, options: DataOptions) -> Found:
    """Images and masks below one folder: split layout, `images/` and `masks/`, or side by side."""
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{root}: cannot be read ({error.strerror or error}); make it readable") from error
    parts = []
    for folder in folders:
        split = SPLITS.get(folder.name.lower())
        if split is not None and (folder / "images").is_dir() and (folder / "masks").is_dir():
            parts.append(_Part(folder / "images", folder / "masks", split))
    nnunet = [
        _Part(root / f"images{word}", root / f"labels{word}", split)
        for word, split in (("Tr", "train"), ("Ts", "test"))
        if (root / f"images{word}").is_dir() and (root / f"labels{word}").is_dir()
    ]
    if parts or nnunet:
        return _pair_folders(parts or nnunet, options)
    if (root / "images").is_dir() and (root / "masks").is_dir():
        return _pair_folders([_Part(root / "images", root / "masks")], options)
    of_images = [folder for folder in folders if is_image_word(folder.name)]
    of_masks = [folder for folder in folders if is_mask_word(folder.name)]
    if len(of_images) == len(of_masks) == 1:
        note = f"{of_images[0].name}/ was taken for the images and {of_masks[0].name}/ for the masks, by their names"
        return _pair_folders([_Part(of_images[0], of_masks[0])], options, [note])
    if len(folders) > 1 and all((folder / "images").is_dir() and (folder / "masks").is_dir() for folder in folders):
        raise DataError(
            f"{root}: has a folder with images/ and masks/ for each of {', '.join(f.name for f in folders[:3])}, ...; "
            f"if each is one image with a mask per object, pass dsb2018:{root}, else pass a CSV manifest"
        )
    return _side_by_side(root, options)


def _side_by_side(root: Path, options: DataOptions) -> Found:
    """Images and masks in the same folders, told apart by a word in the masks' names."""
    listing = find_images_below(root)
    named = Named.below(root, listing.files)
    masks = masks_among(named)
    images = [one for one in named if one not in masks]
    if not masks or not images:
        looks = f", which look like {look_of(named)}" if named else ""
        raise DataError(
            f"{root}: must hold images/ and masks/, or {{train,val,test}}/{{images,masks}}, or images with "
            f"name_mask.png beside name.png, but has {len(named)} image files{looks}; move the masks to a folder of "
            "their own, or write a CSV with the columns image,mask"
        )
    return _pair_named(
        images, [one for one in named if one in masks], options, listing.problems, listing.notes, str(root)
    )


def _pair_folders(parts: list[_Part], options: DataOptions, notes: Sequence[str] = ()) -> Found:
    done = []
    for part in parts:
        images, masks = find_images_below(part.images), find_images_below(part.masks)
        named = Named.below(part.images, images.files), Named.below(part.masks, masks.files)
        problems, said = [*images.problems, *masks.problems], [*images.notes, *masks.notes]
        where = f"{part.images} and {part.masks}"
        found = _pair_named(*named, options, problems, said, where, finish=False)
        prefix = f"{part.split}/" if part.split else ""
        pairs = [replace(pair, stem=prefix + pair.stem, split=part.split) for pair in found.pairs]
        done.append(replace(found, pairs=tuple(pairs)))
    pairs = [pair for found in done for pair in found.pairs]
    problems = [problem for found in done for problem in found.problems]
    if pairs and len(parts) > 1:
        problems = [replace(p, stops_training=False) if p.kind == "no_pairs" else p for p in problems]
    if parts[0].split is None:
        pairs = _splits_of_subfolders(pairs)
    names = {found.class_names for found in done if found.pairs}
    if len(names) > 1:
        what = f"has other classes than the rest: {' against '.join(', '.join(one) or 'none' for one in names)}"
        mend = "give each part of the split the same sub-folders of masks"
        problems.append(Problem("fewer_classes", str(parts[0].masks), what, mend, True))
    said = [*notes, *dict.fromkeys(note for found in done for note in found.notes)]
    return _finish(pairs, problems, notes=said, class_names=next(iter(names), ()))


def _pair_named(
    images: Sequence[Named],
    masks: Sequence[Named],
    options: DataOptions,
    problems: Sequence[Problem],
    notes: Sequence[str],
    where: str,
    *,
    finish: bool = True,
) -> Found:
    """Pair listed files; `finish` shortens the stems."""
    matches = match(images, masks)
    joined = join(matches, options)
    stems = _stems(images)
    pairs = [Pair(stems[image], image.file, mask) for image, mask in joined.masks.items()]
    wrong = [*problems, *matches.problems, *joined.problems]
    what, mend = "is a mask without an image of the same stem", "add the image, or rename the mask"
    wrong += [lonely_problem(mask, what, mend) for mask in matches.lonely]
    if not pairs and not any(problem.stops_training for problem in wrong):
        wrong.insert(0, nothing_pairs(images, masks, where))
    said = [*notes, *matches.notes, *joined.notes]
    if finish:
        return _finish(pairs, wrong, notes=said, class_names=joined.class_names)
    return Found(tuple(pairs), tuple(wrong), tuple(said), joined.class_names)


def _splits_of_subfolders(pairs: list[Pair]) -> list[Pair]:
    """`images/train/a.png` with `masks/train/a.png`: the sub-folder is the split."""
    firsts = [pair.stem.split("/")[0].lower() if "/" in pair.stem else "" for pair in pairs]
    if not pairs or any(first not in SPLITS for first in firsts):
        return pairs
    return [replace(pair, split=SPLITS[first]) for pair, first in zip(pairs, firsts, strict=True)]


def _finish(
    pairs: list[Pair], problems: list[Problem], *, notes: list[str], class_names: tuple[str, ...] = ()
) -> Found:
    """Shorten stems to the file's name where it is unique, sort the pairs, and tell what has no partner."""
    pairs, note = _with_short_stems(pairs)
    lonely = [problem for problem in problems if problem.kind == "unpaired"]
    if lonely and pairs:
        example = Path(lonely[0].file).name
        note = [*note, f"{len(lonely)} file(s) without a partner of the same stem were left out (such as {example})"]
    pairs = sorted(pairs, key=lambda pair: pair.stem)
    return Found(tuple(pairs), tuple(problems), (*notes, *note), class_names)


def _with_short_stems(pairs: list[Pair]) -> tuple[list[Pair], list[str]]:
    """Stems without folders where that keeps them different; else a sentence about the longer ones."""
    names = Counter(Path(pair.stem).name for pair in pairs)
    if all(count == 1 for count in names.values()):
        return [replace(pair, stem=Path(pair.stem).name) for pair in pairs], []
    return pairs, ["Sub-folders repeat file names, so an image is called by its path below the images folder"]


def _stems(images: Sequence[Named]) -> dict[Named, str]:
    """Paths without ending; with it where images differ in nothing else (`a.jpg` and `a.png`)."""
    bare = {image: image.path for image in images}
    counts = Counter(bare.values())
    return {image: stem if counts[stem] == 1 else image.inner for image, stem in bare.items()}
