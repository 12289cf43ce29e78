"""A CSV or TSV that names images and masks: columns `image,mask` and, if wanted, `group` and `split`."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from samtune.errors import DataError
from samtune.inputs import read_text
from samtune.printable import shown
from samtune.types import Pair, Problem

COLUMNS = ("image", "mask", "group", "split")
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
"""Words for the parts of a split, in manifests and as folder names."""


def read_manifest(path: Path) -> tuple[list[Pair], list[Problem]]:
    """The pairs of a manifest; paths are relative to the manifest's own folder.

    The first line names the columns; `label` stands for `mask` where there is no such (AutoGluon's bundles).
    Columns other than `image`, `mask`, `group`, `split` are passed over.
    An empty `group` or `split` is none. Splits are train, val and test (valid, validation, training are
    understood).

    Raises:
        DataError: it is not a CSV or TSV, has no `image` or `mask` column, or a line has an unknown split.
    """
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        raise DataError(f"{path}: must be a folder, or a manifest that ends in .csv or .tsv")
    header, rows = _rows_of(path)
    columns = _columns(header, path)
    pairs: list[Pair] = []
    problems: list[Problem] = []
    for number, row in rows:
        if any(cell.strip() for cell in row[len(header) :]):
            raise DataError(
                f"Expected at most {len(header)} cells in line {number} of {path}, as in its first, got {len(row)}; "
                'put "..." around a name that holds the character between cells.'
            )
        cells = {name: row[index].strip() if index < len(row) else "" for name, index in columns.items()}
        if not any(cells.values()):
            continue
        pair = _pair_of(cells, path, number)
        missing = [file for file in (pair.image, pair.mask) if not _is_file(file)]
        for file in missing:
            what = f"is named in line {number} of {path.name} but is no file"
            problems.append(
                Problem("missing_file", str(file), what, "correct the path (relative to the manifest)", True)
            )
        if not missing:
            pairs.append(pair)
    seen: dict[Path, int] = {}
    for pair in pairs:
        seen[pair.image] = seen.get(pair.image, 0) + 1
    for image, count in seen.items():
        if count > 1:
            what = f"is named {count} times in {path.name}"
            problems.append(Problem("stem_twice", str(image), what, "keep one line per image", True))
    return pairs, problems


def _rows_of(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The cells of the first line, and of each further line with its number."""
    text = read_text(path, DataError, bytes_as_names=True)
    first = text.partition("\n")[0]
    delimiter = "\t" if "\t" in first else ";" if ";" in first else ","
    usual = csv.field_size_limit(max(len(text), 1))  # a column that is passed over may hold anything
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError(f"Expected CSV in {path}: {error} (line {reader.line_num}); check its quotes.") from error
    finally:
        csv.field_size_limit(usual)
    return (rows[0][1], rows[1:]) if rows else ([], [])


def _columns(header: list[str], path: Path) -> dict[str, int]:
    """Where the columns that are read stand."""
    names = [name.strip().lower() for name in header]
    if "label" in names and "mask" not in names:
        names[names.index("label")] = "mask"
    if "image" not in names or "mask" not in names:
        raise DataError(
            f"{path}: the first line must name the columns image,mask[,group,split], but is {shown(','.join(header))}; "
            "add it"
        )
    twice = sorted(name for name in COLUMNS if names.count(name) > 1)
    if twice:
        raise DataError(f"Expected each column once in the first line of {path}, got {', '.join(twice)} twice.")
    return {name: names.index(name) for name in COLUMNS if name in names}


def _is_file(path: Path) -> bool:
    """Whether a regular file is there; a path that nothing can have names none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _pair_of(cells: dict[str, str], path: Path, number: int) -> Pair:
    """One line as a pair; its stem is the image's path without ending, shortened later if unique."""
    if not cells["image"] or not cells["mask"]:
        raise DataError(f"{path}, line {number}: must name an image and a mask, but one is empty; remove the line")
    split = cells.get("split", "").lower()
    if split and split not in SPLITS:
        raise DataError(f"{path}, line {number}: split must be train, val or test, got {shown(split)}")
    image, mask = (path.parent / cells[name].replace("\\", "/") for name in ("image", "mask"))
    named = Path(cells["image"].replace("\\", "/"))
    if named.name in ("", ".."):
        raise DataError(f"Expected the name of an image in line {number} of {path}, got {shown(cells['image'])}.")
    stem = named.with_suffix("").as_posix().lstrip("/")
    return Pair(stem, image, mask, cells.get("group") or None, SPLITS.get(split))
