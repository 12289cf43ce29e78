"""The whole path: one encoding for all decoders, each image at its size, averaged over views where asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from samtune.data import to_input
from samtune.data.views.symmetries import apply_symmetry, undo_symmetry
from samtune.errors import ShapeError
from samtune.losses import probabilities
from samtune.methods import adapt, make_method
from samtune.segment import PixelEncoder, encode, full_size, prepare, segment, to_original
from samtune.types import Averaging, Features, ImageSpec
from tests.tiny import tiny_sam

SIZES = [(80, 112), (33, 17), (96, 96)]


def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


def test_a_batch_is_encoded_once_for_all_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny_sam().requires_grad_(True)
    calls: list[int] = []
    plain = base.encode

    def counted(pixels: torch.Tensor) -> Features:
        calls.append(len(pixels))
        return plain(pixels)

    monkeypatch.setattr(base, "encode", counted)
    rows = list(segment(base, {"a": base.decode, "b": lambda f: f.embedding[:, :1]}, images()))
    assert calls == [3]
    for name in ("a", "b"):
        assert [planes[name].shape for planes in rows] == [(1, *size) for size in SIZES]
    assert not any(planes["a"].requires_grad for planes in rows)


def test_its_steps_by_hand_give_the_same() -> None:
    base = tiny_sam()
    rows = list(segment(base, {"x": base.decode}, images()))
    for image, planes in zip(images(), rows, strict=True):
        pixels, geometry = to_input(image, base.spec)
        expected = to_original(base.decode(base.encode(pixels[None]))[0], geometry)
        torch.testing.assert_close(planes["x"], expected, atol=1e-4, rtol=1e-4)
    inputs = prepare(images(), base.spec)
    given = full_size(base.decode(encode(base, inputs)), inputs.geometries)
    for planes, logits in zip(rows, given, strict=True):
        torch.testing.assert_close(planes["x"], logits)


def test_logits_of_another_size_are_resized_once() -> None:
    base = tiny_sam()
    rows = list(segment(base, {"x": base.decode}, images(), at=50))
    assert all(planes["x"].shape == (1, 50, 50) for planes in rows)


def test_a_model_that_reads_pixels_walks_the_same_path() -> None:
    spec = ImageSpec(image_size=64, patch=1, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    image = np.zeros((64, 48, 3), np.uint8)
    image[20:, :10, 0] = 200
    (planes,) = segment(PixelEncoder(spec), {"red": lambda f: f.embedding[:, :1] - 100}, [image])
    assert torch.equal(planes["red"] > 0, torch.from_numpy(image[None, ..., 0] > 100))


@pytest.mark.parametrize(("tta", "symmetries"), [("mirror", (0, 4)), ("d4", range(8))])
def test_it_is_the_mean_of_the_probabilities_of_the_views(tta: Averaging, symmetries: Sequence[int]) -> None:
    model = tiny_sam()
    adapt(model, make_method("ptsam"), num_classes=2, seed=1)
    image = images()[0]
    expected = torch.zeros(2, 80, 112)
    for symmetry in symmetries:
        (planes,) = segment(model, {"x": model.decode}, [apply_symmetry(image, symmetry)])
        expected += undo_symmetry(probabilities(planes["x"][None])[0], symmetry) / len(symmetries)
    (found,) = segment(model, {"x": model.decode}, [image], tta=tta)
    assert torch.allclose(probabilities(found["x"][None])[0], expected, atol=1e-5)


@pytest.mark.parametrize("tta", ["none", "d4"])
def test_no_image_gives_nothing_and_what_is_no_image_is_refused(tta: Averaging) -> None:
    base = tiny_sam()
    assert list(segment(base, {"x": base.decode}, [], tta=tta)) == []
    with pytest.raises(ShapeError, match=r"uint8 \(H, W, 3\)"):
        list(segment(base, {"x": base.decode}, [np.zeros((4, 4), np.uint8)], tta=tta))
