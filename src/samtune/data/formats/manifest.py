"""A CSV or TSV manifest: the columns `image` and `mask`, and optionally `group` and `split`."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from samtune.data.formats.format import Certainty, Detection, Records
from samtune.errors import DataError
from samtune.inputs import read_text
from samtune.printable import shown
from samtune.types import Pair, Problem

if TYPE_CHECKING:
    from samtune.data.options import DataOptions

SUFFIXES = (".csv", ".tsv", ".txt")
COLUMNS = ("image", "mask", "group", "split")
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
"""Word for a part of a split, in manifests and as a folder name -> the part."""

HEAD = 4096
"""Bytes at the start of a file that are searched for the names of columns."""


class Manifest:
    """Format of CSV and TSV files with one line per pair."""

    name = "manifest"
    expects = "a CSV or TSV manifest with the columns image,mask[,group,split]"

    def detect(self, images: Path, masks: Path | None) -> Detection | None:
        """See `Format.detect`; the first line of a manifest names its columns."""
        if images.suffix.lower() not in SUFFIXES or not _is_file(images):
            return None
        try:
            with images.open("rb") as file:
                lines = file.read(HEAD).decode("utf-8-sig", errors="replace").splitlines()
        except OSError:
            lines = []
        first = lines[0] if lines else ""
        columns = {cell.strip(' "').lower() for cell in first.split(_delimiter(first))}
        if "image" in columns and columns & {"mask", "label"}:
            return Detection(Certainty.CONTENT, f"the first line of {images.name} names the columns image and mask")
        return Detection(Certainty.POSSIBLE, f"{images.name} ends in {images.suffix}")

    def read(self, images: Path, masks: Path | None, options: DataOptions) -> Records:
        """See `Format.read`."""
        if masks is not None:
            raise DataError(f"{images}: a manifest names the masks itself; leave out the masks folder ({masks})")
        pairs, problems = read_manifest(images)
        return Records(tuple(pairs), tuple(problems), (), options)


def read_manifest(path: Path) -> tuple[list[Pair], list[Problem]]:
    """Read the pairs of a manifest; paths in it are relative to its own folder.

    The first line names the columns. A column `label` is read as `mask` if there is no column `mask` (as in AutoGluon's
    bundles); further columns are ignored. An empty `group` or `split` means none. Splits are train (training), val
    (valid, validation) and test.

    Returns:
        The pairs whose files exist, and a problem for every missing file and for every image named twice.

    Raises:
        DataError: the file is not a CSV or TSV, the column `image` or `mask` is missing, or a line has no image, no
            mask or an unknown split.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: expected a manifest with the suffix {', '.join(SUFFIXES)}; rename the file")
    header, rows = _rows_of(path)
    columns = _columns(header, path)
    pairs: list[Pair] = []
    problems: list[Problem] = []
    for number, row in rows:
        if any(cell.strip() for cell in row[len(header) :]):
            raise DataError(
                f"{path}, line {number}: expected at most {len(header)} cells as in the first line, got {len(row)}; "
                'put "..." around a name that contains the delimiter'
            )
        cells = {name: row[index].strip() if index < len(row) else "" for name, index in columns.items()}
        if not any(cells.values()):
            continue
        pair = _pair_of(cells, path, number)
        missing = [file for file in (pair.image, pair.mask) if not _is_file(file)]
        for file in missing:
            what = f"is named in line {number} of {path.name} but is not an existing file"
            mend = "correct the path, which is relative to the manifest's folder"
            problems.append(Problem("missing_file", str(file), what, mend, True))
        if not missing:
            pairs.append(pair)
    for image, count in Counter(pair.image for pair in pairs).items():
        if count > 1:
            what = f"is named {count} times in {path.name}"
            problems.append(Problem("stem_twice", str(image), what, "keep one line per image", True))
    return pairs, problems


def _rows_of(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the cells of the first line, and those of each further line with its number."""
    text = read_text(path, DataError, bytes_as_names=True)
    first = text.partition("\n")[0]
    default_limit = csv.field_size_limit(max(len(text), 1))  # an ignored column may hold long texts
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(first), strict=True)
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not a valid CSV ({error}); check its quotes") from error
    finally:
        csv.field_size_limit(default_limit)
    return (rows[0][1], rows[1:]) if rows else ([], [])


def _delimiter(first: str) -> str:
    """Return the delimiter, as the first line shows it."""
    return "\t" if "\t" in first else ";" if ";" in first else ","


def _columns(header: list[str], path: Path) -> dict[str, int]:
    """Return the index of each column that is read, by name."""
    names = [name.strip().lower() for name in header]
    if "label" in names and "mask" not in names:
        names[names.index("label")] = "mask"
    if "image" not in names or "mask" not in names:
        raise DataError(
            f"{path}: expected the columns image,mask[,group,split] in the first line, got {shown(','.join(header))}; "
            "add that line"
        )
    repeated = sorted(name for name in COLUMNS if names.count(name) > 1)
    if repeated:
        raise DataError(
            f"{path}: expected each column once in the first line, got {', '.join(repeated)} twice; keep one"
        )
    return {name: names.index(name) for name in COLUMNS if name in names}


def _is_file(path: Path) -> bool:
    """Return whether a regular file exists; False for a path that no file can have, such as one that is too long."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _pair_of(cells: dict[str, str], path: Path, number: int) -> Pair:
    """Return one line as a pair; its stem is the path of the image without ending."""
    if not cells["image"] or not cells["mask"]:
        raise DataError(
            f"{path}, line {number}: expected an image and a mask, got an empty cell; fill it or remove the line"
        )
    split = cells.get("split", "").lower()
    if split and split not in SPLITS:
        raise DataError(f"{path}, line {number}: expected train, val or test as the split, got {shown(split)}")
    image, mask = (path.parent / cells[name].replace("\\", "/") for name in ("image", "mask"))
    named = Path(cells["image"].replace("\\", "/"))
    if named.name in ("", ".."):
        raise DataError(f"{path}, line {number}: expected the name of an image, got {shown(cells['image'])}")
    stem = named.with_suffix("").as_posix().lstrip("/")
    return Pair(stem, image, mask, cells.get("group") or None, SPLITS.get(split))
