"""Cells as tables."""

from __future__ import annotations

import numpy as np
import pytest

from samtune.compare import Cell, Results
from tests.compare.made import FLOORS, STEMS, made


def test_seeds_that_failed_are_left_out_of_pairs() -> None:
    results = made(FLOORS | {"small": 0.6, "large": 0.5})
    del results.records[Cell("large", 16, 1)]  # type: ignore[attr-defined]
    told = results.compare("small", "large", 16)
    assert told is not None
    assert told.num_seeds == 2
    for seed in (0, 2):
        del results.records[Cell("large", 16, seed)]  # type: ignore[attr-defined]
    assert results.compare("small", "large", 16) is None
    assert results.summary("large", 16).num_missing == 3


def test_a_row_is_summed_up_over_its_finished_seeds() -> None:
    results = made(FLOORS | {"small": 0.6}, shots=(8, 16), slope=0.1)
    told = results.summary("small", 16)
    assert (len(told.scores), told.num_failed, told.num_missing) == (3, 0, 0)
    assert told.mean == pytest.approx(0.6)
    assert told.std == pytest.approx(np.std(told.scores, ddof=1))
    assert (told.trainable, told.time_s, told.memory_bytes, told.num_images) == (2_000, 10.0, 10**9, 16)
    assert results.summary("small", 8).mean == pytest.approx(0.5)
    assert results.summary("stock_sam", 8).scores == results.summary("stock_sam", 16).scores  # it learns nothing
    assert [(each.row, each.shots) for each in results.summaries()][:3] == [
        ("stock_sam", 0), ("probe", 8), ("probe", 16),
    ]  # fmt: skip
    results.records[Cell("small", 16, 0)]["status"] = "failed"
    del results.records[Cell("small", 16, 1)]  # type: ignore[attr-defined]
    told = results.summary("small", 16)
    assert (len(told.scores), told.num_failed, told.num_missing) == (1, 1, 1)
    assert np.isnan(told.std)


def test_a_row_that_never_finished_has_no_numbers() -> None:
    results = made({"small": 0.6})
    told = Results(results.task, results.cells, {}, STEMS).summary("small", 16)
    assert np.isnan(told.mean)
    assert (told.scores, told.num_missing, told.trainable, told.time_s, told.memory_bytes) == ((), 3, None, None, None)


def test_the_table_has_the_images_in_order() -> None:
    results = made(FLOORS | {"small": 0.6})
    table = results.table("small", 16, (0, 2))
    assert table.shape == (2, len(STEMS))
    assert table[1, 4] == results.records[Cell("small", 16, 2)]["per_image"][STEMS[4]]
    assert (results.table("stock_sam", 16, (0, 1)) == results.table("stock_sam", 16, (1, 0))).all()


def test_the_csv_has_every_cell_with_its_status() -> None:
    results = made({"small": 0.6})
    first, second, third = results.cells
    results.records[first]["counts"] |= {"updates": 80, "num_test": 30}
    results.records[second].update({"status": "failed", "error": {"text": "no memory"}})
    del results.records[third]  # type: ignore[attr-defined]
    header, *lines = results.table_rows()
    assert {len(line) for line in lines} == {len(header)}
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    assert [row["status"] for row in rows] == ["done", "failed", "missing"]
    assert (rows[0]["row"], rows[0]["images"], rows[0]["seed"], rows[0]["updates"]) == ("small", 16, 0, 80)
    assert rows[1]["error"] == "no memory"
