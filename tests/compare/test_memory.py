"""The guess of what a cell needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from samtune.compare import Cell, memory
from samtune.compare.features import base_for
from samtune.compare.memory import needed_bytes
from samtune.training.recipe import choose_recipe
from tests.compare.conftest import settings

GB = 10**9


def test_the_need_grows_with_what_a_cell_computes(base: Path) -> None:
    chosen = settings(base, shots=(4,))
    sam = base_for(chosen)
    recipe = choose_recipe(chosen.training(Cell("ptsam", 4, 0)), 1)
    plain = needed_bytes(sam, chosen, "ptsam", recipe, False)
    through = needed_bytes(sam, chosen, "ptsam", recipe, True)
    assert memory.FIXED < plain < through < 1.5 * GB
    recomputed = replace(chosen, more={"recompute": True})
    assert plain < needed_bytes(sam, recomputed, "ptsam", recipe, True) < through
    larger = settings(base, side=2 * sam.spec.image_size)
    assert needed_bytes(base_for(larger), larger, "ptsam", recipe, True) > through
