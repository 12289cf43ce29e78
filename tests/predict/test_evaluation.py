"""The record of an evaluation: JSON, CSV, verdict and regressions from given scores."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from samtune.cli.evaluate_verb import _text
from samtune.metrics import IOU, PROTOCOLS, Regression, SegmentationScores
from samtune.predict import Evaluation

NAMES = ("a", "b", "c", "d")


def scored(columns: int) -> SegmentationScores:
    """Four images of which a prediction covers so many of ten columns."""
    scores = SegmentationScores(("cell",))
    target = np.ones((10, 10), np.uint8)
    for name in NAMES:
        predicted = np.zeros_like(target)
        predicted[:, :columns] = 1
        scores.add(name, predicted, target)
    return scores


def made(**columns: int) -> Evaluation:
    scores = {row: scored(number) for row, number in columns.items()}
    values = {row: {each.name: {"iou": each.iou} for each in found.rows()} for row, found in scores.items()}
    return Evaluation(
        num_images=len(NAMES),
        protocol=PROTOCOLS["default"],
        metric=IOU,
        class_names=("cell",),
        rows={row: found.result() for row, found in scores.items()},
        per_image={row: tuple(found.rows()) for row, found in scores.items()},
        values=values,  # type: ignore[arg-type]
        measures={"specialist": {"mae": None}},
        regressions=(
            Regression("c", "probe", "iou", 0.8, 0.9, 0.1),
            Regression("c", "stock_sam", "iou", 0.8, 0.85, 0.05),
        ),
    )


def test_the_verdict_is_that_of_the_scores() -> None:
    found = made(specialist=8, stock_sam=3, probe=5)
    assert found.verdict[0].startswith("Tuning paid: the specialist reaches an IoU of 0.800 per image, against 0.300")
    assert "It is above the probe (0.500)." in found.verdict
    assert found.to_json()["verdict"] == list(found.verdict)
    assert made(specialist=3, stock_sam=8).verdict[0].endswith("Keep stock SAM.")


def test_an_image_that_got_worse_is_counted_once() -> None:
    sentence, worst = made(specialist=8, stock_sam=3, probe=5).worse_images
    assert sentence == "The specialist is worse than stock SAM or the probe on 1 of 4 images:"
    assert [(each.name, each.baseline) for each in worst] == [("c", "probe")]
    assert made(specialist=8).worse_images[0] == ""


def test_values_are_found_by_their_key() -> None:
    found = made(specialist=8, stock_sam=3)
    assert found.value("specialist", "iou_per_image") == pytest.approx(0.8)
    assert found.value("specialist", "mae") is None
    assert found.value("stock_sam", "mae") is None
    assert found.metric_by_image["stock_sam"]["d"] == pytest.approx(0.3)
    assert list(found.headline)[:2] == ["iou_per_image", "dice_per_image"]


def test_the_csv_lists_the_baselines_that_score_better(tmp_path: Path) -> None:
    file = made(specialist=8, stock_sam=3).write_per_image(tmp_path / "scores.csv")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [row["name"] for row in rows] == list(NAMES)
    assert [row["regression"] for row in rows] == ["", "", "probe stock_sam", ""]
    assert float(rows[0]["stock_sam_iou"]) == pytest.approx(0.3)


def test_it_shows_itself_in_one_line_and_in_html() -> None:
    evaluation = made(specialist=8, stock_sam=3)
    assert repr(evaluation) == (
        "Evaluation(images=4, protocol='default', iou_per_image={'specialist': 0.800, 'stock_sam': 0.300})"
    )
    page = evaluation._repr_html_()
    assert "<th>Specialist</th><th>Stock SAM</th>" in page
    assert "<td>0.800</td><td>0.300</td>" in page
    assert "Tuning paid" in page


def mixed() -> Evaluation:
    """Two images with objects and two without; the specialist finds one and raises two alarms."""
    scores = SegmentationScores(("cell",))
    found, nothing, alarms = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
    found[:4], alarms[0, 0], alarms[5, 5] = 1, 1, 1
    for name, predicted, target in zip(
        NAMES, (found, nothing, nothing, alarms), (found, found, nothing, nothing), strict=True
    ):
        scores.add(name, predicted, target)
    return Evaluation(
        num_images=4,
        protocol=PROTOCOLS["default"],
        metric=IOU,
        class_names=("cell",),
        rows={"specialist": scores.result()},
        per_image={"specialist": scores.rows()},
        values={"specialist": {row.name: {"iou": row.iou} for row in scores.rows()}},
    )


def test_detection_is_shown_where_images_are_empty() -> None:
    evaluation = mixed()
    assert list(evaluation.headline)[-4:] == ["sensitivity", "specificity", "auroc", "false_alarms_per_empty_image"]
    values = [evaluation.value("specialist", key) for key in list(evaluation.headline)[-4:]]
    # pairs: found > nothing, found > alarms, a tie of nothing with nothing, nothing < alarms
    assert values == [0.5, 0.5, 2.5 / 4, 1.0]
    assert evaluation.to_json()["rows"]["specialist"]["detection"] == {
        "num_with_objects": 2, "num_empty": 2, "sensitivity": 0.5, "specificity": 0.5, "auroc": 0.625,
        "false_alarms_per_empty_image": 1.0,
    }  # fmt: skip
    assert "1.000" in next(line for line in _text(evaluation).splitlines() if line.startswith("false_alarms"))


def test_without_empty_images_there_is_no_detection() -> None:
    evaluation = made(specialist=8, stock_sam=3)
    assert "auroc" not in evaluation.headline
    assert "detection" not in evaluation.to_json()["rows"]["specialist"]
