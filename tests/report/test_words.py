"""The verdict says what the numbers say."""

from __future__ import annotations

import math
from typing import Any

import pytest

from samtune.report import duration, verdict
from samtune.report.words import decimals, plain


def row(iou: float | None, std: float = 0.1, num: int = 40) -> dict[str, Any]:
    return {"num_images": num, "iou_per_image": iou, "iou_per_image_std": std}


@pytest.mark.parametrize(
    ("mine", "stock", "words"),
    [
        (
            0.81,
            0.35,
            "Tuning paid: the specialist reaches an IoU of 0.81 per image, against 0.35 for stock SAM",
        ),
        (0.40, 0.38, "Tuning may have paid"),
        (0.400, 0.402, "Tuning changed nothing"),
        (0.30, 0.38, "Tuning did not pay"),
    ],
)
def test_the_first_sentence_compares_with_stock_sam(mine: float, stock: float, words: str) -> None:
    first = verdict({"specialist": row(mine), "stock_sam": row(stock)})[0]
    assert first.startswith(words)
    assert "on 40 images" in first


def test_paired_images_decide_a_small_gain() -> None:
    rows = {"specialist": row(0.43), "stock_sam": row(0.40)}
    assert verdict(rows)[0].startswith("Tuning may have paid")
    stock = {f"{i}": 0.2 + 0.01 * i for i in range(40)}
    steady = {"specialist": {k: v + 0.03 for k, v in stock.items()}, "stock_sam": stock}
    sentences = verdict(rows, steady)
    assert sentences[0].startswith("Tuning paid")
    assert sentences[1] == "It is better on 40 of 40 images and worse on 0."


def test_the_probe_is_a_floor() -> None:
    above = verdict({"specialist": row(0.8), "probe": row(0.6)})
    assert above[0] == "The specialist reaches an IoU of 0.80 per image on 40 images."
    assert "adds 0.20 to that floor" in above[1]
    assert "has not yet learned more" in verdict({"specialist": row(0.6), "probe": row(0.62)})[1]


def test_few_images_are_named_as_few() -> None:
    sentences = verdict({"specialist": row(0.8, num=1), "stock_sam": row(0.3, num=1)})
    assert sentences[0].startswith("Tuning may have paid")
    assert "only 1 image:" in sentences[-1]


def test_without_scores_there_is_no_verdict() -> None:
    assert verdict({}) == ()
    assert verdict({"specialist": row(None, num=0)}) == ()
    assert verdict({"specialist": row(0.5), "stock_sam": row(None, num=0)})[0].startswith("The specialist")


@pytest.mark.parametrize(
    ("time_s", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3599.9, "1 h 0 min"),
        (12_000, "3 h 20 min"),
    ],
)
def test_durations(time_s: float, words: str) -> None:
    assert duration(time_s) == words


def test_numbers_are_written_for_people() -> None:
    assert decimals(0.81239) == "0.812"
    assert decimals(None) == decimals(math.nan) == "–"
    assert [plain(value) for value in (2048, 0.00012346, "x", True, None)] == [
        "2,048",
        "0.0001235",
        "x",
        "yes",
        "–",
    ]
