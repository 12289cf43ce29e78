"""Settings of a comparison that are refused, and the cells that follow from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from samtune.compare import (
    BASELINES,
    Cell,
    CompareSettings,
)
from samtune.errors import ConfigError
from tests.compare.conftest import settings


def test_settings_that_cannot_be_compared_are_refused(base: Path) -> None:
    for changes, words in (
        ({"shots": (4, 4)}, "distinct `shots`"),
        ({"num_seeds": 0}, "`num_seeds` >= 1"),
        ({"jobs": 0}, "`jobs` >= 1"),
        ({"methods": ("ptsm",)}, "did you mean 'ptsam'"),
        ({"methods": ()}, "at least one of `methods`"),
        ({"more": {"seed": 1}}, "--set without seed"),
        ({"more": {"viws": 1}}, "names of training settings"),
        ({"method_fields": {"lora": {"rank": 2}}}, "hyper-parameters of the compared methods only"),
        ({"method_fields": {"unet": {"rank": 2}}}, "hyper-parameters of the compared methods only"),
        ({"method_fields": {"ptsam": {"rank": 2}}}, "rank"),
    ):
        with pytest.raises(ConfigError, match=words):
            settings(base, **changes)


def test_the_baselines_are_in_every_comparison(base: Path) -> None:
    assert CompareSettings().methods[0] == "ptsam"
    assert replace(settings(base), methods=("probe", "ptsam")).rows == (*BASELINES, "ptsam")


def test_cells_come_draw_by_draw(base: Path) -> None:
    chosen = settings(base, methods=("ptsam",), shots=(4, 2))
    cells = chosen.cells(num_classes=1)
    assert cells[0] == Cell("stock_sam", 0, 0)
    assert [cell.name for cell in cells[1:6]] == [
        "probe-2-0", "blurred_colour-2-0", "unet-2-0", "ptsam-2-0", "probe-4-0",
    ]  # fmt: skip
    assert len(cells) == 1 + 4 * 2 * 2
    assert "stock_sam" not in {cell.row for cell in chosen.cells(num_classes=3)}


def test_each_training_has_the_settings_of_its_cell(base: Path) -> None:
    chosen = settings(base, method_fields={"ptsam": {"num_tokens": 4}})
    training = chosen.training(Cell("ptsam", 4, 1))
    assert (training.shots, training.seed, training.updates, training.val, training.tta) == (4, 1, 2, 0.25, "none")
    assert training.method_fields == {"num_tokens": 4}
    fitted = chosen.training(Cell("probe", 4, 0))  # it needs no validation images and no budget
    assert (fitted.updates, fitted.val) == (None, 0.0)
