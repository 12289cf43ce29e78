"""A process of its own: whatever ends it ends nothing else."""

from __future__ import annotations

import os
import signal
import time

import pytest

from samtune.compare import (
    isolated,
)
from samtune.compare.isolation import ChildDied
from samtune.errors import DataError


def die(how: str) -> int:
    """What may happen to a cell; at the top of a module, where another process finds it."""
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "left":
        os._exit(3)
    if how == "raised":
        raise DataError("There must be something, but nothing came.")
    if how == "strange":
        raise Strange(1, 2)
    return os.getpid()


class Strange(Exception):  # noqa: N818
    """An exception that cannot be pickled back."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")


@pytest.mark.slow
def test_a_process_of_its_own_takes_nothing_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isolated(die, "").value not in (None, os.getpid())
    for how, words in (("killed", "SIGKILL, most often because the memory"), ("left", "code 3")):
        outcome = isolated(die, how)
        assert isinstance(outcome.error, ChildDied)
        assert words in str(outcome.error)
    raised = isolated(die, "raised")
    assert isinstance(raised.error, DataError)
    assert "Traceback" in raised.trace
    assert "Strange" in repr(isolated(die, "strange").error)
    monkeypatch.setenv("SAMTUNE_TEST", "now")
    assert isolated(os.getenv, "SAMTUNE_TEST").value == "now"


@pytest.mark.slow
def test_ctrl_c_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    isolated(die, "")  # the server is there
    start = time.monotonic()
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        with pytest.raises(KeyboardInterrupt):
            isolated(time.sleep, 60)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert time.monotonic() - start < 30
