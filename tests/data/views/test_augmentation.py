"""Views of an image: image and labels together, drawn from seed and index alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from samtune.data import Augmentation, labels_to_input, to_input, view
from samtune.data.views.augmentation import AUGMENTATIONS
from samtune.errors import ConfigError, ShapeError
from samtune.types import IGNORE
from tests.data.folders import picture
from tests.data.views.test_transforms import RAW, SPEC, shapes

GEOMETRIC = Augmentation(brightness=0, contrast=0, gamma=0, hue=0, saturation=0)


def test_wrong_shapes_and_strengths_are_refused() -> None:
    with pytest.raises(ShapeError, match="labels"):
        view(picture(), np.zeros((3, 3), np.uint8), SPEC)
    for wrong in ({"scale_min": 0}, {"hue": 0.6}, {"brightness": -1}):
        with pytest.raises(ConfigError):
            Augmentation(**wrong)


@pytest.mark.parametrize("hw", [(60, 100), (150, 130)])
def test_image_and_labels_stay_together_in_views(hw: tuple[int, int]) -> None:
    labels = shapes(hw)
    image = np.dstack([labels * np.uint8(255)] * 3)
    for index in range(12):
        pixels, found, geometry = view(image, labels, RAW, augmentation=GEOMETRIC, seed=5, index=index)
        h, w = geometry.resized_hw
        counted = found != IGNORE
        assert not counted[h:].any()
        assert not counted[:, w:].any()
        assert bool(counted[:h, :w].all())
        disagree = ((pixels[0] > 127.5) != (found == 1)) & counted
        assert disagree.sum() / counted.sum() < 0.02


def test_every_second_view_is_mirrored_and_nothing_else_is_changed() -> None:
    image, labels = picture(2, (60, 100)), shapes((60, 100))
    for spec in (SPEC, replace(SPEC, fit="squash")):
        plain, plain_labels, geometry = view(image, labels, spec, index=0)
        width = geometry.resized_hw[1]
        for index in (1, 2, 5):
            pixels, found, _ = view(image, labels, spec, augmentation=AUGMENTATIONS["flip"], seed=4, index=index)
            if index % 2:
                pixels = torch.cat([pixels[..., :width].flip(-1), pixels[..., width:]], -1)
                found = torch.cat([found[:, :width].flip(-1), found[:, width:]], -1)
            torch.testing.assert_close(pixels, plain, atol=0.02, rtol=0)
            assert (found != plain_labels).float().mean() < 0.01


def test_upright_views_are_mirrored_and_never_turned() -> None:
    labels = np.zeros((60, 60), np.uint8)
    labels[:30, :20] = 1  # in a corner that no window larger than half of the image can cut it from

    def corners(name: str) -> set[tuple[bool, bool]]:
        """At the top, and at the left?"""
        image = np.dstack([labels * np.uint8(200)] * 3)
        views = [view(image, labels, SPEC, augmentation=AUGMENTATIONS[name], seed=3, index=i)[1] for i in range(1, 17)]
        return {(bool((found[0] == 1).any()), bool((found[:, 0] == 1).any())) for found in views}

    assert corners("upright") == {(True, True), (True, False)}
    assert corners("varied") == {(True, True), (True, False), (False, True), (False, False)}


def test_view_0_is_the_image_as_it_is() -> None:
    image, labels = picture(0, (60, 100)), shapes((60, 100))
    pixels, geometry = to_input(image, SPEC)
    first = view(image, labels, SPEC, seed=9, index=0)
    assert torch.equal(first[0], pixels)
    assert torch.equal(first[1], labels_to_input(labels, geometry))
    assert first[2] == geometry


def test_views_depend_on_seed_and_index_alone() -> None:
    image, labels = picture(0, (60, 100)), shapes((60, 100))
    state = torch.random.get_rng_state()
    first = view(image, labels, SPEC, seed=1, index=2)
    assert torch.equal(state, torch.random.get_rng_state())
    torch.manual_seed(123)
    np.random.default_rng(5)
    again = view(image, labels, SPEC, seed=1, index=2)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    others = [view(image, labels, SPEC, seed=s, index=i)[0] for s, i in ((1, 3), (2, 2), (1, 1))]
    assert not any(torch.equal(first[0], other) for other in others)


def test_all_eight_symmetries_occur() -> None:
    labels = shapes((64, 64))
    image = np.dstack([labels * np.uint8(255)] * 3)
    strengths = replace(GEOMETRIC, scale_min=1)
    seen = {view(image, labels, SPEC, augmentation=strengths, index=i)[1].numpy().tobytes() for i in range(1, 80)}
    assert len(seen) == 8


def test_no_strength_changes_nothing_and_lights_change_pixels_only() -> None:
    image, labels = picture(0, (60, 100)), shapes((60, 100))
    none = replace(GEOMETRIC, flip=False, rotate90=False, scale_min=1)
    plain, plain_labels, _ = view(image, labels, SPEC, index=0)
    pixels, found, _ = view(image, labels, SPEC, augmentation=none, index=4)
    torch.testing.assert_close(pixels, plain, atol=1e-4, rtol=1e-4)
    assert torch.equal(found, plain_labels)
    lights = Augmentation(flip=False, rotate90=False, scale_min=1)
    pixels, found, geometry = view(image, labels, SPEC, augmentation=lights, index=4)
    h, w = geometry.resized_hw
    assert torch.equal(found, plain_labels)
    assert 0.01 < (pixels - plain)[:, :h, :w].abs().mean() < 1
    assert (pixels[:, h:] == 0).all()


def test_windows_keep_an_object() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[40:60, 40:60] = 1
    image = picture(0, (100, 100))
    strengths = Augmentation(scale_min=0.3)
    hits = [bool((view(image, labels, SPEC, augmentation=strengths, index=i)[1] == 1).any()) for i in range(1, 30)]
    assert all(hits)
