"""The eight symmetries of the square."""

from __future__ import annotations

import numpy as np
import torch

from samtune.data.views.symmetries import SYMMETRIES, apply_symmetry, undo_symmetry


def test_there_are_eight_and_each_is_undone() -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    views = [apply_symmetry(image, symmetry) for symmetry in SYMMETRIES["d4"]]
    assert len({(view.shape, view.tobytes()) for view in views}) == 8
    for symmetry, view in enumerate(views):
        back = undo_symmetry(torch.from_numpy(view).permute(2, 0, 1), symmetry)
        assert torch.equal(back.permute(1, 2, 0), torch.from_numpy(image))
