"""The guard itself: it lets results and SamTuneErrors pass, and catches everything else."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from samtune.errors import DataError
from tests.fuzz import guard
from tests.fuzz.guard import TooSlowError, survives


def test_results_and_refusals_pass() -> None:
    assert survives(lambda: 3) == 3
    assert isinstance(survives(lambda: refuse("no")), DataError)


def refuse(sentence: str) -> Any:
    raise DataError(sentence)


def test_other_exceptions_and_empty_sentences_do_not_pass() -> None:
    with pytest.raises(ZeroDivisionError):
        survives(lambda: 1 / 0)
    with pytest.raises(AssertionError):
        survives(lambda: refuse(""))


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
def test_a_gigabyte_does_not_pass() -> None:
    with pytest.raises(MemoryError):
        survives(lambda: np.ones(2 * 10**8))
    assert np.ones(2 * 10**7).size, "the limit is lifted afterwards"


def test_ten_seconds_do_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "LIMIT_S", 0.05)
    with pytest.raises(TooSlowError):
        survives(forever)


def forever() -> None:
    while True:
        pass
