"""Baselines without SAM: they learn a colour, and nothing but the seed decides the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from samtune.compare.baselines import COLOUR_SPEC, UNet, colour_planes, fit_colour, train_unet
from samtune.data import Dataset, open_dataset, to_input
from samtune.tasks import Areas
from samtune.types import Features
from tests.compare.discs import opened


@pytest.fixture
def discs(tmp_path: Path) -> Dataset:
    return opened(tmp_path, 4)


def test_planes_are_the_channels_at_four_blurs_and_their_squares() -> None:
    pixels = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0))
    planes = colour_planes(pixels)
    assert planes.shape == (24, 32, 32)
    torch.testing.assert_close(planes[:3], pixels)
    torch.testing.assert_close(planes[12:], planes[:12].square())
    assert planes[9:12].std() < planes[6:9].std() < planes[3:6].std() < planes[:3].std()


def test_a_colour_is_learned(tmp_path: Path) -> None:
    import cv2

    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        mask = np.zeros((64, 64), np.uint8)
        mask[8 + 4 * number : 40, 10:50] = 255
        image = rng.integers(90, 110, (64, 64, 3)).astype(np.uint8)
        image[mask > 0] += np.array([0, 0, 100], np.uint8)  # red, as OpenCV writes
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), image)
        cv2.imwrite(str(tmp_path / "masks" / f"{number}.png"), mask)
    dataset = open_dataset(tmp_path)
    probe = fit_colour(dataset, (0, 1), Areas())
    pixels, _ = to_input(dataset.image(2), COLOUR_SPEC)
    with torch.inference_mode():
        logits = probe.logits(Features(colour_planes(pixels)[None]))[0, 0]
    shown = np.asarray(cv2.resize((logits > 0).numpy().astype(np.uint8), (64, 64), interpolation=cv2.INTER_NEAREST))
    truth = dataset.labels(2) == 1
    assert (shown[truth].mean(), shown[~truth].mean()) == (pytest.approx(1, abs=0.1), pytest.approx(0, abs=0.1))


@pytest.mark.parametrize("num_classes", [1, 3])
def test_the_network_gives_logits_at_the_size_of_its_input(num_classes: int) -> None:
    with torch.inference_mode():
        assert UNet(num_classes).eval()(torch.zeros(2, 3, 48, 32)).shape == (2, num_classes, 48, 32)


def test_the_network_is_a_function_of_its_seed(discs: Dataset) -> None:
    one, same, other = (train_unet(discs, (0, 1), Areas(), seed=seed, updates=1).state_dict() for seed in (0, 0, 1))
    torch.testing.assert_close(one, same)
    assert not torch.equal(one["head.weight"], other["head.weight"])
