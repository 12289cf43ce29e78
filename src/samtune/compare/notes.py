"""Notes of a comparison: on stored cells that are not part of it, and on cells that are not comparable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from samtune.compare.settings import Cell
from samtune.compare.sharing import Division

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def note_on_others(others: Sequence[dict[str, Any]], configs: Mapping[Cell, dict[str, Any]]) -> str:
    """Return a sentence on stored cells that are not part of this comparison, and on what differs.

    Args:
        others: records of the stored cells, at least one.
        configs: cell of this comparison -> its configuration.
    """
    differing: dict[str, str] = {}
    unrequested = 0
    for record in others:
        config = configs.get(Cell(record["row"], record["shots"], record["seed"]))
        if config is None:
            unrequested += 1
            continue
        for key in sorted(config.keys() | record["config"].keys()):
            old, new = record["config"].get(key), config.get(key)
            if old != new:
                shown = "other images or labels" if key in ("test", "train", "val") else f"{old!r}, now {new!r}"
                differing.setdefault(key, f"{key}: {shown}")
    why = "; ".join(differing.values())
    parts = [f"were made with other settings ({why})"] if differing else []
    parts += [f"are not requested now ({unrequested})"] if unrequested else []
    return f"{len(others)} cell(s) in this folder {' or '.join(parts)}; they are kept but not shown."


def cell_notes(records: Mapping[Cell, dict[str, Any]]) -> list[str]:
    """Return sentences on cells that are not comparable, and on trainings that collapsed or diverged.

    Args:
        records: cell -> its record, of finished and of failed cells.
    """
    notes = []
    for key, name in (("versions", "versions"), ("commit", "commits"), ("machine", "machines")):
        different = {str(_without_division(record.get(key))) for record in records.values()}
        if len(different) > 1:
            notes.append(f"The cells were computed with different {name}: {'; '.join(sorted(different))}.")
    divisions = {
        str(Division(record["machine"].get("cells_at_once", 1), record["machine"]["threads"])).rstrip(".")
        for record in records.values()
    }
    if len(divisions) > 1:
        notes.append(
            f"The cells ran in different ways ({'; '.join(sorted(divisions))}): their times are not comparable."
        )
    for cell, record in records.items():
        notes += [f"{cell.name}: {note}" for note in record.get("notes", []) if note.startswith("Collapse")]
        if record.get("stopped") == "diverged":
            notes.append(f"{cell.name}: the training diverged; its scores are those of the best step before.")
    return notes


def _without_division(value: Any) -> Any:
    """Return the machine of a record without its division."""
    if not isinstance(value, dict):
        return value
    return {key: content for key, content in value.items() if key not in ("threads", "cells_at_once")}
