"""The way back from the padded square, against plain arithmetic."""

from __future__ import annotations

import pytest
import torch

from samtune.data import geometry_of
from samtune.segment import to_original, without_padding
from samtune.types import ImageSpec

SPEC = ImageSpec(96, 16, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


@pytest.mark.parametrize("hw", [(96, 96), (60, 100), (200, 50), (1, 40)])
def test_a_ramp_over_the_square_is_the_same_ramp_over_the_image(hw: tuple[int, int]) -> None:
    geometry = geometry_of(hw, SPEC)
    centres = torch.arange(24) * 4 + 1.5
    logits = (centres[:, None] + 2 * centres[None])[None]
    found = to_original(logits, geometry)
    assert found.shape == (1, *hw)
    assert found.dtype == torch.float32
    rows, columns = (
        ((torch.arange(extent) + 0.5) * resized / extent - 0.5).clamp(1.5, 93.5)
        for extent, resized in zip(hw, geometry.resized_hw, strict=True)
    )
    inside = (slice(None), slice(1, -1) if hw[0] > 2 else slice(None), slice(1, -1))
    # At the border bilinear resizing repeats the last value, which is up to half a pixel of the square away.
    torch.testing.assert_close(found[inside], (rows[:, None] + 2 * columns[None])[None][inside], atol=1.6, rtol=0)


def test_logits_of_the_images_own_size_come_back_untouched() -> None:
    logits = torch.randn(3, 96, 96, generator=torch.Generator().manual_seed(0))
    assert torch.equal(to_original(logits, geometry_of((96, 96), SPEC)), logits)


def test_the_padding_is_cut_off_at_the_decoders_resolution() -> None:
    logits = torch.randn(2, 24, 24, generator=torch.Generator().manual_seed(0))
    assert torch.equal(without_padding(logits, geometry_of((48, 96), SPEC)), logits[:, :12])
    assert without_padding(logits, geometry_of((96, 1), SPEC)).shape == (2, 24, 1)
