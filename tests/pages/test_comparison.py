"""Terminal, JSON and page of a comparison say the same, and the same as the page of a run with these numbers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from samtune.cli.comparison_text import comparison_text
from samtune.compare import Cell, CompareSettings, Comparison, Results, advise, here
from samtune.compare.groups import ImageGroup
from samtune.compare.job import Job
from samtune.data import Dataset
from samtune.metrics import run_verdict
from samtune.pages import write_comparison_page
from samtune.pages.comparison import compared_rows, short_commit
from samtune.tasks import Areas
from tests.compare.made import FLOORS, STEMS, made
from tests.report.test_page import Page

FAILED = {"status": "failed", "error": {"kind": "ChildDied", "text": "The process was ended by SIGKILL."}}


def compared(results: Results, folder: Path) -> Comparison:
    """A comparison of made-up cells, whose runs are gone."""
    for record in results.records.values():
        record |= {
            "digest": "0" * 64,
            "machine": {"processor": "x86_64", "threads": 1},
            "finished": "2026-01-01T00:00:00",
            "versions": {"samtune": "0"},
            "commit": None,
        }
    dataset = cast("Dataset", SimpleNamespace(class_names=("cell",)))
    job = Job(CompareSettings(methods=("lora",), num_seeds=3), dataset, (), (), folder)
    groups = (ImageGroup("easy ones", tuple(range(10))), ImageGroup("hard ones", tuple(range(10, 30))))
    return Comparison(folder, job, results, advise(results, groups, ("No more groups.",)), ("A note.",))


def lora_results(**options: Any) -> Results:
    """`lora` beside the baselines; the probe is better on two images."""
    results = made(FLOORS | {"small": 0.6}, **options)
    renamed = {Cell("lora" if cell.row == "small" else cell.row, cell.shots, cell.seed): record
               for cell, record in results.records.items()}  # fmt: skip
    for cell, record in renamed.items():
        if cell.row == "probe":
            record["per_image"] |= {STEMS[3]: 0.97, STEMS[7]: 0.99}
    return Results(Areas(), tuple(renamed), renamed, STEMS)


def test_terminal_json_and_page_say_the_same(tmp_path: Path) -> None:
    results = lora_results()
    results.records[Cell("unet", 16, 2)].update(FAILED)
    comparison = compared(results, tmp_path)
    page, file = write_comparison_page(comparison, title="Cells", run=here)
    content = comparison.to_json() | {"report": str(file)}
    text, html = comparison_text(page, content), Page(file.read_text(encoding="utf-8")).text
    assert content["keep"] == "lora"
    assert len(content["advice"]) > 4
    for sentence in content["advice"]:
        assert sentence in text
        assert sentence in html
    assert {each["name"] for each in content["regressions"]} == {STEMS[7], STEMS[3]}
    for each in content["regressions"]:
        assert f"{each['name']}: {each['specialist']:.3f}, the probe {each['value']:.3f}" in text
        assert each["name"] in html
    for row in content["rows"]:
        assert f"{row['iou_per_image']:.3f}" in text
        assert f"{row['iou_per_image']:.3f}" in html
    for failure in content["failures"]:
        assert f"Failed: {failure['cell']}: {failure['why']}" in text
        assert failure["why"] in html
    assert "Failed: unet-16-2: ChildDied" in text
    for label in ("Stock SAM", "Probe", "Blurred colour", "U-Net", "lora *"):
        assert f"\n{label}" in text


@pytest.mark.parametrize("stock", [0.2, 0.59, 0.598, 0.7])
def test_a_run_with_the_same_numbers_has_the_same_verdict(stock: float, tmp_path: Path) -> None:
    results = made(FLOORS | {"small": 0.6, "stock_sam": stock}, seeds=1, noise=0.02)
    summary = compared(results, tmp_path).advice.summary
    kept, untouched = (results.records[cell] for cell in (Cell("small", 16, 0), Cell("stock_sam", 0, 0)))
    rows = {
        row: {"num_images": len(STEMS), "iou_per_image": record["metrics"]["iou_per_image"]}
        for row, record in (("specialist", kept), ("stock_sam", untouched))
    }
    verdict = run_verdict(rows, {"specialist": kept["per_image"], "stock_sam": untouched["per_image"]})
    assert verdict[0].replace("the specialist", "small") in summary


def test_detection_is_the_mean_over_draws_in_terminal_json_and_page(tmp_path: Path) -> None:
    results = lora_results()
    for cell, record in results.records.items():
        values = dict.fromkeys(("sensitivity", "auroc"), 0.75 + 0.125 * cell.seed / 2)
        record["metrics"]["detection"] = {
            "num_with_objects": 8, "num_empty": 22, **values, "specificity": None,
            "false_alarms_per_empty_image": 1.5 if cell.row == "lora" else 0.25,
        }  # fmt: skip
    comparison = compared(results, tmp_path)
    page, file = write_comparison_page(comparison, title="Cells", run=here)
    content = comparison.to_json() | {"report": str(file)}
    (lora,) = [row for row in content["rows"] if row["row"] == "lora"]
    assert lora["detection"]["auroc"] == pytest.approx((0.75 + 0.8125 + 0.875) / 3)
    assert lora["detection"]["specificity"] is None
    assert lora["detection"]["false_alarms_per_empty_image"] == 1.5
    lines = comparison_text(page, content).splitlines()
    (line,) = [line for line in lines if line.startswith("lora ") and "1.500" in line]
    assert line.split()[1:] == ["0.812", "–", "0.812", "1.500"]
    html = Page(file.read_text(encoding="utf-8")).text
    assert "Does the image have objects?" in html
    assert "1.500" in html


def test_sets_without_empty_images_have_no_detection(tmp_path: Path) -> None:
    comparison = compared(lora_results(), tmp_path)
    page, file = write_comparison_page(comparison, title="Cells", run=here)
    content = comparison.to_json() | {"report": str(file)}
    assert not any("detection" in row for row in content["rows"])
    assert "false alarms" not in comparison_text(page, content)
    assert "Does the image have objects?" not in file.read_text(encoding="utf-8")


def test_rows_are_methods_then_baselines(tmp_path: Path) -> None:
    rows = compared_rows(compared(lora_results(), tmp_path))
    assert [row.label for row in rows] == ["lora", "Stock SAM", "Probe", "Blurred colour", "U-Net"]
    assert [row.is_kept for row in rows] == [True, False, False, False, False]
    stock = rows[1]
    assert (stock.num_images, stock.trainable) == ((), 0)
    assert stock.level == pytest.approx(0.2)
    assert rows[0].against_best == "best"
    assert rows[4].against_best.endswith("worse")


def test_a_comparison_whose_runs_are_gone_has_no_examples(tmp_path: Path) -> None:
    page, _ = write_comparison_page(compared(lora_results(), tmp_path), title="Cells", run=here)
    assert page.examples == []


def test_commits_are_short_and_keep_their_mark() -> None:
    assert short_commit("0123456789abcdef") == "0123456789ab"
    assert short_commit("0123456789abcdef+") == "0123456789ab+"
