"""Which image belongs to which mask: by equal stems in folders, or by a manifest.

Stems are the file names without ending. Where two images of one data set share a stem (sub-folders), every
stem becomes the path below the images folder instead, with "/" between its parts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from samtune.data.decoding import IMAGE_SUFFIXES
from samtune.data.layouts import find_layout_pairs, split_word
from samtune.data.manifest import SPLITS, read_manifest
from samtune.errors import DataError
from samtune.types import Pair, Problem

MASK_SUFFIXES = ("_masks", "_mask", "_labels", "_label", "_segmentation", "_seg", "_gt")
"""What a mask's stem may carry after its image's stem; the longest match is taken, in any case of letters."""

SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "classes.txt", "dataset.yaml", "readme.md", "split.json"})


@dataclass(frozen=True)
class Found:
    """What lies on disk, paired.

    Attributes:
        pairs: sorted by stem.
        problems: images without mask, masks without image, stems used twice, files that a manifest names in
            vain.
        notes: files left out and how stems were made, as sentences.
    """

    pairs: tuple[Pair, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def find_pairs(images: Path | str, masks: Path | str | None = None) -> Found:
    """Pair the images with their masks.

    Args:
        images: a folder of images (searched with its sub-folders), a CSV or TSV manifest with the columns
            `image,mask[,group,split]`, or, with `masks` left out, a folder that holds `images/` and
            `masks/`, or `{train,val,test}/{images,masks}`, or images and masks side by side (`a.png`,
            `a_mask.png`); or a public data set as `cod10k:PATH` or `cod10k/test:PATH` (`layouts`).
        masks: the folder of masks. A mask has its image's stem, possibly with a suffix of `MASK_SUFFIXES`,
            and any of the image endings.

    Raises:
        DataError: a path does not exist, or the folder has none of these shapes.
    """
    known = split_word(images)
    if known is not None:
        if masks is not None:
            raise DataError(f"{images}: a public data set has its own masks, so no masks folder may be given ({masks})")
        pairs, problems, notes = find_layout_pairs(*known)
        return _finish(pairs, problems, notes=notes)
    images = Path(images)
    masks = None if masks is None else Path(masks)
    if images.is_file():
        if masks is not None:
            raise DataError(f"{images}: a manifest names the masks itself, so no masks folder may be given ({masks})")
        return _finish(*read_manifest(images), notes=[])
    for folder in (images, masks):
        if folder is not None and not folder.is_dir():
            raise DataError(f"{folder}: must be an existing folder (or a CSV or TSV manifest in place of the images)")
    if masks is not None and masks.resolve() != images.resolve():
        return _pair_folders([(images, masks, None)])
    return _find_in_one(images)


def _find_in_one(root: Path) -> Found:
    """Images and masks below one folder: split layout, `images/` and `masks/`, or side by side."""
    parts: list[tuple[Path, Path, str | None]] = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        split = SPLITS.get(folder.name.lower())
        if split is not None and (folder / "images").is_dir() and (folder / "masks").is_dir():
            parts.append((folder / "images", folder / "masks", split))
    if parts:
        return _pair_folders(parts)
    if (root / "images").is_dir() and (root / "masks").is_dir():
        return _pair_folders([(root / "images", root / "masks", None)])
    files, notes = list_images(root)
    masks = [file for file in files if _bare(file.stem) != file.stem]
    if not masks:
        raise DataError(
            f"{root}: must hold images/ and masks/, or {{train,val,test}}/{{images,masks}}, or images with "
            f"name_mask.png beside name.png, but has {len(files)} image files and none of these"
        )
    rest = [file for file in files if file not in set(masks)]
    keyed = {key: [(key, file) for file in group] for key, group in _by_key(rest, root, bare=False).items()}
    pairs, problems = _match(keyed, _by_key(masks, root, bare=True))
    return _finish(pairs, problems, notes=notes)


def _pair_folders(parts: list[tuple[Path, Path, str | None]]) -> Found:
    pairs: list[Pair] = []
    problems: list[Problem] = []
    notes: list[str] = []
    for images, masks, split in parts:
        image_files, image_notes = list_images(images)
        mask_files, mask_notes = list_images(masks)
        prefix = f"{split}/" if split else ""
        keyed = {
            key: [(prefix + key, file) for file in files]
            for key, files in _by_key(image_files, images, bare=False).items()
        }
        found, wrong = _match(keyed, _by_key(mask_files, masks, bare=True))
        pairs += [Pair(p.stem, p.image, p.mask, p.group, split) for p in found]
        problems += wrong
        notes += image_notes + mask_notes
    if parts[0][2] is None:
        pairs = _splits_of_subfolders(pairs)
    return _finish(pairs, problems, notes=notes)


def _splits_of_subfolders(pairs: list[Pair]) -> list[Pair]:
    """`images/train/a.png` with `masks/train/a.png`: the sub-folder is the split."""
    firsts = [pair.stem.split("/")[0].lower() if "/" in pair.stem else "" for pair in pairs]
    if not pairs or any(first not in SPLITS for first in firsts):
        return pairs
    return [Pair(p.stem, p.image, p.mask, p.group, SPLITS[f]) for p, f in zip(pairs, firsts, strict=True)]


def list_images(folder: Path) -> tuple[list[Path], list[str]]:
    """The image files below `folder`, sorted, and a sentence on the files left out.

    Hidden files and what systems leave behind (Thumbs.db) are passed over without a word.
    """
    files, strays = [], []
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if any(part.startswith((".", "__MACOSX")) for part in inner.parts) or not path.is_file():
            continue
        if path.suffix.lower() in IMAGE_SUFFIXES:
            files.append(path)
        elif path.name.lower() not in SYSTEM_FILES:
            strays.append(inner.as_posix())
    if not strays:
        return files, []
    shown = ", ".join(strays[:3]) + (", ..." if len(strays) > 3 else "")
    return files, [f"{folder.name}: {len(strays)} file(s) that are no images were left out ({shown})"]


def _bare(stem: str) -> str:
    """A mask's stem without its suffix."""
    for suffix in MASK_SUFFIXES:
        if stem.lower().endswith(suffix) and len(stem) > len(suffix):
            return stem[: -len(suffix)]
    return stem


def _by_key(files: list[Path], root: Path, *, bare: bool) -> dict[str, list[Path]]:
    """Files by their path below `root` without ending, for masks also without the mask suffix."""
    keyed: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        inner = file.relative_to(root).with_suffix("")
        key = inner.as_posix()
        if bare and _bare(inner.name) != inner.name:
            key = inner.with_name(_bare(inner.name)).as_posix()
        keyed[key].append(file)
    return dict(keyed)


def _match(images: dict[str, list[tuple[str, Path]]], masks: dict[str, list[Path]]) -> tuple[list[Pair], list[Problem]]:
    """Pair by the path below the folders; what is left over, by a stem unique on both sides."""
    masks = {key: list(files) for key, files in masks.items()}
    for key in [key for key in images if key not in masks]:
        # An image whose own name ends like a mask's ("a_seg.png" with masks/"a_seg.png").
        bare = str(Path(key).with_name(_bare(Path(key).name)).as_posix())
        same = [file for file in masks.get(bare, []) if file.stem == Path(key).name]
        if same and bare != key:
            masks[key] = same
            masks[bare] = [file for file in masks[bare] if file not in same]
    masks = {key: files for key, files in masks.items() if files}
    names = Counter(Path(key).name for key in images if key not in masks)
    spare = defaultdict(list)
    for key in masks:
        if key not in images:
            spare[Path(key).name].append(key)
    pairs: list[Pair] = []
    problems: list[Problem] = []
    used: set[str] = set()
    for key, entries in images.items():
        name = Path(key).name
        there = key
        if key not in masks and names[name] == 1 and len(spare[name]) == 1:
            there = spare[name][0]
        used.add(there)
        problems += _doubles(entries, masks.get(there, []))
        stem, image = entries[0]
        if there in masks:
            pairs.append(Pair(stem, image, masks[there][0]))
        else:
            problems.append(
                Problem(
                    "unpaired",
                    str(image),
                    "has no mask of the same stem",
                    "add the mask, or leave the image out",
                    False,
                )
            )
    for key, files in masks.items():
        if key not in used:
            what = "is a mask without an image of the same stem"
            problems += [Problem("unpaired", str(f), what, "add the image, or rename the mask", False) for f in files]
    return pairs, problems


def _doubles(images: list[tuple[str, Path]], masks: list[Path]) -> list[Problem]:
    """One stem with several images, or several masks for one image."""
    problems = []
    mend = "keep one of them, or give each its own stem"
    if len(images) > 1:
        others = ", ".join(file.name for _, file in images[1:])
        problems.append(Problem("stem_twice", str(images[0][1]), f"shares its stem with {others}", mend, True))
    if len(masks) > 1:
        others = ", ".join(file.name for file in masks[1:])
        problems.append(
            Problem("stem_twice", str(masks[0]), f"is not the only mask of its image: {others}", mend, True)
        )
    return problems


def _finish(pairs: list[Pair], problems: list[Problem], *, notes: list[str]) -> Found:
    """Short stems where they are unique, sorted pairs, and a sentence on what has no partner."""
    names = Counter(Path(pair.stem).name for pair in pairs)
    if all(count == 1 for count in names.values()):
        pairs = [Pair(Path(p.stem).name, p.image, p.mask, p.group, p.split) for p in pairs]
    else:
        notes = [
            *notes,
            "Sub-folders repeat file names, so an image is called by its path below the images folder",
        ]
    lonely = [problem for problem in problems if problem.kind == "unpaired"]
    if lonely and pairs:
        example = Path(lonely[0].file).name
        notes = [
            *notes,
            f"{len(lonely)} file(s) without a partner of the same stem were left out (such as {example})",
        ]
    return Found(tuple(sorted(pairs, key=lambda pair: pair.stem)), tuple(problems), tuple(notes))
