from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from samtune import Specialist
from samtune.data import make_samples, read_image
from samtune.errors import ConfigError, ShapeError, WeightsError
from tests.comparing import assert_same_labels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    make_samples("cells", folder, num=6, seed=3, size_hw=(80, 112))
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMTUNE_CACHE", str(tmp_path / "cache"))


def quick(base: Path) -> dict[str, Any]:
    return {"base": str(base), "updates": 4, "views": 0, "device": "cpu"}


def test_fit_predict_evaluate_save_and_load(base: Path, data: Path, tmp_path: Path) -> None:
    specialist = Specialist.fit(
        data / "images", data / "masks", run=tmp_path / "run", num_tokens=4, shots=4, **quick(base)
    )
    assert specialist.card.fields["num_tokens"] == 4
    check_history(specialist.history)
    assert repr(specialist).startswith(f"Specialist(method='ptsam', base={str(base)[:20]!r}"[:-1])
    assert "classes=['foreground'], images=3, iou_per_image=0." in repr(specialist)
    assert "\n" not in repr(specialist)
    assert "<script" not in specialist._repr_html_()
    assert specialist.card.num_images == 3
    assert (tmp_path / "run" / "config.toml").is_file()
    files = sorted((data / "images").iterdir())
    labels = specialist.predict(data / "images")
    assert [found.shape for found in labels] == [(80, 112)] * 6
    probabilities = specialist.probabilities(files[1])
    assert_same_labels(probabilities[0][0] > 0.5, labels[1] == 1)
    assert_same_labels(specialist.predict([read_image(files[2])])[0], labels[2])
    assert_same_labels(specialist.predict(read_image(files[2]))[0], labels[2])

    scores = specialist.evaluate(data / "images", data / "masks", unseen=True)
    assert scores.num_images == 2
    assert set(scores.rows) == {"specialist", "stock_sam", "probe"}

    loaded = Specialist.load(specialist.save(tmp_path / "alone"), device="cpu")
    assert loaded.class_names == specialist.class_names
    assert loaded.history == {}
    for found, expected in zip(loaded.predict(data / "images"), labels, strict=True):
        assert_same_labels(found, expected)
    with pytest.raises(ConfigError, match="folder for --unseen"):
        loaded.evaluate(data / "images", data / "masks", unseen=True)


def check_history(history: dict[str, list[Any]]) -> None:
    assert history["step"] == [1, 2, 3, 4]
    assert all(isinstance(loss, float) for loss in history["loss"])
    assert len(history["val_iou_per_image"]) == 4
    assert history["val_iou_per_image"][-1] is not None


@pytest.mark.parametrize("kind", ["bool", "ids"])
def test_fit_takes_arrays(base: Path, data: Path, kind: str) -> None:
    images = [read_image(file) for file in sorted((data / "images").iterdir())]
    masks = [np.asarray(cv2.imread(str(file), 0)) > 0 for file in sorted((data / "masks").iterdir())]
    if kind == "ids":
        masks = [mask.astype(np.int64) for mask in masks]
    specialist = Specialist.fit(images, masks, **quick(base))
    assert specialist.path.is_dir()
    assert len(specialist.predict(images)) == 6
    scores = specialist.evaluate(images, masks)
    assert scores.num_images == 6
    assert any("6 of these 6" in note for note in scores.notes)


def test_what_cannot_be_is_refused(base: Path, data: Path, tmp_path: Path) -> None:
    image, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool)
    with pytest.raises(ShapeError, match="one mask per image"):
        Specialist.fit([image], [mask, mask])
    with pytest.raises(ShapeError, match="Expected mask 0 as a bool"):
        Specialist.fit([image], [mask[:4]])
    with pytest.raises(ShapeError, match=r"values 0\.\.255"):
        Specialist.fit([image], [mask.astype(int) - 1])
    with pytest.raises(ShapeError, match="both"):
        Specialist.fit([image], tmp_path)
    with pytest.raises(ConfigError, match="num_tokens"):
        Specialist.fit(data / "images", data / "masks", num_tokns=4, **quick(base))
    with pytest.raises(WeightsError, match="expected a run folder"):
        Specialist.load(tmp_path)
