from __future__ import annotations

import csv
import gc
import json
import logging
import signal
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from samtune.adapters import load_specialist
from samtune.bases import Base
from samtune.data import DataOptions, Dataset, make_samples, open_dataset
from samtune.errors import ConfigError
from samtune.methods import METHODS, Probe
from samtune.training import RunFolder, TrainSettings, read_result, setup, train
from samtune.training import state as state_module
from samtune.training import trainer as trainer_module
from samtune.training.trainer import Trainer
from tests.training.test_interruption import at_call
from tests.training.tiny_run import run


def history(folder: Path) -> list[dict[str, float]]:
    return RunFolder(folder).read_history()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_and_leaves_a_whole_run_folder(prepared: Path, method: str) -> None:
    result = run(prepared, f"run-{method}", method=method, updates=4)
    folder = prepared / f"run-{method}"
    assert result.steps == 4
    assert result.num_train == 6
    assert result.num_val == 2
    assert result.stopped == "finished"
    assert 0 <= result.validation["iou_per_image"] <= 1
    assert [row["step"] for row in history(folder)] == [1, 2, 3, 4]
    assert read_result(folder) == result
    assert not (folder / "last").exists()
    record = json.loads((folder / "split.json").read_text())
    assert len(record["train"]) == 6
    assert len(record["val"][0]["content_id"]) == 64
    model, card = load_specialist(folder)
    assert card.metrics == result.validation
    assert card.num_images == 6
    assert model.sha256 == card.base_sha256
    assert Probe.load(folder / "probe.safetensors").weight.shape == (1, 16)


def test_the_probe_is_fitted_without_updates_and_is_the_floor(prepared: Path) -> None:
    result = train(
        TrainSettings(base=str(prepared / "base"), method="probe", device="cpu"),
        open_dataset(prepared / "data" / "images", prepared / "data" / "masks"),
        prepared / "probe",
    )
    assert (result.steps, result.trainable, result.stopped) == (0, 17, "finished")
    assert [set(row) for row in history(prepared / "probe")] == [
        {"step", "val_predicted_share", *(f"val_{a}_{b}" for a in ("iou", "dice") for b in ("per_image", "pooled"))}
    ]
    floor = Probe.load(prepared / "probe" / "probe.safetensors")
    model, card = load_specialist(prepared / "probe")
    assert torch.equal(model.get_parameter("head.weight"), floor.weight)
    assert torch.equal(model.get_parameter("head.bias"), floor.bias)
    assert card.metrics == result.validation
    assert 0 <= result.validation["iou_per_image"] <= 1
    again = run(prepared, "probe-more", method="probe", updates=3, learning_rate=1e-2)
    assert again.steps == 3
    moved, _ = load_specialist(prepared / "probe-more")
    assert not torch.equal(moved.get_parameter("head.weight"), floor.weight)


@pytest.mark.parametrize("method", METHODS)
def test_a_finished_run_lets_its_model_go(prepared: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: the next run of the process may need the memory before garbage is collected."""
    models: list[weakref.ref[Base]] = []
    adapted = setup.adapt_base

    def watched(base: Base, *given: Any, **named: Any) -> Any:
        models.append(weakref.ref(base))
        return adapted(base, *given, **named)

    monkeypatch.setattr("samtune.training.run.adapt_base", watched)
    gc.collect()
    gc.disable()
    try:
        run(prepared, f"let-go-{method}", method=method, updates=1)
        assert [model() for model in models] == [None]
    finally:
        gc.enable()


def test_the_published_running_statistics_move_in_training(prepared: Path) -> None:
    run(prepared, "statistics", method="ts_sam", method_fields={"paper": True}, updates=3)
    model, _ = load_specialist(prepared / "statistics")
    buffers = {name: buffer for name, buffer in model.named_buffers() if name.endswith("running_mean")}
    assert buffers
    assert all(buffer.any() for buffer in buffers.values())


def test_loss_falls(prepared: Path) -> None:
    run(prepared, "falls", method="decoder_only", updates=80, learning_rate=3e-3)
    losses = [row["loss"] for row in history(prepared / "falls")]
    assert sum(losses[-10:]) < 0.85 * sum(losses[:10])


def test_same_seed_same_trace_another_seed_another(prepared: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        run(prepared, name, updates=5, seed=seed)
    assert history(prepared / "one") == history(prepared / "two")
    assert history(prepared / "one") != history(prepared / "three")
    files = [(prepared / name / "specialist" / "adapter_model.safetensors").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]


def test_noise_of_a_method_follows_the_seed(prepared: Path) -> None:
    for name, seed in (("noisy", 0), ("as noisy", 0), ("other noise", 1)):
        run(prepared, name, method="conv_lora", updates=3, seed=seed)
    assert history(prepared / "noisy") == history(prepared / "as noisy")
    assert history(prepared / "noisy") != history(prepared / "other noise")


def test_a_method_with_a_loss_of_its_own(prepared: Path, caplog: pytest.LogCaptureFixture) -> None:
    fields = {"head": "queries", "num_queries": 3}
    with caplog.at_level(logging.INFO, logger="samtune"):
        run(prepared, "queries", method="decoder_only", method_fields=fields, updates=60, learning_rate=1e-2)
    assert any("has its own loss" in record.message for record in caplog.records)
    losses = [row["loss"] for row in history(prepared / "queries")]
    assert sum(losses[-10:]) < 0.85 * sum(losses[:10])
    with pytest.raises(ConfigError, match="Expected `loss` auto with these fields"):
        run(prepared, "both", method="decoder_only", method_fields=fields, loss="bce_dice")


def test_an_ensemble_trains_and_resumes(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"ensemble": 2}
    whole = run(prepared, "beyond", method_fields=fields, updates=6, evaluations=1)
    assert whole.trainable == 2 * 8 * 16
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", at_call(4, Trainer.update))
        assert run(prepared, "beyond-cut", method_fields=fields, updates=6, evaluations=1).stopped == "interrupted"
    run(prepared, "beyond-cut", method_fields=fields, updates=6, evaluations=1, resume=True)
    assert history(prepared / "beyond-cut") == history(prepared / "beyond")


@pytest.mark.parametrize("method", ["ptsam", "lora"])
def test_accumulation_gives_the_same_trace(prepared: Path, method: str) -> None:
    for name, parts in (("whole", 1), ("parts", 4)):
        run(prepared, f"{name}-{method}", method=method, updates=5, accumulate=parts)
    for one, other in zip(history(prepared / f"whole-{method}"), history(prepared / f"parts-{method}"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
        assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-3, abs=1e-5)


def test_cached_features_give_what_fresh_ones_give(prepared: Path) -> None:
    """The cache stores bfloat16; a second run finds everything in it and gives the same bytes."""
    run(prepared, "first", updates=3)
    before = sorted((prepared / "cache").rglob("*.npy"))
    stamps = [file.stat().st_mtime_ns for file in before]
    run(prepared, "second", updates=3)
    assert sorted((prepared / "cache").rglob("*.npy")) == before
    assert [file.stat().st_mtime_ns for file in before] == stamps
    assert history(prepared / "first") == history(prepared / "second")


class Killed(BaseException):
    """Stands for a kill: nothing in the program may catch it."""


@pytest.mark.parametrize("method", ["ptsam", "decoder_only"])
def test_resume_after_being_stopped_anywhere(prepared: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at five places, inside an update and between history and state, then resumed: the same bytes."""
    settings: dict[str, Any] = {"method": method, "updates": 12, "ema": 0.9}
    run(prepared, f"whole-{method}", **settings)
    update, write = Trainer.update, state_module.write_state
    stops = iter([0, 2, 3, 7, 11])
    where = {"step": next(stops), "in_write": False}

    def update_or_die(self: Trainer, step: int) -> None:
        update(self, step)
        if step == where["step"] and not where["in_write"]:
            raise Killed

    def write_or_die(*args: object) -> None:
        if where["in_write"] and args[1].progress.step > where["step"]:  # type: ignore[attr-defined]
            raise Killed
        write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "update", update_or_die)
    monkeypatch.setattr(trainer_module, "write_state", write_or_die)
    name = f"stopped-{method}"
    for attempt in range(5):
        with pytest.raises(Killed):
            run(prepared, name, resume=attempt > 0, **settings)
        where["step"] = next(stops, 99)
        where["in_write"] = attempt % 2 == 0
    where["step"], where["in_write"] = 99, False
    result = run(prepared, name, resume=True, **settings)
    assert result.steps == 12
    whole, stopped = prepared / f"whole-{method}", prepared / name
    for file in ("history.jsonl", "metrics.csv", "specialist/adapter_model.safetensors", "probe.safetensors"):
        assert (whole / file).read_bytes() == (stopped / file).read_bytes(), file


def test_resume_of_a_finished_run_changes_nothing(prepared: Path) -> None:
    result = run(prepared, "done", updates=3)
    names = ("metrics.json", "metrics.csv", "sessions.jsonl")
    before = [(prepared / "done" / name).read_bytes() for name in names]
    assert run(prepared, "done", updates=3, resume=True) == result
    assert [(prepared / "done" / name).read_bytes() for name in names] == before


def test_each_start_and_resume_is_a_session(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(prepared / "sessions")

    def sessions() -> list[dict[str, Any]]:
        return [json.loads(line) for line in folder.sessions.read_text().splitlines()]

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", at_call(2, Trainer.update))
        assert run(prepared, "sessions", updates=4).stopped == "interrupted"
    with pytest.raises(ConfigError, match="started with other settings"):
        run(prepared, "sessions", updates=4, resume=True, learning_rate=0.5)
    assert [session["after_update"] for session in sessions()] == [0]
    monkeypatch.setattr(sys, "argv", ["samtune", "train", "--resume"])
    assert run(prepared, "sessions", updates=4, resume=True).stopped == "finished"
    first, second = sessions()
    assert (first["after_update"], second["after_update"]) == (0, 2)
    assert second["command"] == "samtune train --resume"
    assert second["machine"]["device"] == "cpu"
    assert second["versions"]["torch"] == torch.__version__
    again = run(prepared, "sessions", updates=1)
    assert again.steps == 1
    assert [session["after_update"] for session in sessions()] == [0]


def test_the_table_of_scores_has_a_line_per_evaluation(prepared: Path) -> None:
    run(prepared, "table", updates=4, evaluations=2)
    with RunFolder(prepared / "table").scores.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    scored = [row for row in history(prepared / "table") if "val_iou_per_image" in row]
    assert [line["step"] for line in lines] == ["2", "4"]
    assert [{name: float(value) for name, value in line.items()} for line in lines] == scored


def test_ctrl_c_keeps_the_best_so_far(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update = Trainer.update

    def update_or_stop(self: Trainer, step: int) -> None:
        if step == 3:
            signal.raise_signal(signal.SIGINT)
        update(self, step)

    monkeypatch.setattr(Trainer, "update", update_or_stop)
    result = run(prepared, "interrupted", updates=10, evaluations=10)
    assert result.stopped == "interrupted"
    assert result.steps == 4  # the update that was under way is done
    assert load_specialist(prepared / "interrupted")[1].metrics == result.validation
    monkeypatch.setattr(Trainer, "update", update)
    assert run(prepared, "interrupted", updates=10, evaluations=10, resume=True).steps == 10


def test_patience_stops_early_and_the_best_is_kept(prepared: Path) -> None:
    result = run(prepared, "patient", method="decoder_only", updates=40, evaluations=40, patience=2, learning_rate=3e-2)
    rows = [row for row in history(prepared / "patient") if "val_iou_per_image" in row]
    assert result.stopped == "early"
    assert result.steps < 40
    assert result.validation["iou_per_image"] == max(row["val_iou_per_image"] for row in rows)


def test_the_loss_at_the_logits_own_size(prepared: Path) -> None:
    run(prepared, "coarse", updates=3, loss_side="logits")
    run(prepared, "fine", updates=3, loss_side="input")
    coarse, fine = (history(prepared / name) for name in ("coarse", "fine"))
    assert all(one["loss"] != other["loss"] for one, other in zip(coarse, fine, strict=True))
    assert [row["loss"] for row in coarse] == pytest.approx([row["loss"] for row in fine], rel=0.2)


def test_collapse_is_told(prepared: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "COLLAPSE_STEPS", 5)
    monkeypatch.setattr("samtune.training.objective.task_loss", lambda outputs, logits, *_, **__: logits.mean())
    with caplog.at_level(logging.INFO, logger="samtune"):
        result = run(prepared, "collapsed", method="decoder_only", updates=30, learning_rate=1e-1)
    assert any("Collapse: for 5 updates" in record.message for record in caplog.records)
    assert any(note.startswith("Collapse") for note in result.notes)


def test_without_validation_the_last_values_are_kept(prepared: Path) -> None:
    result = run(prepared, "blind", updates=3, val=0)
    assert result.num_val == 0
    assert result.num_train == 8
    assert result.validation == {}
    assert load_specialist(prepared / "blind")[1].metrics == {}


def three_classes(folder: Path) -> Dataset:
    """Cells whose masks carry three classes, by column."""
    import cv2
    import numpy as np

    make_samples("cells", folder, num=4, seed=5, size_hw=(64, 96))
    for file in (folder / "masks").iterdir():
        mask = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert mask is not None
        ids = (mask > 0) * (1 + np.arange(96)[None] // 32)
        cv2.imwrite(str(file), ids.astype("uint8"))
    return open_dataset(folder / "images", folder / "masks", DataOptions(num_classes=3))


@pytest.mark.parametrize("method", ["ptsam", "decoder_only"])
def test_several_classes(prepared: Path, tmp_path: Path, method: str) -> None:
    dataset = three_classes(tmp_path / "data")
    settings = TrainSettings(base=str(prepared / "base"), method=method, updates=3, views=1, device="cpu")
    train(settings, dataset, tmp_path / "run")
    model, card = load_specialist(tmp_path / "run")
    assert len(card.class_names) == 3
    with torch.no_grad():
        assert model.decode(model.encode(torch.zeros(1, 3, 96, 96))).shape == (1, 3, 24, 24)


def test_a_validation_set_of_its_own(prepared: Path, tmp_path: Path) -> None:
    make_samples("cells", tmp_path, num=3, seed=9, size_hw=(64, 64))
    validation = open_dataset(tmp_path / "images", tmp_path / "masks")
    dataset = open_dataset(prepared / "data" / "images", prepared / "data" / "masks")
    settings = TrainSettings(base=str(prepared / "base"), updates=2, views=1, device="cpu")
    result = train(settings, dataset, tmp_path / "run", validation=validation)
    assert (result.num_train, result.num_val) == (8, 3)
    record = json.loads((tmp_path / "run" / "split.json").read_text())
    assert {row["content_id"] for row in record["val"]} == {validation.content_id(i) for i in range(3)}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"shots": 0, "val": 2.0}, ["shots", "val"]),
        ({"precision": "fp8"}, ["precision"]),
        ({"loss_side": "label"}, ["loss_side", "logits"]),
        ({"loss": "hinge"}, ["bce_dice", "hinge"]),
        ({"accumulate": 5}, ["accumulate", "batch_size"]),
        ({"method": "ptsa"}, ["did you mean 'ptsam'"]),
        ({"method_fields": {"rank": 3}}, ["num_tokens", "rank"]),
        ({"side": 100}, ["multiple of the patch 16"]),
    ],
)
def test_bad_settings_are_refused(prepared: Path, settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        run(prepared, "refused", **settings)
    for word in words:
        assert word in str(caught.value)
