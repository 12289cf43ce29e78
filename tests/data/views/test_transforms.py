"""From image to encoder input: geometry, padding, alignment of image and labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from samtune.data import labels_to_input, to_input
from samtune.errors import ShapeError
from samtune.segment import to_original
from samtune.types import IGNORE, ImageSpec
from tests.data.folders import picture

SPEC = ImageSpec(96, 16, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
RAW = ImageSpec(96, 16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def shapes(hw: tuple[int, int]) -> np.ndarray:
    """0/1 uint8: a blob off the centre and a bar, unlike any of its own turns."""
    labels = np.zeros(hw, np.uint8)
    labels[hw[0] // 8 : hw[0] // 2, hw[1] // 6 : hw[1] // 2] = 1
    labels[hw[0] * 3 // 4 : hw[0] * 7 // 8, hw[1] // 3 :] = 1
    return labels


@pytest.mark.parametrize("hw", [(60, 100), (100, 60), (200, 150), (96, 96), (31, 97), (1, 500)])
def test_geometry_padding_and_normalisation(hw: tuple[int, int]) -> None:
    image = np.full((*hw, 3), 200, np.uint8)
    pixels, geometry = to_input(image, SPEC)
    h, w = geometry.resized_hw
    assert pixels.shape == (3, 96, 96)
    assert pixels.dtype == torch.float32
    assert max(h, w) == 96
    assert geometry.original_hw == hw
    expected = (200 - torch.tensor(SPEC.mean)) / torch.tensor(SPEC.std)
    torch.testing.assert_close(pixels[:, :h, :w], expected[:, None, None].expand(3, h, w))
    assert (pixels[:, h:] == 0).all()
    assert (pixels[:, :, w:] == 0).all()
    labels = labels_to_input(np.ones(hw, np.uint8), geometry)
    assert (labels[:h, :w] == 1).all()
    assert int((labels == IGNORE).sum()) == 96 * 96 - h * w


@pytest.mark.parametrize("hw", [(60, 100), (300, 211), (96, 50), (37, 41)])
def test_labels_lie_on_the_image(hw: tuple[int, int]) -> None:
    labels = shapes(hw)
    pixels, geometry = to_input(np.dstack([labels * np.uint8(255)] * 3), RAW)
    h, w = geometry.resized_hw
    found = labels_to_input(labels, geometry)[:h, :w]
    assert ((pixels[0, :h, :w] > 127.5) != (found == 1)).float().mean() < 0.01
    flipped, _ = to_input(np.dstack([labels[::-1, ::-1] * np.uint8(255)] * 3), RAW)
    torch.testing.assert_close(flipped[0, :h, :w], pixels[0, :h, :w].flip(0, 1), atol=1.01, rtol=0)


@pytest.mark.parametrize("hw", [(60, 100), (100, 60), (300, 211), (96, 96), (7, 96)])
def test_squashed_images_fill_the_square_and_come_back_at_their_own_size(hw: tuple[int, int]) -> None:
    labels = shapes(hw)
    image = np.dstack([labels * np.uint8(255)] * 3)
    pixels, geometry = to_input(image, replace(RAW, fit="squash"))
    assert (geometry.original_hw, geometry.resized_hw, geometry.side) == (hw, (96, 96), 96)
    found = labels_to_input(labels, geometry)
    assert not (found == IGNORE).any()
    assert ((pixels[0] > 127.5) != (found == 1)).float().mean() < 0.02
    back = to_original((found[None].float() - 0.5) * 20, geometry)
    assert back.shape == (1, *hw)
    wrong = ((back[0] > 0).numpy() != (labels == 1)).mean()
    assert wrong < (0.2 if min(hw) < 10 else 0.04)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="uint8"):
        to_input(np.zeros((4, 4), np.uint8), SPEC)
    with pytest.raises(ShapeError, match="labels"):
        labels_to_input(np.zeros((3, 3), np.uint8), to_input(picture(), SPEC)[1])
