"""What cells share is computed as they ask for it: once, in their views, their preprocessing and their precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from samtune.compare import Cell
from samtune.compare.draws import draw_test
from samtune.compare.features import base_for, plans_of, prepare
from samtune.compare.job import Job
from samtune.compare.measure import measure
from samtune.data import Dataset
from samtune.training import Facts, Plan, TrainSettings, resolve
from samtune.training.features import CachedFeatures
from tests.compare.conftest import settings

CACHED = ("probe", "ptsam", "decoder_only")


@pytest.mark.parametrize("more", [{}, {"precision": "bf16"}, {"recipe": "paper"}], ids=["auto", "bf16", "paper"])
def test_after_preparing_no_cell_encodes(
    base: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    monkeypatch.setenv("SAMTUNE_CACHE", str(tmp_path / "cache"))
    encoded = []
    make = CachedFeatures.make

    def counted(self: CachedFeatures, *arguments: Any, **options: Any) -> int:
        encoded.append(make(self, *arguments, **options))
        return encoded[-1]

    monkeypatch.setattr(CachedFeatures, "make", counted)
    chosen = settings(
        base, methods=(*CACHED, "ptsam_encoder"), shots=(4,), num_seeds=1, more={"evaluations": 1, **more}
    )
    draws = draw_test(dataset, num_test=5, max_shots=4, num_seeds=1)
    job = Job(chosen, dataset, draws.test, draws.pool, tmp_path)
    told = prepare(job)
    if "recipe" not in more:  # 5 test images, 4 for the probe, 8 more views of 3 for ptsam and 1 for decoder_only
        assert told["num_encoded"] == 5 + 4 + 3 * 8 + 3
    assert prepare(job)["num_encoded"] == 0
    encoded.clear()
    for row in (*CACHED, "ptsam_encoder"):
        measure(job, Cell(row, 4, 0), "a" * 64)
    measure(job, Cell("stock_sam", 0, 0), "a" * 64)
    assert encoded
    assert not any(encoded)


class Resolved(Exception):  # noqa: N818
    """Ends a training as soon as its plan is resolved."""


@pytest.mark.parametrize(
    "more", [{}, {"recipe": "paper"}, {"square": True, "views": 2}], ids=["auto", "paper", "square"]
)
def test_a_training_resolves_the_plan_that_the_comparison_prepared(
    base: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    chosen = settings(base, methods=(*CACHED, "lora", "conv_lora"), shots=(2, 6), num_seeds=2, more=more)
    draws = draw_test(dataset, num_test=5, max_shots=6, num_seeds=2)
    job = Job(chosen, dataset, draws.test, draws.pool, tmp_path)
    plans = plans_of(job, base_for(chosen))
    assert {cell.row for cell in plans} == {*CACHED, "lora", "conv_lora"}
    trained: list[Plan] = []

    def resolve_only(training: TrainSettings, facts: Facts) -> Plan:
        trained.append(resolve(training, facts))
        raise Resolved

    monkeypatch.setattr("samtune.training.setup.resolve", resolve_only)
    for cell, plan in plans.items():
        with pytest.raises(Resolved):
            measure(job, cell, "a" * 64)
        assert trained.pop() == plan
