"""Fixtures: a folder and an original checkpoint of one tiny base."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.bases.tiny_checkpoints import library, original


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    library().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save(original(library().state_dict()), tmp_path / "sam_tiny.pth")
    return tmp_path / "sam_tiny.pth"
