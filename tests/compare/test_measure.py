"""One cell: its images and its scores."""

from __future__ import annotations

import pytest

from samtune.compare import (
    Cell,
    Comparison,
)
from samtune.data import Dataset
from samtune.predict import evaluate


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
