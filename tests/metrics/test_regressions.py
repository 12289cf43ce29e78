"""Images on which a baseline scores better: found, reduced to one line an image, and counted in a sentence."""

from __future__ import annotations

import pytest

from samtune.metrics import PROTOCOLS
from samtune.metrics.regressions import Regression, find_regressions, regression_sentence, worst_by_image


def test_less_may_be_better() -> None:
    values: dict[str, dict[str, dict[str, float | None]]] = {
        "specialist": {"a": {"ber_percent": 5.0}, "b": {"ber_percent": 2.0}, "c": {"ber_percent": None}},
        "probe": {"a": {"ber_percent": 3.0}, "b": {"ber_percent": 4.0}, "c": {"ber_percent": 0.0}},
    }
    found = find_regressions(values, PROTOCOLS["shadow"], "specialist")
    assert [(r.name, r.baseline, r.loss) for r in found] == [("a", "probe", 2.0)]


def test_an_image_is_listed_once_with_its_best_baseline() -> None:
    found = [
        Regression("a", "probe", "iou", 0.5, 0.6, 0.1),
        Regression("b", "stock_sam", "iou", 0.5, 0.7, 0.2),
        Regression("a", "stock_sam", "iou", 0.5, 0.9, 0.4),
    ]
    assert [(each.name, each.baseline) for each in worst_by_image(found)] == [("a", "stock_sam"), ("b", "stock_sam")]


@pytest.mark.parametrize(
    ("num_worse", "baselines", "sentence"),
    [
        (0, ("stock_sam", "probe"), "ptsam is worse than stock SAM or the probe on none of the images."),
        (1, ("probe",), "ptsam is worse than the probe on 1 of 30 images:"),
        (13, ("stock_sam",), "ptsam is worse than stock SAM on 13 of 30 images; the 10 worst:"),
        (3, (), ""),
    ],
)
def test_how_many_images_got_worse(num_worse: int, baselines: tuple[str, ...], sentence: str) -> None:
    assert regression_sentence(num_worse, 30, model="ptsam", baselines=baselines) == sentence
