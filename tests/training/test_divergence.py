"""A run that meets a number that is none stops, keeps the best values so far, and never writes one of them."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from samtune.adapters import load_specialist
from samtune.methods import task_loss
from samtune.training import Diverged, RunFolder, read_result
from samtune.training.updater import Updater
from tests.training.tiny_run import run

Loss = Callable[..., torch.Tensor]


def none_at(call: int, value: float, real: Loss) -> Loss:
    """A loss that is NaN or infinite in its call of a number."""
    calls = [0]

    def loss(*given: Any, **named: Any) -> torch.Tensor:
        calls[0] += 1
        return real(*given, **named) * (value if calls[0] == call else 1.0)

    return loss


def finite(folder: Path) -> bool:
    model, _ = load_specialist(folder)
    return all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())


@pytest.mark.parametrize(
    "value", [math.nan, *(pytest.param(value, marks=pytest.mark.slow) for value in (math.inf, -math.inf))]
)
@pytest.mark.parametrize("settings", [{}, {"ema": 0.9}, {"method": "lora"}], ids=["ptsam", "ema", "lora"])
def test_the_best_so_far_is_kept(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, value: float, settings: dict[str, Any]
) -> None:
    shutil.rmtree(prepared / "own", ignore_errors=True)
    monkeypatch.setattr("samtune.training.objective.task_loss", none_at(4, value, task_loss))
    result = run(prepared, "own", updates=8, evaluations=8, **settings)
    assert (result.stopped, result.steps) == ("diverged", 3)
    word = "NaN" if math.isnan(value) else "infinite"
    assert f"Training diverged at update 4 of 8: the loss is {word}." in result.notes[-1]
    assert "--set learning_rate=" in result.notes[-1]
    assert finite(prepared / "own")
    rows = RunFolder(prepared / "own").read_history()
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert result.validation["iou_per_image"] == max(row["val_iou_per_image"] for row in rows)
    assert load_specialist(prepared / "own")[1].metrics == result.validation
    assert not (prepared / "own" / "last").exists()
    monkeypatch.undo()
    assert run(prepared, "own", updates=8, evaluations=8, resume=True, **settings) == read_result(prepared / "own")


@pytest.mark.parametrize("settings", [{"evaluations": 1}, {"val": 0}], ids=["before an evaluation", "no validation"])
def test_without_a_scored_value_it_is_an_error(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    shutil.rmtree(prepared / "own", ignore_errors=True)
    monkeypatch.setattr("samtune.training.objective.task_loss", none_at(4, math.nan, task_loss))
    with pytest.raises(Diverged, match="diverged at update 4 of 8: the loss is NaN"):
        run(prepared, "own", updates=8, **settings)
    assert not any((prepared / "own" / name).exists() for name in ("specialist", "metrics.json", "last"))


@pytest.mark.parametrize("val", [0, 0.25])
def test_an_update_beyond_all_bounds(prepared: Path, monkeypatch: pytest.MonkeyPatch, val: float) -> None:
    """Not only the losses count: the last update has none after it."""
    shutil.rmtree(prepared / "own", ignore_errors=True)
    monkeypatch.setattr("samtune.training.updater.learning_rate", lambda plan, step: 1e38)
    with pytest.raises(Diverged, match="learning rate"):
        run(prepared, "own", method="decoder_only", updates=1, val=val)
    assert not (prepared / "own" / "specialist").exists()


def test_a_gradient_that_is_not_finite(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(prepared / "own", ignore_errors=True)
    backward = Updater.backward
    calls = [0]

    def poisoned(self: Updater, images: Any) -> torch.Tensor:
        values = backward(self, images)
        calls[0] += 1
        if calls[0] == 3:
            grad = self.parameters[0].grad
            assert grad is not None
            grad.view(-1)[0] = math.inf
        return values

    monkeypatch.setattr(Updater, "backward", poisoned)
    result = run(prepared, "own", updates=5, evaluations=5)
    assert (result.stopped, result.steps) == ("diverged", 2)
    assert "the gradient norm is infinite" in result.notes[-1]
    assert finite(prepared / "own")


def test_trained_values_that_are_not_finite(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(prepared / "own", ignore_errors=True)
    average = Updater.update_average

    def poisoned(self: Updater, step: int) -> None:
        if step == 4:  # the last update
            self.parameters[0].data.view(-1)[0] = math.nan
        average(self, step)

    monkeypatch.setattr(Updater, "update_average", poisoned)
    result = run(prepared, "own", updates=5, evaluations=5)
    assert (result.stopped, result.steps) == ("diverged", 5)
    assert "a trained value is NaN or infinite" in result.notes[-1]
    assert finite(prepared / "own")
    shutil.rmtree(prepared / "own")
    with pytest.raises(Diverged, match="a trained value"):
        run(prepared, "own", updates=5, val=0)


def test_running_statistics_are_put_back(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a forward pass moves beside the gradients is as it was before the update that failed."""
    settings: dict[str, Any] = {"method": "ts_sam", "method_fields": {"paper": True}, "val": 0.25, "evaluations": 4}
    for name in ("own", "shorter"):
        shutil.rmtree(prepared / name, ignore_errors=True)
    seen: list[list[torch.Tensor]] = []
    monkeypatch.setattr("samtune.training.objective.task_loss", none_at(3, math.nan, task_loss))
    restore = Updater.restore

    def watched(self: Updater, buffers: list[torch.Tensor]) -> None:
        restore(self, buffers)
        seen.append([tensor.clone() for tensor in self.buffers])
        assert all(torch.equal(one, other) for one, other in zip(self.buffers, buffers, strict=True))

    monkeypatch.setattr(Updater, "restore", watched)
    assert run(prepared, "own", updates=4, **settings).stopped == "diverged"
    assert len(seen) == 1
    assert seen[0]
    assert finite(prepared / "own")


def test_what_is_written_is_json(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(prepared / "own", ignore_errors=True)
    monkeypatch.setattr("samtune.training.objective.task_loss", none_at(3, math.nan, task_loss))
    run(prepared, "own", updates=4, evaluations=4)

    def refuse(word: str) -> float:
        raise AssertionError(word)

    text = (prepared / "own" / "history.jsonl").read_text().splitlines()
    for line in [*text, (prepared / "own" / "metrics.json").read_text()]:
        json.loads(line, parse_constant=refuse)
