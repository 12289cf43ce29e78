"""A base whose decoder reads more tensors than the embedding: they travel whole, from the cache to the scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from samtune.bases import Base
from samtune.bases.sam1.model import Sam1
from samtune.compare.scoring import from_frozen, from_images
from samtune.data import Dataset, make_samples, open_dataset
from samtune.errors import DataError
from samtune.methods import adapt, make_method
from samtune.segment import segment
from samtune.tasks import Areas
from samtune.training import validation
from samtune.training.features import CachedFeatures, Views, encode_views
from samtune.training.memory import Load, count_update, feature_bytes, plain_loss
from samtune.training.objective import Objective
from samtune.training.validation import Validation
from samtune.types import Features
from tests.tiny import tiny_library


class Detailed(Sam1):
    """SAM with two more tensors, without which its masks are others."""

    @property
    def feature_shapes(self) -> dict[str, tuple[int, ...]]:
        return super().feature_shapes | {"fine": (3, 24, 24), "mean": (3, 1, 1)}

    def encode(self, pixels: Tensor) -> Features:
        extras = {"fine": F.avg_pool2d(pixels, 4), "mean": pixels.mean((2, 3), keepdim=True)}
        return Features(super().encode(pixels).embedding, extras)

    def decode(self, features: Features) -> Tensor:
        fine, mean = features.extras["fine"], features.extras["mean"]
        return super().decode(features) + 5 * (fine - mean).mean(1, keepdim=True)


@pytest.fixture
def base() -> Base:
    return Detailed(tiny_library(), name="detailed", sha256="of this test").requires_grad_(False).eval()


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("SAMTUNE_CACHE", str(tmp_path / "cache"))
    make_samples("cells", tmp_path, num=3, seed=3, size_hw=(80, 112))
    return open_dataset(tmp_path / "images", tmp_path / "masks")


def cached(base: Base, dataset: Dataset) -> CachedFeatures:
    features = CachedFeatures.of(base, Views(dataset, (0, 1, 2), base.spec, Areas()))
    encode_views(features, base, [0])
    return features


def test_the_cache_gives_back_every_tensor(base: Base, dataset: Dataset, tmp_path: Path) -> None:
    features = cached(base, dataset)
    assert len(list((tmp_path / "cache").glob("*/*.npy"))) == 3 * 4, "three tensors and a label map of each image"
    pixels = torch.stack([features.views.prepare(item, 0)[0] for item in (2, 0)])
    found, labels = features.load([(2, 0), (0, 0)])
    expected = base.encode(pixels).tensors()
    assert {name: each.shape[1:] for name, each in found.tensors().items()} == base.feature_shapes
    assert labels.shape == (2, 96, 96)
    for name, tensor in found.tensors().items():
        torch.testing.assert_close(tensor, expected[name], rtol=2**-7, atol=1e-3)


def test_an_image_that_lacks_one_tensor_is_encoded_again(base: Base, dataset: Dataset) -> None:
    features = cached(base, dataset)
    before, _ = features.load([(0, 0), (1, 0)])
    features.store.file(features.store.key("fine", base.encoder_id, *features.views.key(1, 0))).unlink()
    assert features.missing([0]) == [(1, 0)]
    after, _ = features.load([(0, 0), (1, 0)])
    assert features.missing([0]) == []
    for name, tensor in after.tensors().items():
        torch.testing.assert_close(tensor, before.tensors()[name])


@pytest.mark.parametrize("remembered", [0, 10**9], ids=["on disk", "in memory"])
def test_validation_scores_the_features_as_it_scores_the_images(
    base: Base, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    monkeypatch.setattr(validation, "REMEMBERED_BYTES", remembered)
    kept = Validation(dataset, Areas(), (0, 1, 2), base.encoder_id)
    with torch.inference_mode():
        first, again = kept.scores(base), kept.scores(base)
        expected = Validation(dataset, Areas(), (0, 1, 2), None).scores(base)
    assert first == again
    assert 0 < expected["predicted_share"] < 1
    assert first == pytest.approx(expected, abs=0.02)


def test_a_comparison_scores_them_as_prediction_answers(base: Base, dataset: Dataset) -> None:
    frozen = dict(from_frozen(dataset, cached(base, dataset), base.decode, threshold=0.5, device=base.device))
    whole = dict(from_images(dataset, (0, 1, 2), Areas(), base, base.decode, threshold=0.5))
    for index in range(3):
        (planes,) = segment(base, {"x": base.decode}, [dataset.image(index)])
        expected = Areas().decide(planes["x"], 0.5)
        np.testing.assert_array_equal(whole[index], expected)
        assert (frozen[index] == expected).mean() > 0.98
        assert 0 < expected.mean() < 1


def test_they_are_counted_and_trained_on(base: Base, dataset: Dataset) -> None:
    assert feature_bytes(base) == 4 * (16 * 6 * 6 + 3 * 24 * 24 + 3)
    features, labels = cached(base, dataset).load([(0, 0), (1, 0)])
    model = adapt(base, make_method("ptsam"))
    loss, *_ = Objective(model.train(), Areas(), loss="bce_dice")(features, labels)
    loss.backward()
    prompts = model.decoder.prompts
    assert prompts is not None
    assert prompts.tokens.grad is not None
    counted = count_update(model, Load(cached=True), plain_loss)
    assert counted is not None
    assert counted > feature_bytes(model)


def test_an_encoder_that_gives_other_tensors_is_refused(base: Base, dataset: Dataset) -> None:
    encode: Callable[[Tensor], Features] = super(Detailed, base).encode  # type: ignore[misc]
    features = CachedFeatures.of(base, Views(dataset, (0,), base.spec, Areas()))
    with pytest.raises(DataError, match="Expected the encoder's features to be embedding, fine, mean, got embedding"):
        features.make(encode, [0])
