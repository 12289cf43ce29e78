"""More images than are looked at together: patched limits stand for 10,000 images."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from samtune.data import open_dataset
from samtune.methods import probe
from samtune.tasks import Areas
from samtune.training import RunFolder, features, validation
from samtune.training.features import Views, sample_of
from tests.tiny import tiny_sam
from tests.training.tiny_run import run


def views_of(prepared: Path) -> Views:
    dataset = open_dataset(prepared / "data" / "images", prepared / "data" / "masks")
    return Views(dataset, tuple(range(8)), tiny_sam().spec, Areas())


def test_few_images_are_all_of_the_sample(prepared: Path) -> None:
    views = views_of(prepared)
    assert sample_of(views, 1000, seed=0) is views


def test_of_many_images_the_sample_is_evenly_spread(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = views_of(prepared)
    sample = sample_of(views, features.SAMPLE_BYTES // 4, seed=0)
    assert len(sample) == 4
    assert [index // 2 for index in sample.indices] == [0, 1, 2, 3]
    monkeypatch.setattr(features, "SAMPLE_IMAGES", 2)
    spread = {sample_of(views, 1000, seed=seed).indices for seed in range(20)}
    assert spread <= {(0, 4), (1, 5), (2, 6), (3, 7)}
    assert len(spread) > 1


def test_what_is_fitted_to_the_images_sees_the_sample_alone(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(features, "SAMPLE_IMAGES", 4)
    fitted: list[int] = []
    fit = probe.fit_probe

    def watched(embedding: torch.Tensor, *rest: object, **more: object) -> probe.Probe:
        fitted.append(len(embedding))
        return fit(embedding, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("samtune.training.run.fit_probe", watched)
    with caplog.at_level(logging.INFO, logger="samtune"):
        result = run(prepared, "many", updates=4)
    assert result.num_train == 6
    assert fitted == [4]
    assert any("fitted to 4 of the 6 training images" in record.message for record in caplog.records)


def test_validation_features_beyond_the_memory_are_kept_on_disk(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMTUNE_CACHE", str(tmp_path / "cache"))
    run(prepared, "remembered", updates=4, views=0, evaluations=2)
    before = len(list((tmp_path / "cache").rglob("*.npy")))
    monkeypatch.setattr(validation, "REMEMBERED_BYTES", 1)
    run(prepared, "on disk", updates=4, views=0, evaluations=2)
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == before + 2  # of one of two images: features and labels
    for one, other in zip(
        RunFolder(prepared / "remembered").read_history(), RunFolder(prepared / "on disk").read_history(), strict=True
    ):
        assert one.pop("loss") == pytest.approx(other.pop("loss"), rel=1e-5)
        assert one == pytest.approx(other, abs=0.02)
