"""A tiny base and eight generated images, made once; and a cache of features that no user shares."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.tiny_run import prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    prepare(folder)
    return folder


@pytest.fixture(autouse=True)
def own_cache(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMTUNE_CACHE", str(prepared / "cache"))
