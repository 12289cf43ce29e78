"""What every case is held to: no exception but SamTuneError, at most 10 s of processor time and 1 GB of memory."""

from __future__ import annotations

import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from hypothesis import HealthCheck, settings

from samtune.errors import SamTuneError

LIMIT_S, LIMIT_BYTES = 10, 10**9

FACTOR = float(os.environ.get("SAMTUNE_FUZZ", "1"))
"""How many times the cases of a run in CI; `make fuzz` raises it."""

RANDOM = bool(os.environ.get("SAMTUNE_FUZZ_SEED"))
"""Whether the cases follow `--hypothesis-seed`; else they are the same in every run."""


class TooSlowError(Exception):
    """A case took more processor time than is allowed."""


def cases(number: int) -> settings:
    """So many cases in a run of CI: the same ones each time, none kept, none too slow for hypothesis itself."""
    return settings(
        max_examples=max(1, round(number * FACTOR)),
        derandomize=not RANDOM,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def survives(call: Callable[[], Any]) -> Any:
    """Run a case within the limits.

    Returns:
        What it returned, or the SamTuneError that it raised; every other exception passes.
    """
    with _limited(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the readers, about files that are damaged on purpose
        try:
            return call()
        except SamTuneError as error:
            sentence = str(error)
            assert sentence, "an error without a sentence"
            assert len(sentence) < 10_000, sentence
            return error


@contextmanager
def _limited() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGPROF, _too_slow)
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + LIMIT_BYTES, hard))
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, before)


def _too_slow(*_: Any) -> None:
    raise TooSlowError(f"more than {LIMIT_S} s of processor time")
