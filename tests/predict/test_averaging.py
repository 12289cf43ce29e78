"""Test-time averaging over an image and its mirror, or over the eight symmetries."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from samtune.adapters import read_card, saving_to
from samtune.adapters.card import CONFIG_FILE, write_card
from samtune.data import open_dataset
from samtune.data.views.symmetries import apply_symmetry, undo_symmetry
from samtune.errors import ConfigError, ShapeError
from samtune.predict import Predictor, evaluate, load_predictor
from tests.predict.conftest import write_specialist


def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((80, 112), (33, 17), (96, 96))]


@pytest.mark.parametrize("method", ["ptsam", "probe", "ts_sam", "lora"])
def test_a_turned_image_gets_the_turned_mask(base: Path, tmp_path: Path, method: str) -> None:
    write_specialist(base, tmp_path, method)
    plain = load_predictor(tmp_path, batch_size=3, device="cpu")
    predictor = load_predictor(tmp_path, batch_size=3, device="cpu", tta="d4")
    if method == "probe":  # zero as it comes, so that nothing would be seen
        for one in (plain, predictor):
            one.model.get_parameter("head.weight").copy_(torch.linspace(-1, 1, 16)[None])
    straight = predictor.images(images())
    for symmetry in (1, 4, 6):
        found = predictor.images([apply_symmetry(image, symmetry) for image in images()])
        for expected, other, image in zip(straight, found, images(), strict=True):
            assert expected.probabilities.shape == (1, *image.shape[:2])
            back = undo_symmetry(torch.from_numpy(other.probabilities), symmetry)
            np.testing.assert_allclose(back.numpy(), expected.probabilities, atol=2e-4)
    once = plain.images(images())
    assert max(np.abs(a.probabilities - b.probabilities).max() for a, b in zip(straight, once, strict=True)) > 1e-3


def test_a_specialist_says_over_what_it_is_averaged_unless_the_user_does(
    specialist: Path, tmp_path: Path, samples: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(specialist, tmp_path / "adapter")
    card = read_card(specialist)
    assert card.tta == "none"
    write_card(saving_to(tmp_path / "adapter"), replace(card, tta="mirror"), 1)
    with caplog.at_level(logging.INFO, logger="samtune"):
        assert load_predictor(specialist, device="cpu").tta == "none"
        assert "averaged" not in caplog.text
        own = load_predictor(tmp_path / "adapter", device="cpu")
        assert own.tta == "mirror"
    assert "averaged over the image and its left-right mirror, which takes 2 times as long" in caplog.text
    asked = load_predictor(specialist, device="cpu", tta="mirror")
    dataset = open_dataset(samples / "images", samples / "masks").subset([0, 1])
    for index in (0, 1):
        (a,), (b,) = own.images([dataset.image(index)]), asked.images([dataset.image(index)])
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-6)
    assert load_predictor(tmp_path / "adapter", device="cpu", tta="none").tta == "none"
    assert evaluate(tmp_path / "adapter", dataset, device="cpu").tta == "mirror"
    assert evaluate(tmp_path / "adapter", dataset, device="cpu", tta="none").to_json()["tta"] == "none"
    for wrong in (True, "all"):
        with pytest.raises(ConfigError, match="`tta` to be one of none, mirror, d4, got"):
            load_predictor(specialist, device="cpu", tta=wrong)  # type: ignore[arg-type]


def test_a_card_from_before_averaging_predicts_images_as_they_are(specialist: Path, tmp_path: Path) -> None:
    shutil.copytree(specialist, tmp_path / "adapter")
    values = json.loads((specialist / CONFIG_FILE).read_text())
    del values["tta"]
    (tmp_path / "adapter" / CONFIG_FILE).write_text(json.dumps(values))
    assert load_predictor(tmp_path / "adapter", device="cpu").tta == "none"


def test_what_is_no_image_is_refused_and_nothing_gives_nothing(specialist: Path) -> None:
    predictor = load_predictor(specialist, device="cpu", tta="d4")
    assert predictor.images([]) == []
    for wrong in (np.zeros(4, np.uint8), np.zeros((4, 4), np.uint8)):
        with pytest.raises(ShapeError, match=r"uint8 \(H, W, 3\)"):
            predictor.images([wrong])


def test_evaluation_averages_every_row_and_says_so(
    specialist: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset(samples / "images", samples / "masks").subset([0, 1])
    found = evaluate(specialist, dataset, device="cpu", tta="d4")
    assert found.tta == "d4"
    assert "Every row is averaged over the eight flips and quarter turns of each image, as requested." in found.notes
    predictor = load_predictor(specialist, device="cpu", tta="d4")
    assert isinstance(predictor, Predictor)
    for index, score in enumerate(found.per_image["specialist"]):
        predicted, truth = predictor.images([dataset.image(index)])[0].labels > 0, dataset.labels(index) == 1
        union = (predicted | truth).sum()
        assert score.iou == pytest.approx((predicted & truth).sum() / union if union else 1.0, abs=1e-3)
    assert evaluate(specialist, dataset, device="cpu").tta == "none"
