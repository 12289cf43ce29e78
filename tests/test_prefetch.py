from __future__ import annotations

import threading

import pytest

from samtune.prefetch import Prefetcher


def test_the_next_step_is_loaded_while_this_one_runs_and_no_other() -> None:
    loaded: list[int] = []
    second = threading.Event()

    def load(step: int) -> str:
        loaded.append(step)
        if step == 1:
            second.set()
        assert threading.current_thread() is not threading.main_thread()
        return f"batch {step}"

    with Prefetcher(load, 3) as prefetcher:
        assert loaded == []
        assert prefetcher.take(0) == "batch 0"
        assert second.wait(5)
        assert loaded == [0, 1]
        assert [prefetcher.take(1), prefetcher.take(2)] == ["batch 1", "batch 2"]
    assert loaded == [0, 1, 2]


def test_a_step_out_of_turn_is_loaded_when_it_is_asked_for() -> None:
    with Prefetcher(lambda step: step * step, 10) as prefetcher:
        assert [prefetcher.take(step) for step in (4, 7, 7, 2)] == [16, 49, 49, 4]


def test_an_error_is_raised_at_its_own_step() -> None:
    with Prefetcher(lambda step: 1 // (step - 1), 3) as prefetcher:
        assert prefetcher.take(0) == -1
        with pytest.raises(ZeroDivisionError):
            prefetcher.take(1)
        assert prefetcher.take(2) == 1
