from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from samtune.errors import DataError
from samtune.predict import reading
from samtune.predict.reading import TRIM_EVERY, find_images, read_ahead, write_behind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def test_results_come_in_order_and_are_made_elsewhere() -> None:
    def work(number: int) -> tuple[int, int]:
        time.sleep(0.01 if number % 2 else 0)
        return number, threading.get_ident()

    done = list(write_behind((partial(work, number) for number in range(9)), most=2))
    assert [number for number, _ in done] == list(range(9))
    assert threading.get_ident() not in {thread for _, thread in done}


def test_making_waits_for_the_writing() -> None:
    made: list[int] = []
    written: list[int] = []
    ahead: list[int] = []

    def tasks() -> Iterator[Callable[[], None]]:
        for number in range(12):
            made.append(number)
            ahead.append(len(made) - len(written))
            yield partial(written.append, number)

    list(write_behind(tasks(), most=3))
    assert written == made
    assert max(ahead) <= 5


def test_an_error_comes_out_and_nothing_is_left_running() -> None:
    def work(number: int) -> int:
        if number == 2:
            raise OSError("no space left")
        return number

    results = write_behind((partial(work, number) for number in range(100)), most=4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="no space left"):
        next(results)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("samtune-writing")]


def test_memory_is_handed_back_every_few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    handed_back: list[int] = []
    monkeypatch.setattr(reading, "trim", lambda: handed_back.append(len(taken)))
    for batch in read_ahead(range(2 * (2 * TRIM_EVERY + 1)), lambda item: item, batch_size=2):
        taken.append(len(batch))
    assert handed_back == [TRIM_EVERY, 2 * TRIM_EVERY]


@pytest.mark.parametrize("given", ["a\0b", "x" * 5000, "\ud800"], ids=["nul", "long", "surrogate"])
def test_a_path_that_no_file_can_have_is_refused(given: str) -> None:
    with pytest.raises(DataError, match="Expected a path, got"):
        find_images([given])
