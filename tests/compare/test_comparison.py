"""A comparison as a whole: its JSON, its failures, its runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from samtune.compare import Cell, Comparison, Suggestion, Suggestions
from tests.compare.made import FLOORS, made
from tests.pages.test_comparison import compared, lora_results


def test_the_keys_of_the_json_are_these(tmp_path: Path) -> None:
    content = compared(lora_results(shots=(4, 8, 16), slope=0.05), tmp_path).to_json()
    assert list(content) == [
        "out", "keep", "best", "num_test", "num_cells", "num_new", "rows", "best_minus", "groups", "regressions",
        "forecast", "advice", "suggestions", "failures", "notes", "interrupted", "csv",
    ]  # fmt: skip
    assert list(content["rows"][0]) == [
        "row", "images", "iou_per_image", "std", "num_seeds", "num_failed", "num_missing", "trainable", "seconds",
        "peak_memory_bytes",
    ]  # fmt: skip
    assert list(content["groups"][0]) == [
        "group", "num_images", "kept", "stock_sam", "difference", "low", "high", "verdict",
    ]  # fmt: skip
    assert list(content["forecast"]) == [
        "num_images", "means", "fitted", "target", "predicted", "gain", "low", "high", "misfit", "verdict",
    ]  # fmt: skip
    assert content["num_cells"] == 1 + 4 * 3 * 3
    json.dumps(content)


def test_suggestions_are_listed_where_they_were_asked_for(tmp_path: Path) -> None:
    comparison = compared(lora_results(), tmp_path)
    assert comparison.to_json()["suggestions"] is None
    suggestions = Suggestions((Suggestion(Path("a.png"), 0.5, 1.0),), 7)
    assert comparison.to_json(suggestions)["suggestions"] == [{"file": "a.png", "disagreement": 0.5, "novelty": 1.0}]


def test_failed_cells_say_why(tmp_path: Path) -> None:
    results = lora_results()
    results.records[Cell("lora", 16, 1)].update(status="failed", error={"kind": "ChildDied", "text": "No memory."})
    comparison = compared(results, tmp_path)
    assert comparison.failures == [{"cell": "lora-16-1", "why": "ChildDied: No memory."}]
    assert [run.name for run in comparison.runs("lora", 16)] == ["lora-16-0-000000000000", "lora-16-2-000000000000"]


def test_without_a_method_nothing_is_suggested(tmp_path: Path) -> None:
    results = made(FLOORS)
    comparison = compared(results, tmp_path)
    empty = Comparison(tmp_path, comparison.job, replace(results, records={}),
                       compared(replace(results, records={}), tmp_path).advice, ())  # fmt: skip
    assert empty.suggest(tmp_path, 3) is None
    assert empty.to_json()["keep"] is None
    assert empty.to_json()["rows"][0]["num_missing"] == 1


@pytest.mark.parametrize("missing", [0, 2])
def test_rows_count_what_is_missing(missing: int, tmp_path: Path) -> None:
    results = lora_results()
    for seed in range(missing):
        del results.records[Cell("unet", 16, seed)]  # type: ignore[attr-defined]
    rows = {row["row"]: row for row in compared(results, tmp_path).to_json()["rows"]}
    assert (rows["unet"]["num_missing"], rows["unet"]["num_seeds"]) == (missing, 3 - missing)


def test_it_shows_itself_in_one_line_and_in_html(tmp_path: Path) -> None:
    comparison = compared(lora_results(), tmp_path)
    assert repr(comparison).startswith("Comparison(folder='")
    assert "test_images=30, cells='" in repr(comparison)
    assert repr(comparison).endswith(f"keep={comparison.advice.keep!r})")
    page = comparison._repr_html_()
    assert "<td>lora</td><td>16</td>" in page
    assert "<td>Stock SAM</td>" in page
