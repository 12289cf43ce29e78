from __future__ import annotations

import json
from pathlib import Path

import pytest

from samtune.bases import Base
from samtune.data import open_dataset
from samtune.training import TrainSettings, estimate, estimate_run, trial
from samtune.training.features import Views
from samtune.training.trainer import Trainer
from samtune.training.validation import Validation
from tests.training.tiny_run import run


def everything(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*")}


@pytest.mark.parametrize("method", ["ptsam", "lora"])
def test_the_plan_is_that_of_the_run_and_nothing_is_written(
    prepared: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    dataset = open_dataset(prepared / "data" / "images", prepared / "data" / "masks")
    settings = TrainSettings(base=str(prepared / "base"), method=method, views=2, updates=12, patience=0, device="cpu")
    before = everything(prepared)
    found = estimate_run(settings, dataset)
    assert everything(prepared) == before
    assert list(tmp_path.iterdir()) == []
    assert (found.num_train, found.num_val, found.side, found.device) == (6, 2, 96, "cpu")
    cached = method == "ptsam"
    assert found.features["to_compute"] == (18 if cached else 6)
    assert found.fits is True
    assert set(found.seconds) == {"load", "features", "start", "training", "validation", "total"}
    assert found.seconds["total"] == pytest.approx(sum(found.seconds.values()) / 2, abs=0.05)
    assert found.seconds["training"] > 0
    assert found.memory["measured_bytes"] is not None
    assert found.memory["measured_bytes"] == found.memory["peak_bytes"]
    assert 1e8 < found.memory["measured_bytes"] < (found.memory["limit_bytes"] or 0)
    result = run(prepared, f"estimated-{method}", method=method, views=2, updates=12)
    stored = json.loads((prepared / f"estimated-{method}" / "metrics.json").read_text())
    assert found.plan == stored["plan"]
    assert found.trainable == result.trainable
    cache = tmp_path / "cache"
    written = sum(file.stat().st_size for file in cache.rglob("*.npy"))
    assert found.features["bytes"] == pytest.approx(written, rel=0.05)


def test_what_does_not_fit_is_not_tried(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(prepared / "data" / "images", prepared / "data" / "masks")
    settings = TrainSettings(base=str(prepared / "base"), method="lora", updates=12, device="cpu")
    monkeypatch.setattr(estimate, "available_bytes", lambda device: 1000)
    monkeypatch.setattr(Views, "prepare", None)
    monkeypatch.setattr(Trainer, "update", None)
    found = estimate_run(settings, dataset)
    assert found.fits is False
    assert found.seconds == {}
    assert found.memory["measured_bytes"] is None
    assert found.memory["peak_bytes"] == found.memory["counted_bytes"]


@pytest.mark.parametrize("quick", [True, False])
def test_a_few_validation_images_are_scored_for_their_time_where_that_is_quick(
    prepared: Path, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset(prepared / "data" / "images", prepared / "data" / "masks")
    scored: set[int] = set()
    scores = Validation.scores

    def counted(self: Validation, model: Base) -> dict[str, float]:
        scored.update(self.indices)
        return scores(self, model)

    monkeypatch.setattr(Validation, "scores", counted)
    if not quick:
        monkeypatch.setattr(trial, "WHOLE_S", 0.0)
    settings = TrainSettings(base=str(prepared / "base"), updates=2, views=0, device="cpu")
    found = estimate_run(settings, dataset)
    assert len(scored) == (found.num_val if quick else 1)
    assert found.num_val == 2
    assert found.seconds["validation"] > 0


def test_a_time_is_the_mean_of_the_warm_calls() -> None:
    assert trial.warm_mean([90.0, 1.0, 2.0, 6.0]) == 3.0
    assert trial.warm_mean([90.0]) == 90.0
