"""The verdict says what the numbers say."""

from __future__ import annotations

from typing import Any

import pytest

from samtune.metrics.differences import Difference
from samtune.metrics.verdict import Baseline, baseline_sentences, outcome_of, run_verdict


def row(iou: float | None, std: float = 0.1, num: int = 40) -> dict[str, Any]:
    return {"num_images": num, "iou_per_image": iou, "iou_per_image_std": std}


@pytest.mark.parametrize(
    ("mine", "stock", "words"),
    [
        (
            0.81,
            0.35,
            "Tuning paid: the specialist reaches an IoU of 0.810 per image, against 0.350 for stock SAM",
        ),
        (0.40, 0.38, "Tuning may or may not have paid"),
        (0.400, 0.402, "Tuning changed nothing"),
        (0.30, 0.38, "Tuning did not pay"),
    ],
)
def test_the_first_sentence_compares_with_stock_sam(mine: float, stock: float, words: str) -> None:
    first = run_verdict({"specialist": row(mine), "stock_sam": row(stock)})[0]
    assert first.startswith(words)
    assert "on 40 images" in first
    assert ("Keep stock SAM." in first) == words.startswith("Tuning did not pay")


def test_paired_images_decide_a_small_gain() -> None:
    rows = {"specialist": row(0.43), "stock_sam": row(0.40)}
    assert run_verdict(rows)[0].startswith("Tuning may or may not have paid")
    stock = {f"{i}": 0.2 + 0.01 * i for i in range(40)}
    steady = {"specialist": {k: v + 0.03 for k, v in stock.items()}, "stock_sam": stock}
    sentences = run_verdict(rows, steady)
    assert sentences[0].startswith("Tuning paid")
    assert sentences[1] == "It is better on 40 of 40 images and worse on 0."


def test_the_probe_is_a_floor() -> None:
    above = run_verdict({"specialist": row(0.8), "probe": row(0.6)})
    assert above[0] == "The specialist reaches an IoU of 0.800 per image on 40 images."
    assert above[1] == "It is above the probe (0.600)."
    below = run_verdict({"specialist": row(0.6), "probe": row(0.72)})
    assert below[1].startswith("The probe (0.720) is better; the specialist differs from it by −0.120 (95 %: ")
    assert "the frozen features alone do better than the trained model" in below[1]
    assert below[2].startswith("Train longer")
    same = run_verdict({"specialist": row(0.6), "probe": row(0.62)})
    assert "there is no evidence that training learned anything beyond the frozen features" in same[1]


def test_few_images_are_named_as_few() -> None:
    sentences = run_verdict({"specialist": row(0.8, num=1), "stock_sam": row(0.3, num=1)})
    assert sentences[0].startswith("Tuning may or may not have paid")
    assert "only 1 image:" in sentences[-1]


def test_without_scores_there_is_no_verdict() -> None:
    assert run_verdict({}) == ()
    assert run_verdict({"specialist": row(None, num=0)}) == ()
    assert run_verdict({"specialist": row(0.5), "stock_sam": row(None, num=0)})[0].startswith("The specialist")


@pytest.mark.parametrize(
    ("mean", "low", "high", "outcome"),
    [
        (0.1, 0.05, 0.15, "paid"),
        (-0.1, -0.15, -0.05, "did not pay"),
        (0.1, -0.05, 0.25, "uncertain"),
        (-0.1, -0.25, 0.05, "uncertain"),
        (0.004, 0.003, 0.005, "changed nothing"),
        (-0.005, -0.3, 0.3, "changed nothing"),
    ],
)
def test_the_interval_decides_unless_the_difference_is_too_small_to_matter(
    mean: float, low: float, high: float, outcome: str
) -> None:
    assert outcome_of(Difference(mean, low, high, 3, 40)) == outcome


def test_floors_are_listed_together_where_they_are_beaten() -> None:
    gain, loss = Difference(0.2, 0.1, 0.3, 3, 40), Difference(-0.2, -0.3, -0.1, 3, 40)
    baselines = [Baseline("probe", 0.3, gain), Baseline("unet", 0.7, loss), Baseline("blurred_colour", 0.25, gain)]
    first, second = baseline_sentences("ptsam", baselines)
    assert first == "It is above the probe (0.300) and blurred colour (0.250)."
    assert second.startswith("The U-Net from scratch (0.700) is better; ptsam differs from it by −0.200")
    assert second.endswith("SAM's weights are no help here.")
