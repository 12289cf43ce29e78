"""A small comparison on a tiny base, computed once in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from samtune.compare import CompareSettings, Comparison, compare, here
from samtune.data import Dataset, make_samples, open_dataset

SETTINGS = {"shots": (2, 4), "num_seeds": 2, "updates": 2, "num_test": 5, "device": "cpu"}
MORE = {"views": 1, "evaluations": 1}


def settings(base: Path, **changes: object) -> CompareSettings:
    """Two updates of two methods: one on cached features, one through the encoder."""
    chosen = SETTINGS | {"base": str(base), "methods": ("ptsam", "ptsam_encoder"), "more": MORE} | changes
    return CompareSettings(**chosen)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("samples")
    make_samples("cells", folder, num=12, seed=3, size_hw=(64, 80))
    return open_dataset(folder)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMTUNE_CACHE", str(cache))


@pytest.fixture(scope="session")
def comparison(base: Path, dataset: Dataset, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMTUNE_CACHE", str(cache))
        return compare(settings(base), dataset, tmp_path_factory.mktemp("compared") / "c0", run=here)
