"""Cells on disk: read back only for the same configuration, and whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from samtune.compare import Cell
from samtune.compare.cells import DONE, FAILED, FORMAT, CellStore, cell_bytes, commit, digest_of, machine

CELL = Cell("ptsam", 4, 1)
CONFIG = {"row": "ptsam", "shots": 4, "seed": 1, "train": "abc"}


def stored(config: dict[str, Any]) -> dict[str, Any]:
    return {"format": FORMAT, "digest": digest_of(config), "config": config, "status": "done"}


def test_a_cell_reads_back_for_its_configuration_alone(tmp_path: Path) -> None:
    store = CellStore(tmp_path / "cells")
    record = stored(CONFIG)
    assert store.read(CELL, record["digest"]) is None
    file = store.write(CELL, record)
    assert file.name == f"ptsam-4-1-{record['digest'][:12]}.json"
    assert store.read(CELL, record["digest"]) == record
    assert store.read(CELL, digest_of(CONFIG | {"train": "abd"})) is None
    assert store.read(Cell("ptsam", 4, 2), record["digest"]) is None


def test_a_damaged_cell_is_none(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    record = stored(CONFIG)
    file = store.write(CELL, record)
    content = file.read_text()
    file.write_text(content[: len(content) // 2])
    assert store.read(CELL, record["digest"]) is None
    store.write(CELL, record | {"format": FORMAT + 1})
    assert store.read(CELL, record["digest"]) is None


def test_cells_of_other_settings_are_listed(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    mine, other = stored(CONFIG), stored(CONFIG | {"updates": 9})
    file = store.write(CELL, mine)
    store.write(CELL, other)
    (tmp_path / "notes.json").write_text('["of the user"]')
    (tmp_path / "cut.json").write_text("{")
    assert store.others({file}) == [other]


def test_the_digest_is_of_the_values_whatever_their_order() -> None:
    assert digest_of(CONFIG) == digest_of(dict(reversed(CONFIG.items())))
    assert digest_of(CONFIG) != digest_of(CONFIG | {"seed": 2})


def test_a_record_names_what_computed_it() -> None:
    assert {"system", "processor", "gpu"} == set(machine())
    found = commit()
    assert found is None or len(found.rstrip("+")) == 40


def measured(peak: int | None, status: str = DONE) -> dict[str, Any]:
    return {"status": status, "memory_bytes": {"process_peak": peak}}


def test_a_measured_peak_replaces_the_estimate_of_memory() -> None:
    records = {
        Cell("unet", 4, 0): measured(800),
        Cell("unet", 4, 1): measured(1000),
        Cell("unet", 4, 2): {"status": FAILED},
        Cell("probe", 4, 0): measured(9000),
        Cell("lora", 4, 0): measured(None),
    }
    assert cell_bytes("unet", records, {"unet": 7}) == 1250
    assert cell_bytes("lora", records, {"lora": 7}) == 7
    assert cell_bytes("ptsam", records, {"ptsam": 7}) == 7
