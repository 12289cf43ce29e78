"""Running the command line in this process, and what it works on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from samtune.cli import main
from samtune.data import make_samples
from tests.predict.conftest import samples, specialist, write_specialist

__all__ = ["Answer", "Run", "samples", "specialist", "write_specialist"]


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        content: dict[str, Any] = json.loads(self.out)
        return content


Run = Callable[..., Answer]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `samtune ...` and return what it printed; features are cached in the test's own folder."""
    monkeypatch.setenv("SAMTUNE_CACHE", str(tmp_path / "cache"))

    def call(*words: object) -> Answer:
        capsys.readouterr()
        code: object = 0
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code or 0
        found = capsys.readouterr()
        assert isinstance(code, int)
        return Answer(code, found.out, found.err)

    return call


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images to train on."""
    folder = tmp_path_factory.mktemp("training")
    make_samples("cells", folder, num=8, seed=11, size_hw=(80, 96))
    return folder
