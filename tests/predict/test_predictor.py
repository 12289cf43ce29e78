from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from samtune.errors import ConfigError, ShapeError, WeightsError
from samtune.predict import load_predictor
from tests.predict.conftest import write_specialist


def images(num: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = [(80, 112), (33, 17), (96, 96), (1, 40), (200, 50)]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes[:num]]


@pytest.mark.parametrize("class_names", [("cell",), ("a", "b", "c")])
def test_a_prediction_has_the_images_size_and_agrees_with_its_probabilities(
    base: Path, tmp_path: Path, class_names: tuple[str, ...]
) -> None:
    predictor = load_predictor(write_specialist(base, tmp_path, class_names=class_names), device="cpu")
    for image, found in zip(images(5), predictor.images(images(5)), strict=True):
        assert found.labels.dtype == np.uint8
        assert found.labels.shape == image.shape[:2]
        assert found.probabilities.shape == (len(class_names), *image.shape[:2])
        assert found.probabilities.dtype == np.float32
        background = 1 - found.probabilities.sum(0)
        if len(class_names) == 1:
            expected = (found.probabilities[0] > 0.5).astype(np.uint8)
        else:
            expected = np.concatenate([background[None], found.probabilities]).argmax(0).astype(np.uint8)
        assert (found.labels == expected).mean() > 0.999


def test_a_batch_equals_singles(specialist: Path) -> None:
    predictor = load_predictor(specialist, batch_size=3, device="cpu")
    together = predictor.images(images())
    for image, found in zip(images(), together, strict=True):
        alone = predictor.images([image])[0]
        np.testing.assert_allclose(found.probabilities, alone.probabilities, atol=1e-5)


def test_no_images_give_no_predictions(specialist: Path) -> None:
    assert load_predictor(specialist, device="cpu").images([]) == []


def test_what_is_no_image_is_refused(specialist: Path) -> None:
    predictor = load_predictor(specialist, device="cpu")
    with pytest.raises(ShapeError, match=r"uint8 \(H, W, 3\)"):
        predictor.images([np.zeros((4, 4), np.uint8)])
    with pytest.raises(ConfigError, match="batch_size"):
        load_predictor(specialist, batch_size=0, device="cpu")
    with pytest.raises(ConfigError, match="device"):
        load_predictor(specialist, device="tpu")
    with pytest.raises(WeightsError, match=r"adapter_config\.json"):
        load_predictor(specialist.parent / "nothing", device="cpu")


def test_inference_keeps_no_graph(specialist: Path) -> None:
    predictor = load_predictor(specialist, device="cpu")
    assert not any(parameter.requires_grad for parameter in predictor.model.parameters())
    assert torch.is_grad_enabled()
