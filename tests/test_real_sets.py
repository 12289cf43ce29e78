"""The main job on real images: from a folder of nuclei to a specialist that beats both floors."""

from __future__ import annotations

from pathlib import Path

import pytest

from samtune.data import open_dataset
from samtune.predict import evaluate
from samtune.training import TrainSettings, train


@pytest.mark.data
@pytest.mark.slow
def test_sixteen_nuclei_images_make_a_specialist(
    real_sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMTUNE_CACHE", str(tmp_path / "cache"))
    folder = real_sets / "dsb2018_nuclei"
    dataset = open_dataset(folder / "images", folder / "masks")
    settings = TrainSettings(base="nano", shots=16, updates=120, views=3, device="cpu")
    train(settings, dataset, tmp_path / "run")
    unseen = dataset.subset(range(0, len(dataset), 5))
    evaluation = evaluate(tmp_path / "run", unseen, unseen=True)
    assert 30 <= evaluation.num_images <= 40
    scores = {name: row.iou_per_image for name, row in evaluation.rows.items()}
    assert scores["specialist"] > 0.4
    assert scores["specialist"] > scores["stock_sam"] + 0.1
