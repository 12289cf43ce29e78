"""A CSV or TSV that names images and masks: columns `image,mask` and, if wanted, `group` and `split`."""

from __future__ import annotations

import csv
from pathlib import Path

from samtune.errors import DataError
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
    text = _text_of(path)
    lines = text.splitlines()
    first = lines[0] if lines else ""
    delimiter = "\t" if "\t" in first else ";" if ";" in first else ","
    reader = csv.DictReader(lines, delimiter=delimiter)
    columns = {name.strip().lower(): name for name in reader.fieldnames or [] if name}
    if "label" in columns:
        columns.setdefault("mask", columns["label"])
    if "image" not in columns or "mask" not in columns:
        raise DataError(
            f"{path}: the first line must name the columns image,mask[,group,split], but is {first!r}; add it"
        )
    pairs: list[Pair] = []
    problems: list[Problem] = []
    for number, row in enumerate(reader, start=2):
        cells = {column: (row.get(columns[column]) or "").strip() for column in COLUMNS if column in columns}
        if not any(cells.values()):
            continue
        pair = _pair_of(cells, path, number)
        missing = [file for file in (pair.image, pair.mask) if not file.is_file()]
        for file in missing:
            what = f"is named in line {number} of {path.name} but does not exist"
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


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: a manifest must be UTF-8 text; save it as CSV UTF-8") from error


def _pair_of(cells: dict[str, str], path: Path, number: int) -> Pair:
    """One line as a pair; its stem is the image's path without ending, shortened later if unique."""
    if not cells["image"] or not cells["mask"]:
        raise DataError(f"{path}, line {number}: must name an image and a mask, but one is empty; remove the line")
    split = cells.get("split", "").lower()
    if split and split not in SPLITS:
        raise DataError(f"{path}, line {number}: split must be train, val or test, got {split!r}")
    image, mask = (path.parent / cells[name].replace("\\", "/") for name in ("image", "mask"))
    stem = Path(cells["image"].replace("\\", "/")).with_suffix("").as_posix().lstrip("/")
    return Pair(stem, image, mask, cells.get("group") or None, SPLITS.get(split))
