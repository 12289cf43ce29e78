from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from assets import check_licences, is_held_out
from feed import Feeder
from materials import Bank
from outlines import rasterise
from scoring import boundary_f
from themes import HELD_OUT, TRAINING, draw_theme
from things import HELD_OUT_KINDS, KINDS


@pytest.fixture(scope="module")
def banks() -> dict[bool, Bank]:
    return {held: Bank(7, None, held) for held in (False, True)}


@pytest.mark.parametrize(
    ("name", "held"), [(n, False) for n in TRAINING] + [(n, True) for n in HELD_OUT], ids=lambda v: str(v)
)
def test_a_theme_draws_labelled_images_of_its_seed_alone(banks: dict[bool, Bank], name: str, held: bool) -> None:
    def drawn(seed: int) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        theme = draw_theme(rng, banks[held], name)
        return [array for _ in range(2) for array in theme.render(rng, 256)]

    labelled = 0
    for seed in range(3):
        image, category, instance, *_ = layouts = drawn(seed)
        assert [a.shape for a in layouts] == [(256, 256, 3), (256, 256), (256, 256)] * 2
        assert all(a.dtype == np.uint8 for a in layouts)
        assert category.max() <= 4
        assert not instance[category == 0].any()
        labelled += bool(category.any())
        assert image.std() > 1
        for ours, again in zip(layouts, drawn(seed), strict=True):
            np.testing.assert_array_equal(ours, again)
    assert labelled >= 2


def test_training_and_held_out_share_no_outline_and_one_theme_only() -> None:
    assert not set(KINDS) & set(HELD_OUT_KINDS)
    assert set(TRAINING) & set(HELD_OUT) == {"things"}


@pytest.mark.parametrize(
    ("path", "inside", "outside"),
    [
        ("M10 10h80v80h-80z", (50, 50), (5, 5)),
        ("m10,10 80,0 0,80 -80,0z", (85, 85), (95, 95)),
        ("M10 50a40 40 0 1 0 80 0a40 40 0 1 0-80 0z", (50, 50), (15, 15)),
        ("M10 50a40 40 0 1080 0a40 40 0 10-80 0z", (50, 50), (15, 15)),  # arc flags written together
        ("M10 10H90V90H10zM30 30V70H70V30z", (20, 50), (50, 50)),  # a hole
        ("M10 90Q50-70 90 90z", (50, 50), (12, 20)),
        ("M10 90C10-10 90-10 90 90z", (50, 50), (90, 10)),
        ("M10 50C10 20 50 20 50 50S90 80 90 50L90 95L10 95z", (20, 60), (70, 40)),
    ],
)
def test_paths_are_filled(path: str, inside: tuple[int, int], outside: tuple[int, int]) -> None:
    drawn = rasterise(f'<path fill="currentColor" d="{path}"/>', 100, 100)
    assert drawn[inside[1], inside[0]] == 255
    assert drawn[outside[1], outside[0]] == 0


def test_an_eighth_of_the_assets_is_held_out() -> None:
    share = np.mean([is_held_out(f"asset-{k}") for k in range(4000)])
    assert 0.11 < share < 0.14


def test_a_package_under_another_licence_is_refused(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"name": "@pmndrs/assets", "license": "CC-BY-NC-4.0"}')
    with pytest.raises(ValueError, match="CC-BY-NC-4"):
        check_licences({"@pmndrs/assets": tmp_path})


def test_a_feeder_goes_on_with_the_same_batches(banks: dict[bool, Bank]) -> None:
    first, second = Feeder(banks[False], 3, 4), Feeder(banks[False], 3, 4)
    for _ in range(3):
        first.next(64, 1, 1, 0.5)
    state = first.state()
    expected = first.next(64, 2, 1, 0.5)
    second.load(state)
    again = second.next(64, 2, 1, 0.5)
    np.testing.assert_array_equal(expected.pixels, again.pixels)
    np.testing.assert_array_equal(expected.cross.cells, again.cross.cells)
    np.testing.assert_array_equal(expected.instances.boxes_xyxy, again.instances.boxes_xyxy)


@pytest.mark.parametrize(
    ("shift", "expected"), [(0, 1.0), (2, 1.0), (30, 0.0)], ids=["same", "within two pixels", "elsewhere"]
)
def test_boundary_f(shift: int, expected: float) -> None:
    mask = np.zeros((64, 64), bool)
    mask[10:25, 10:25] = True
    assert boundary_f(np.roll(mask, shift, 0), mask) == expected


def test_boundary_f_of_empty_masks() -> None:
    empty, full = np.zeros((8, 8), bool), np.ones((8, 8), bool)
    assert (boundary_f(empty, empty), boundary_f(empty, full), boundary_f(full, empty)) == (1.0, 0.0, 0.0)
