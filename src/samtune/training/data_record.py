"""Record of the data of a run (`split.json`), and its comparison when the run is resumed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from samtune.data import content_id, split_record
from samtune.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from samtune.data import Dataset, Split

MAX_NAMED = 5
"""Number of files that are named for each kind of change."""

PARTS = ("train", "val", "test")


def data_record(dataset: Dataset, parts: Split, validation: Dataset | None) -> dict[str, Any]:
    """Describe the data of a run.

    Args:
        dataset: the annotated images.
        parts: indices of the training, validation and test images.
        validation: images for validation alone; None where `parts` has the validation images.

    Returns:
        `split_record`, with the digest of each label map ("mask_id") of the images that train and validate, the class
        names, how masks are encoded, and whether validation has images of its own. JSON values.
    """
    record = split_record(dataset, parts)
    _add_mask_ids(record["train"], dataset, parts.train)
    if validation is None:
        _add_mask_ids(record["val"], dataset, parts.val)
    else:
        everything = replace(parts, train=(), val=tuple(range(len(validation))), test=())
        record["val"] = split_record(validation, everything)["val"]
        _add_mask_ids(record["val"], validation, everything.val)
    return record | {
        "class_names": list(dataset.class_names),
        "encoding": dataset.encoding.kind,
        "own_validation": validation is not None,
    }


def check_data(stored: dict[str, Any], now: dict[str, Any], file: Path) -> None:
    """Refuse to continue a run whose data changed.

    Args:
        stored: `data_record` of the start of the run; entries that earlier versions did not write are not compared.
        now: `data_record` of the present data.
        file: file that holds `stored`.

    Raises:
        DataError: the data changed; the message names up to five files for each kind of change.
    """
    changes = [
        f"the {words} were {stored[key]!r} and are {now[key]!r}"
        for key, words in (("class_names", "class names"), ("encoding", "mask encoding"))
        if key in stored and stored[key] != now[key]
    ]
    own = bool(now["own_validation"])
    if stored.get("own_validation", own) != own:
        changes.append(f"validation {'now has' if own else 'no longer has'} images of its own")
    else:
        changes += _changed_files(_rows(stored, not own), _rows(now, not own), "")
        if own:
            changes += _changed_files(_by_stem(stored["val"]), _by_stem(now["val"]), "validation ")
    if not changes and any(_stems(stored, part) != _stems(now, part) for part in PARTS):
        changes.append("the named splits or groups of the images differ")
    if changes:
        raise DataError(
            f"The data changed since this run was started ({file}): {'; '.join(changes)}. Restore the data to resume "
            "the run, or train in a new folder."
        )


def _add_mask_ids(rows: list[dict[str, Any]], dataset: Dataset, indices: Sequence[int]) -> None:
    for row, index in zip(rows, indices, strict=True):
        row["mask_id"] = content_id(dataset.labels(index))


def _rows(record: dict[str, Any], with_val: bool) -> dict[str, dict[str, Any]]:
    parts = PARTS if with_val else ("train", "test")
    return _by_stem([row for part in parts for row in record[part]])


def _by_stem(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["stem"]: row for row in rows}


def _stems(record: dict[str, Any], part: str) -> list[str]:
    return [row["stem"] for row in record[part]]


def _changed_files(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]], kind: str) -> list[str]:
    """Return the differences between two sets of images, each as a clause."""
    common = sorted(old.keys() & new.keys())

    def differing(key: str) -> list[str]:
        return [stem for stem in common if None not in (a := old[stem].get(key), b := new[stem].get(key)) and a != b]

    changes = (
        (f"{kind}images added", sorted(new.keys() - old.keys())),
        (f"{kind}images removed", sorted(old.keys() - new.keys())),
        (f"{kind}images changed", differing("content_id")),
        (f"{kind}masks changed", differing("mask_id")),
    )
    return [f"{len(stems)} {what} ({_named(stems)})" for what, stems in changes if stems]


def _named(stems: list[str]) -> str:
    more = len(stems) - MAX_NAMED
    return ", ".join(f"`{stem}`" for stem in stems[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
