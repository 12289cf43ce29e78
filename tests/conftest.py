"""What every test shares."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a shell starts jobs in the background; the tests of interruption send themselves signals.
    signal.signal(signal.SIGINT, signal.default_int_handler)
REAL_SETS = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SAM with random weights, as a folder that `--base` takes."""
    from tests.tiny import tiny_library  # torch and transformers, which not every test needs

    folder = tmp_path_factory.mktemp("tiny") / "base"
    tiny_library().save_pretrained(folder)
    return folder


@pytest.fixture
def real_sets() -> Path:
    """The folder of real image sets; the test is skipped where it is absent."""
    if not REAL_SETS.is_dir():
        pytest.skip(f"the real image sets are not at {REAL_SETS.name}/ beside the checkout")
    return REAL_SETS
