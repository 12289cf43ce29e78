"""The table of annotation formats, and the choice of the one that detects its data with the highest certainty."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtune.data.formats.folders import MaskFolders
from samtune.data.formats.format import Format, Records
from samtune.data.formats.manifest import Manifest
from samtune.data.formats.public_set import PublicSet
from samtune.data.options import DataOptions
from samtune.errors import DataError
from samtune.inputs import as_path
from samtune.plugins import Table, instance_of

if TYPE_CHECKING:
    from samtune.data.formats.format import Detection


def _as_format(value: Any) -> Format:
    """Return a format, made from its class if it comes as one.

    Raises:
        ConfigError: members are missing.
    """
    made: Format = instance_of(Format, value)
    return made


FORMATS: Table[Format] = Table(
    "annotation format", "samtune.formats", (MaskFolders(), Manifest(), PublicSet()), _as_format
)
"""Name -> format; installed packages add more. The order has no meaning: a path that two formats detect with equal
certainty is refused."""


def find_pairs(images: Path | str, masks: Path | str | None = None, options: DataOptions | None = None) -> Records:
    """Find the images of a data set and the mask of each.

    Args:
        images: a folder of images with its sub-folders; a CSV or TSV manifest with the columns
            `image,mask[,group,split]`; with `masks` left out, one folder that holds `images/` and `masks/`, or
            `{train,val,test}/{images,masks}`, or images and masks side by side (`a.png`, `a_mask.png`); or a public
            data set, `cod10k:PATH` or `cod10k/test:PATH`. `NAME:PATH` selects a format of `FORMATS` if several can read
            the path.
        masks: the folder of masks. A mask has the stem of its image, and possibly a word such as `mask`, the number of
            an object, or another ending.
        options: what the files leave open, such as whether several masks of one image are objects.

    Returns:
        Records with pairs sorted by stem; a stem is the file name without ending, or the path below the images folder
        if two images of the data set share a file name.

    Raises:
        DataError: a path does not exist, no format or more than one detects it, or nothing can be read.
    """
    options = options or DataOptions()
    masks = None if masks is None else as_path(masks)
    name, colon, path = str(images).partition(":")
    if colon and name in FORMATS:
        return _finish(FORMATS[name].read(as_path(path), masks, options))
    images = as_path(images)
    return _finish(detect_format(images, masks).read(images, masks, options))


def detect_format(images: Path, masks: Path | None) -> Format:
    """Return the format that detects its data with the highest certainty.

    Raises:
        DataError: a path does not exist, no format detects its data, or two do with equal certainty.
    """
    claims = [(each, each.detect(images, masks)) for each in FORMATS.values()]
    detections = [(each, detection) for each, detection in claims if detection is not None]
    if not detections:
        raise _nothing_detected(images, masks)
    highest = max(detection.certainty for _, detection in detections)
    best = [(each, detection) for each, detection in detections if detection.certainty == highest]
    if len(best) > 1:
        raise _ambiguous(images, best)
    return best[0][0]


def _nothing_detected(images: Path, masks: Path | None) -> DataError:
    for path in (images, masks):
        if path is not None and not path.exists():
            return DataError(f"{path}: no such file or folder; check the path")
    expected = ", ".join(each.expects for each in FORMATS.values())
    return DataError(f"{images if masks is None else masks}: no format reads this path; expected one of: {expected}")


def _ambiguous(images: Path, best: list[tuple[Format, Detection]]) -> DataError:
    claims = " and as ".join(f"{each.expects} ({detection.reason})" for each, detection in best)
    names = " or ".join(f"`{each.name}:{images}`" for each, _ in best)
    return DataError(f"{images}: can be read as {claims}; choose one by passing {names}")


def _finish(records: Records) -> Records:
    """Shorten stems to file names where these are unique, sort the pairs, and count files without a partner."""
    names = Counter(Path(pair.stem).name for pair in records.pairs)
    pairs, notes = records.pairs, list(records.notes)
    if all(count == 1 for count in names.values()):
        pairs = tuple(replace(pair, stem=Path(pair.stem).name) for pair in pairs)
    else:
        notes.append("Sub-folders repeat file names, so each image is named by its path below the images folder")
    unpaired = [problem for problem in records.problems if problem.kind == "unpaired"]
    if unpaired and pairs:
        example = Path(unpaired[0].file).name
        notes.append(f"{len(unpaired)} file(s) without a partner of the same stem were left out (such as {example})")
    return replace(records, pairs=tuple(sorted(pairs, key=lambda pair: pair.stem)), notes=tuple(notes))
