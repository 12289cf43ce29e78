"""The same on a GPU as on the CPU. Skipped where there is none; `pytest -m gpu` runs these alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from tests.training.conftest import own_cache, prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["own_cache", "prepared"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in this folder, and skip it where it cannot run."""
    absent = pytest.mark.skip(reason="torch sees no CUDA device")
    for item in items:
        if item.path.parent.name == "gpu":
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(absent)


@pytest.fixture(autouse=True)
def whole_float32() -> Iterator[None]:
    """Convolutions without TF32, torch's default for them, which rounds what is multiplied to 10 bits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before
