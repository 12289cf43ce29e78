"""Concurrent cells: how many run at once, and with how many threads each."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

import torch

from samtune.compare.isolation import OMP, Child, Outcome
from samtune.text import count, size
from samtune.training.interruption import POLL_S, check

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from samtune.compare.settings import Cell

    Work = Callable[[Cell], tuple[Any, ...]]

SHARE = 0.9
"""Share of the free memory that cells may take together."""


@dataclass(frozen=True)
class Division:
    """How a machine is divided between cells.

    Attributes:
        jobs: number of cells at a time.
        threads: torch threads of each.
        why: why there are no more cells at a time; "" where cores or cells are the limit.
    """

    jobs: int
    threads: int
    why: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Return the division in one line."""
        threads = count(self.threads, "thread")
        return f"{count(self.jobs, 'cell')} at a time, {threads} each{f': {self.why}' if self.why else ''}."


@dataclass(frozen=True)
class Finished:
    """A cell that has ended.

    Attributes:
        cell: the cell.
        outcome: its outcome.
        time_s: wall time in seconds.
        division: division it was started with.
    """

    cell: Cell
    outcome: Outcome
    time_s: float
    division: Division


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def divide(jobs: int | None, *, num_cells: int, need_bytes: int, free_bytes: int | None, on_cpu: bool) -> Division:
    """Return how many cells run at a time: on a CPU one per core, where memory allows.

    One core per cell has a higher throughput than several cores on one cell.

    Args:
        jobs: number set by the user; None to decide here.
        num_cells: number of cells still to compute, the upper bound.
        need_bytes: memory that a cell may take, in bytes.
        free_bytes: available memory in bytes; None where unknown.
        on_cpu: whether cells compute on the CPU; otherwise they share one accelerator.
    """
    cores, own = usable_cores(), torch.get_num_threads()
    most = max(1, cores // own) if OMP in os.environ else cores
    why = ""
    if jobs is not None:
        pass
    elif not on_cpu:
        jobs, why = 1, "they share one accelerator (--jobs sets another number)"
    elif free_bytes is None:
        jobs, why = 1, "the available memory is unknown (--jobs sets another number)"
    else:
        jobs = min(most, max(1, int(SHARE * free_bytes // need_bytes)))
        if jobs < min(most, num_cells):
            need, free = size(need_bytes), size(free_bytes)
            why = f"a cell may take {need} of the {free} that are free (--jobs sets another number)"
    jobs = max(1, min(jobs, num_cells))
    return Division(jobs, own if jobs == 1 or OMP in os.environ else max(1, min(own, cores // jobs)), why)


def one_by_one(run: Callable[..., Outcome], work: Work, cells: Sequence[Cell]) -> Generator[Finished, None, None]:
    """Run the cells one after another, and yield each as it ends.

    Args:
        run: calls a function with its arguments and returns the outcome.
        work: cell -> function and its arguments.
        cells: in order.
    """
    for cell in cells:
        check()
        start = time.monotonic()
        yield Finished(cell, run(*work(cell)), time.monotonic() - start, Division(1, torch.get_num_threads()))


def in_processes(
    work: Work, cells: Sequence[Cell], division: Callable[[Sequence[Cell]], Division]
) -> Generator[Finished, None, None]:
    """Run several cells at a time, each in a process of its own, and yield them in the order in which they end.

    The running processes are killed when the generator is closed or raises, on Ctrl-C too.

    Args:
        work: cell -> function and its arguments, which can be pickled.
        cells: in the order in which they are started.
        division: running and waiting cells -> division of the machine; called before each start.
    """
    waiting = deque(cells)
    running: dict[Any, tuple[Cell, Child, float, Division]] = {}
    try:
        while waiting or running:
            while waiting:
                now = division([*waiting, *(cell for cell, *_ in running.values())])
                if len(running) >= now.jobs:
                    break
                cell = waiting.popleft()
                start = time.monotonic()
                child = Child(*work(cell), threads=now.threads, memory_share=1 / now.jobs)
                running[child.receiver] = cell, child, start, now
            ended: list[Any] = []
            while not ended:
                check()
                ended = wait(list(running), POLL_S)
            for receiver in ended:
                cell, child, start, then = running[receiver]
                outcome = child.outcome()
                child.end()
                del running[receiver]
                yield Finished(cell, outcome, time.monotonic() - start, then)
    finally:
        for _, child, *_ in running.values():
            child.end()
