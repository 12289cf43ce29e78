"""Runs on a GPU: the CPU's losses in float32, specialists that both load, and memory that truly runs out."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
import torch

from samtune.data import make_samples, open_dataset
from samtune.methods import METHODS
from samtune.predict.predictor import load_predictor
from samtune.training import TrainSettings, train
from tests.training.test_precision import losses
from tests.training.tiny_run import run

DEVICE = "cuda"
NOISY = frozenset({"conv_lora"})
"""Methods that draw numbers while they train; a GPU draws others than a CPU from the same seed."""


@pytest.mark.parametrize("method", METHODS)
def test_a_run_is_the_cpus_and_so_are_its_masks(prepared: Path, method: str) -> None:
    if method == "probe":
        pytest.skip("the probe has no updates; its fit is compared below")
    for device in (DEVICE, "cpu"):
        run(prepared, f"{device}-{method}", method=method, device=device, precision="fp32", updates=4)
    found, expected = losses(prepared / f"{DEVICE}-{method}"), losses(prepared / f"cpu-{method}")
    assert len(found) == 4
    if method not in NOISY:
        assert found == pytest.approx(expected, rel=2e-3)
    images = [open_dataset(prepared / "data" / "images", prepared / "data" / "masks").image(i) for i in range(3)]
    labels = [
        load_predictor(prepared / f"{DEVICE}-{method}", device=device, precision="fp32").images(images)
        for device in (DEVICE, "cpu")
    ]
    for there, here in zip(*labels, strict=True):
        assert (there.labels == here.labels).mean() >= 0.99


def test_the_probe_is_fitted_alike(prepared: Path) -> None:
    data = open_dataset(prepared / "data" / "images", prepared / "data" / "masks")
    weights = []
    for device in (DEVICE, "cpu"):
        settings = TrainSettings(base=str(prepared / "base"), method="probe", device=device, precision="fp32")
        train(settings, data, prepared / f"{device}-fit")
        weights.append(load_predictor(prepared / f"{device}-fit", device="cpu").model.get_parameter("head.weight"))
    assert (weights[0] - weights[1]).abs().max() <= 0.02 * weights[1].abs().max()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_as_a_user_starts_it(prepared: Path, method: str) -> None:
    """No device is asked for, so the GPU is taken; the precision is what it would be with a real size."""
    result = run(prepared, f"plain-{method}", method=method, device=None, precision="bf16", updates=3)
    assert result.steps == 3
    assert all(math.isfinite(loss) for loss in losses(prepared / f"plain-{method}"))
    predictor = load_predictor(prepared / f"plain-{method}")
    assert predictor.model.device.type == DEVICE
    image = open_dataset(prepared / "data" / "images", prepared / "data" / "masks").image(0)
    assert predictor.images([image])[0].labels.shape == image.shape[:2]


def test_memory_that_runs_out_cuts_the_update(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The memory that torch may take is set between what one image and what eight take, which the forecast, that asks
    the device, cannot know."""
    make_samples("cells", tmp_path / "data", num=12, seed=3, size_hw=(256, 256))
    data = open_dataset(tmp_path / "data" / "images", tmp_path / "data" / "masks")

    def run_in(name: str, accumulate: int | None = None) -> int:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        settings = TrainSettings(
            base="nano", method="lora", device=DEVICE, precision="fp32", batch_size=8, updates=2, val=0.0,
            accumulate=accumulate,
        )  # fmt: skip
        train(settings, data, tmp_path / name)
        return torch.cuda.max_memory_reserved()

    whole, single = run_in("whole"), run_in("single", accumulate=8)
    assert single < whole
    try:
        share = (single + (whole - single) / 2) / torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(share)
        with caplog.at_level(logging.INFO, logger="samtune"):
            run_in("short")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("memory ran out" in record.message for record in caplog.records)
    assert losses(tmp_path / "short") == pytest.approx(losses(tmp_path / "whole"), rel=1e-3)
