"""Load the data of the next step in a background thread while the current step is computed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType

Loaded = TypeVar("Loaded")


class Prefetcher(Generic[Loaded]):
    """Loader that prepares the data of the next step in a thread; never more than one step ahead.

    It is a context manager that waits for the thread on exit. Nothing is loaded before the first call of `take`.

    Args:
        load: returns the data of a step. It runs in a thread, so it must not change shared state.
        end: the step after the last one; it is never loaded.
    """

    def __init__(self, load: Callable[[int], Loaded], end: int) -> None:
        self._load, self._end = load, end
        self._pool = ThreadPoolExecutor(1, "samtune-prefetch")
        self._pending: dict[int, Future[Loaded]] = {}

    def take(self, step: int) -> Loaded:
        """Return the data of a step and start loading the next one; an error of `load` is raised at its own step."""
        future = self._pending.pop(step, None) or self._pool.submit(self._load, step)
        loaded = future.result()
        self._pending.clear()
        if step + 1 < self._end:
            self._pending[step + 1] = self._pool.submit(self._load, step + 1)
        return loaded

    def __enter__(self) -> Prefetcher[Loaded]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
