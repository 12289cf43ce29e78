"""Cells: what they hold, that they are computed once, that one which fails stops nothing, and where they come from."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samtune.compare import (
    BASELINES,
    Cell,
    Committee,
    CompareSettings,
    Comparison,
    Outcome,
    compare,
    here,
    isolated,
    suggest,
    write_page,
)
from samtune.compare.features import prepare
from samtune.compare.isolation import ChildDied
from samtune.compare.measure import measure
from samtune.comparison_folder import FEATURES_FILE
from samtune.data import Dataset, make_samples, open_dataset
from samtune.errors import ConfigError, DataError, WeightsError
from samtune.predict import evaluate
from tests.compare.conftest import settings

Runs = list[str]


def counted(calls: Runs, fail: tuple[str, ...] = ()) -> Any:
    """A runner that remembers the cells it was asked for and fails some of them."""

    def run(function: Any, *arguments: Any) -> Outcome:
        if function is measure:
            cell: Cell = arguments[1]
            calls.append(cell.name)
            if cell.name in fail:
                return Outcome(error=ChildDied("The process was ended by SIGKILL."), trace="")
        return here(function, *arguments)

    return run


def test_every_cell_is_there_with_all_that_is_needed_to_doubt_it(comparison: Comparison) -> None:
    results = comparison.results
    assert not comparison.failures
    assert results.rows == (*BASELINES, "ptsam", "ptsam_encoder")
    assert len(results.cells) == comparison.num_new == 1 + 2 * 2 * 5
    for cell, record in results.records.items():
        assert {"config", "versions", "commit", "machine", "finished", "digest", "base"} <= set(record)
        assert record["error"] is None
        assert set(record["per_image"]) == set(results.stems)
        assert record["metrics"]["iou_per_image"] == pytest.approx(np.mean(list(record["per_image"].values())))
        assert record["memory_bytes"]["process_peak"] > 1e7
        assert record["counts"]["num_test"] == 5
        assert not set(record["train"] + record["val"]) & set(results.stems)
        assert len(record["train"]) + len(record["val"]) == cell.shots
    assert len(list((comparison.folder / "cells").glob("*.json"))) == len(results.cells)
    assert results.summary("ptsam", 4).trainable == 8 * 16
    assert results.summary("stock_sam", 4).scores == results.summary("stock_sam", 2).scores


def test_draws_are_nested_and_the_same_for_all_rows(comparison: Comparison) -> None:
    records = comparison.results.records
    for seed in range(2):
        few, more = (records[Cell("ptsam", shots, seed)] for shots in (2, 4))
        assert set(few["train"]) <= set(more["train"])
        assert set(few["val"]) <= set(more["val"])
        for row in ("ptsam_encoder", "probe", "unet", "blurred_colour"):
            other = records[Cell(row, 4, seed)]
            assert set(other["train"] + other["val"]) == set(more["train"] + more["val"])
        assert not records[Cell("unet", 4, seed)]["val"]  # it chooses nothing, so it learns from all
    assert records[Cell("ptsam", 4, 0)]["train"] != records[Cell("ptsam", 4, 1)]["train"]


def test_a_cell_scores_what_evaluate_scores(comparison: Comparison, dataset: Dataset) -> None:
    test = dataset.subset(comparison.job.test)
    for row, tolerance in (("ptsam_encoder", 1e-6), ("ptsam", 0.02)):  # ptsam is scored from bfloat16 features
        scores = evaluate(comparison.runs(row, 4)[0], test, device="cpu", tell=False)
        record = comparison.results.records[Cell(row, 4, 0)]
        assert record["metrics"]["iou_per_image"] == pytest.approx(
            scores.rows["specialist"].iou_per_image, abs=tolerance
        )


def test_features_are_computed_once(comparison: Comparison) -> None:
    told = json.loads((comparison.folder / FEATURES_FILE).read_text())
    assert told["num_encoded"] > 5
    again = prepare(comparison.job)
    assert again["num_encoded"] == 0
    assert again["touches"] == {"probe": False, "ptsam": False, "ptsam_encoder": True}


def test_finished_cells_are_never_redone_and_failed_ones_are(
    comparison: Comparison, base: Path, dataset: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(comparison.folder, tmp_path / "c0")
    for file in [*(tmp_path / "c0" / "cells").glob("ptsam-2-1-*"), *(tmp_path / "c0" / "cells").glob("probe-*")]:
        file.unlink()
    calls: Runs = []
    resumed = compare(settings(base), dataset, tmp_path / "c0", run=counted(calls, fail=("ptsam-2-1",)))
    assert sorted(calls) == ["probe-2-0", "probe-2-1", "probe-4-0", "probe-4-1", "ptsam-2-1"]
    assert [row["cell"] for row in resumed.failures] == ["ptsam-2-1"]
    assert "SIGKILL" in resumed.failures[0]["why"]
    assert any("failed" in sentence for sentence in resumed.advice.summary)
    for cell, record in comparison.results.records.items():
        if cell.name not in calls:
            assert resumed.results.records[cell] == record
    calls.clear()
    mended = compare(settings(base), dataset, tmp_path / "c0", run=counted(calls))
    assert calls == ["ptsam-2-1"]
    for cell, record in comparison.results.records.items():
        assert mended.results.records[cell]["per_image"] == record["per_image"]  # a cell is a function of its settings


def test_more_of_everything_keeps_what_is_there(
    comparison: Comparison, base: Path, dataset: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(comparison.folder, tmp_path / "c0")
    calls: Runs = []
    compare(settings(base, shots=(2, 3, 4)), dataset, tmp_path / "c0", run=counted(calls))
    assert {name.split("-")[1] for name in calls} == {"3"}


def test_cells_of_other_settings_are_kept_apart(
    comparison: Comparison, base: Path, dataset: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(comparison.folder, tmp_path / "c0")
    before = sorted(file.name for file in (tmp_path / "c0" / "cells").iterdir())
    calls: Runs = []
    changed = compare(settings(base, updates=1, shots=(2,), num_seeds=1), dataset, tmp_path / "c0", run=counted(calls))
    assert sorted(calls) == ["ptsam-2-0", "ptsam_encoder-2-0", "unet-2-0"]  # the others know no updates
    assert "updates: 2, now 1" in changed.notes[0]
    assert "kept, but not shown" in changed.notes[0]
    assert set(before) <= {file.name for file in (tmp_path / "c0" / "cells").iterdir()}
    assert comparison.job.run_folder(Cell("ptsam", 2, 0), "a" * 64).name == "ptsam-2-0-aaaaaaaaaaaa"


def test_other_labels_are_other_cells(comparison: Comparison, base: Path, dataset: Dataset, tmp_path: Path) -> None:
    shutil.copytree(dataset.pairs[0].image.parents[1], tmp_path / "data")
    moved = open_dataset(tmp_path / "data")
    calls: Runs = []
    shutil.copytree(comparison.folder, tmp_path / "c0")
    compare(settings(base, methods=("ptsam",), num_seeds=1), moved, tmp_path / "c0", run=counted(calls))
    assert not calls  # the same pixels and labels elsewhere
    mask = moved.pairs[comparison.job.pool[0]].mask
    shutil.copy(moved.pairs[comparison.job.pool[1]].mask, mask)
    compare(settings(base, methods=("ptsam",), num_seeds=2), open_dataset(tmp_path / "data"), tmp_path / "c0",
            run=counted(calls))  # fmt: skip
    assert calls
    assert "stock_sam-0-0" not in calls


def test_ctrl_c_keeps_what_is_there(base: Path, dataset: Dataset, tmp_path: Path) -> None:
    calls: Runs = []

    def run(function: Any, *arguments: Any) -> Outcome:
        if len(calls) == 2:
            raise KeyboardInterrupt
        return counted(calls)(function, *arguments)  # type: ignore[no-any-return]

    stopped = compare(settings(base, methods=("ptsam",)), dataset, tmp_path / "c0", run=run)
    assert stopped.interrupted
    assert len(stopped.results.records) == 2
    assert "preliminary" in " ".join(stopped.advice.summary)
    page = write_page(stopped, title="Half", run=here)
    assert "not computed yet" in page.read_text(encoding="utf-8")


def test_the_csv_has_a_line_for_each_cell(comparison: Comparison) -> None:
    with (comparison.folder / "compare.csv").open(encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == len(comparison.results.cells)
    assert {line["status"] for line in lines} == {"done"}
    line = next(line for line in lines if (line["row"], line["images"], line["seed"]) == ("ptsam", "4", "1"))
    record = comparison.results.records[Cell("ptsam", 4, 1)]
    assert float(line["iou_per_image"]) == record["metrics"]["iou_per_image"]
    assert int(line["trained_numbers"]) == 128
    assert None not in line


def test_suggestions_and_the_page(comparison: Comparison, base: Path, dataset: Dataset, tmp_path: Path) -> None:
    images, _ = make_samples("cells", tmp_path / "new", num=6, seed=99, size_hw=(64, 80))
    shutil.copy(dataset.pairs[0].image, images / "known.png")
    shutil.copy(images / "cells_000.png", images / "zz_copy.png")
    (images / "broken.png").write_bytes(b"no image")
    committee = Committee(comparison.runs("ptsam", 4), str(base), "cpu")
    found = suggest(committee, dataset, images, 20)
    names = [item.file.name for item in found.chosen]
    assert "known.png" not in names
    assert "broken.png" not in names
    assert len({"cells_000.png", "zz_copy.png"} & set(names)) == 1
    assert len(names) == len(set(names)) == 6
    assert found.num_candidates == 7
    assert any("annotated already" in note for note in found.notes)
    assert any("Not read" in note for note in found.notes)
    lines = found.write_csv(tmp_path / "suggestions.csv").read_text().splitlines()
    assert lines[0] == "rank,file,disagreement,novelty"
    assert len(lines) == 7
    page = write_page(comparison, title="Cells", suggestions=found, committee=committee, run=here)
    html = page.read_text(encoding="utf-8")
    assert "Images worth labelling next" in html
    assert f"Keep {comparison.advice.keep}." in html
    assert html.count('class="cell"') == 6 + 5
    with pytest.raises(ConfigError, match="at least two draws"):
        Committee(comparison.runs("ptsam", 4)[:1], str(base), "cpu")
    with pytest.raises(DataError, match="--unlabelled"):
        suggest(committee, dataset, tmp_path / "nowhere", 2)


def test_several_classes(base: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    from tests.data.folders import make_folder

    masks = [rng.integers(0, 3, (4, 4), dtype=np.uint8).repeat(16, 0).repeat(16, 1) for _ in range(6)]
    dataset = open_dataset(*make_folder(tmp_path / "data", masks))
    chosen = settings(base, methods=("ptsam",), shots=(2,), num_seeds=1, num_test=2)
    found = compare(chosen, dataset, tmp_path / "c0", run=here)
    assert not found.failures
    assert "stock_sam" not in found.results.rows
    assert any("knows no classes" in sentence for sentence in found.advice.summary)
    write_page(found, title="Classes", run=here)


def test_what_cannot_be_compared_is_refused(base: Path, dataset: Dataset, tmp_path: Path) -> None:
    for changes, words in (
        ({"shots": (4, 4)}, "different numbers"),
        ({"num_seeds": 0}, "at least 1 seed"),
        ({"jobs": 0}, "at least 1 job"),
        ({"methods": ("ptsm",)}, "did you mean 'ptsam'"),
        ({"methods": ()}, "at least one method"),
        ({"more": {"seed": 1}}, "left to the comparison"),
        ({"more": {"viws": 1}}, "settings of training"),
        ({"method_fields": {"lora": {"rank": 2}}}, "no method of this comparison"),
        ({"method_fields": {"unet": {"rank": 2}}}, "no method of this comparison"),
        ({"method_fields": {"ptsam": {"rank": 2}}}, "rank"),
    ):
        with pytest.raises(ConfigError, match=words):
            settings(base, **changes)
    with pytest.raises(DataError, match="ask for fewer shots"):
        compare(settings(base, shots=(12,)), dataset, tmp_path / "c0", run=here)
    with pytest.raises(WeightsError):
        compare(settings(tmp_path / "none"), dataset, tmp_path / "c0", run=here)
    assert CompareSettings().methods[0] == "ptsam"
    assert replace(settings(base), methods=("probe", "ptsam")).rows == (*BASELINES, "ptsam")


def die(how: str) -> int:
    """What may happen to a cell; at the top of a module, where another process finds it."""
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "left":
        os._exit(3)
    if how == "raised":
        raise DataError("There must be something, but nothing came.")
    if how == "strange":
        raise Strange(1, 2)
    return os.getpid()


class Strange(Exception):  # noqa: N818
    """An exception that cannot be pickled back."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")


@pytest.mark.slow
def test_a_process_of_its_own_takes_nothing_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isolated(die, "").value not in (None, os.getpid())
    for how, words in (("killed", "SIGKILL, most often because the memory"), ("left", "code 3")):
        outcome = isolated(die, how)
        assert isinstance(outcome.error, ChildDied)
        assert words in str(outcome.error)
    raised = isolated(die, "raised")
    assert isinstance(raised.error, DataError)
    assert "Traceback" in raised.trace
    assert "Strange" in repr(isolated(die, "strange").error)
    monkeypatch.setenv("SAMTUNE_TEST", "now")
    assert isolated(os.getenv, "SAMTUNE_TEST").value == "now"


@pytest.mark.slow
def test_ctrl_c_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    isolated(die, "")  # the server is there
    start = time.monotonic()
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        with pytest.raises(KeyboardInterrupt):
            isolated(time.sleep, 60)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert time.monotonic() - start < 30
