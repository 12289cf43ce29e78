"""How the machine is divided between cells, and that cells at a time give what one at a time gives."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from samtune.compare import Cell, Comparison, compare, sharing
from samtune.compare.sharing import Division, Finished, divide, in_processes
from samtune.data import Dataset
from samtune.errors import DataError
from tests.compare.conftest import settings

GB = 10**9


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(sharing, "usable_cores", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)


@pytest.mark.usefixtures("eight_cores")
def test_one_cell_a_core_where_memory_allows() -> None:
    def told(asked: int | None = None, cells: int = 50, need: float = 1.0, free: float | None = 100.0,
             on_cpu: bool = True) -> Division:  # fmt: skip
        return divide(
            asked, num_cells=cells, need_bytes=int(need * GB), free_bytes=None if free is None else int(free * GB),
            on_cpu=on_cpu,
        )  # fmt: skip

    assert told() == Division(8, 1)
    assert str(told()) == "8 cells at a time, 1 thread each."
    assert told(cells=3) == Division(3, 2)
    assert not told(cells=3).why
    short = told(need=10, free=23)  # nine tenths of 23 hold two
    assert short == Division(2, 4)
    assert "a cell may take 10.0 GB of the 23.0 GB that are free (--jobs" in str(short)
    assert told(need=30, free=23) == Division(1, 8)
    assert told(free=None) == told(on_cpu=False) == Division(1, 8)
    assert "is unknown" in told(free=None).why
    assert "accelerator" in told(on_cpu=False).why
    assert told(asked=3, need=30) == Division(3, 2)
    assert told(asked=20, on_cpu=False) == Division(20, 1)
    assert str(told(asked=1)) == "1 cell at a time, 8 threads each."


@pytest.mark.usefixtures("eight_cores")
def test_the_number_of_threads_that_a_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    options = {"num_cells": 50, "need_bytes": GB, "free_bytes": 100 * GB, "on_cpu": True}
    assert divide(None, **options) == Division(4, 2)  # type: ignore[arg-type]
    assert divide(7, **options) == Division(7, 2)  # type: ignore[arg-type]


def pause(what: str) -> tuple[str, int, str | None]:
    """A cell's work, at the top of a module, where another process finds it."""
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "raised":
        raise DataError("There must be something, but nothing came.")
    if what == "long":
        time.sleep(60)
    return what, torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")


def cells_of(*words: str) -> list[Cell]:
    return [Cell(word, 1, number) for number, word in enumerate(words)]


def work(cell: Cell) -> tuple[Any, ...]:
    return pause, cell.row


def two(cells: Any) -> Division:
    return Division(2, 1)


@pytest.mark.slow
def test_a_cell_that_dies_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    words = ("a", "killed", "raised", "b", "c")
    over: dict[str, Finished] = {done.cell.row: done for done in in_processes(work, cells_of(*words), two)}
    assert set(over) == set(words)
    for word in "abc":
        assert over[word].outcome.value == (word, 1, "1")
        assert over[word].division == Division(2, 1)
    assert "SIGKILL" in str(over["killed"].outcome.error)
    assert isinstance(over["raised"].outcome.error, DataError)


@pytest.mark.slow
def test_two_run_at_a_time_and_all_end_with_the_iterator() -> None:
    started: list[int] = []

    def counted(cells: Any) -> Division:
        started.append(len(cells))
        return Division(2, 1)

    over = in_processes(work, cells_of("long", "a", "long", "b"), counted)
    assert next(over).cell.row == "a"  # the first is still at work
    start = time.monotonic()
    over.close()
    assert time.monotonic() - start < 30
    assert started == [4, 4, 4]  # two were started, the third had to wait


@pytest.mark.slow
def test_two_at_a_time_give_what_one_at_a_time_gives_also_after_ctrl_c(
    comparison: Comparison, base: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session's comparison ran one by one in this process; this one by two in processes of their own."""
    chosen = settings(base, shots=(4,), methods=("ptsam", "ptsam_encoder"), num_seeds=1, jobs=2)

    def interrupt(sentence: str) -> None:
        if sentence.startswith("[2/6]"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("samtune.compare.run.say", interrupt)
        stopped = compare(chosen, dataset, tmp_path / "c0")
    assert stopped.interrupted
    assert stopped.num_new == len(list((tmp_path / "c0" / "cells").glob("*.json"))) == 2
    assert not multiprocessing.active_children()
    found = compare(chosen, dataset, tmp_path / "c0")
    assert not found.failures
    assert found.num_new == 1 + 5 - 2
    for cell, record in stopped.results.records.items():
        assert found.results.records[cell] == record
    for cell, record in found.results.records.items():
        other = comparison.results.records[cell]
        assert record["digest"] == other["digest"]
        assert {key: record[key] for key in ("train", "val", "counts")} == {
            key: other[key] for key in ("train", "val", "counts")
        }
        assert record["per_image"] == pytest.approx(other["per_image"], abs=0.005)  # the order of sums differs
        assert record["machine"]["cells_at_once"] == 2


PARENT = """
import sys
from samtune.compare.sharing import in_processes
from tests.compare.test_sharing import cells_of, two, work
if __name__ == "__main__":
    import multiprocessing, threading, time
    def tell():
        while len(multiprocessing.active_children()) < 2:
            time.sleep(0.1)
        time.sleep(3)
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    threading.Thread(target=tell, daemon=True).start()
    list(in_processes(work, cells_of("long", "long", "a"), two))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_killed_parent_leaves_no_child(tmp_path: Path) -> None:
    file = tmp_path / "parent.py"
    file.write_text(PARENT)
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), str(root / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, str(file)], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    ) as parent:
        assert parent.stdout is not None
        children = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert len(children) == 2
    gone: Callable[[], bool] = lambda: not any(Path(f"/proc/{pid}").exists() for pid in children)  # noqa: E731
    end = time.monotonic() + 20
    while not gone() and time.monotonic() < end:
        time.sleep(0.1)
    assert gone()
