"""Notes on cells that are not comparable, and on stored cells that are not part of a comparison."""

from __future__ import annotations

from typing import Any

import pytest

from samtune.compare import Cell
from samtune.compare.notes import cell_notes, note_on_others

FIRST, SECOND = Cell("ptsam", 4, 0), Cell("lora", 4, 0)


def record(**changes: Any) -> dict[str, Any]:
    machine = {"cpu": "x86", "threads": 1, "cells_at_once": 1} | changes.pop("machine", {})
    return {"versions": {"torch": "2.9"}, "commit": "abc", "machine": machine} | changes


def test_equal_cells_need_no_note() -> None:
    assert cell_notes({}) == []
    assert cell_notes({FIRST: record(), SECOND: record(notes=["3 images were scaled"], stopped="early")}) == []


def test_a_different_division_is_noted_and_is_no_other_machine() -> None:
    (note,) = cell_notes({FIRST: record(), SECOND: record(machine={"cells_at_once": 2})})
    assert "1 cell at a time, 1 thread each; 2 cells at a time, 1 thread each" in note
    assert "times are not comparable" in note


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"versions": {"torch": "2.10"}}, "versions"),
        ({"commit": "def"}, "commits"),
        ({"machine": {"cpu": "arm"}}, "machines"),
    ],
)
def test_what_computed_the_cells_differs(changes: dict[str, Any], name: str) -> None:
    (note,) = cell_notes({FIRST: record(), SECOND: record(**changes)})
    assert note.startswith(f"The cells were computed with different {name}: ")


def test_trainings_that_collapsed_or_diverged_are_named() -> None:
    records = {FIRST: record(notes=["Collapse: only background.", "other"]), SECOND: record(stopped="diverged")}
    assert cell_notes(records) == [
        "ptsam-4-0: Collapse: only background.",
        "lora-4-0: the training diverged; its scores are those of the best step before.",
    ]


def test_stored_cells_of_other_settings_are_explained() -> None:
    stored = {"row": "ptsam", "shots": 4, "seed": 0, "config": {"updates": 80, "train": "a"}}
    unrequested = {"row": "unet", "shots": 4, "seed": 0, "config": {}}
    note = note_on_others([stored, unrequested], {FIRST: {"updates": 40, "train": "b"}})
    assert note == (
        "2 cell(s) in this folder were made with other settings (train: other images or labels; updates: 80, now 40) "
        "or are not requested now (1); they are kept but not shown."
    )
