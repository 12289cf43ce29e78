"""Images, and specialists on the tiny base without any training."""

from __future__ import annotations

from pathlib import Path

import pytest

from samtune.adapters import card_of, save
from samtune.bases import load_base
from samtune.data import make_samples
from samtune.methods import adapt, make_method


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    make_samples("cells", folder, num=5, seed=3, size_hw=(80, 112))
    return folder


def write_specialist(base: Path, folder: Path, method: str = "ptsam", class_names: tuple[str, ...] = ("cell",)) -> Path:
    """A specialist with random first values."""
    model = load_base(base)
    adapt(model, make_method(method), num_classes=len(class_names), seed=1)
    save(model, folder, card_of(model, class_names))
    return folder


@pytest.fixture(scope="session")
def specialist(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_specialist(base, tmp_path_factory.mktemp("ptsam") / "adapter")
