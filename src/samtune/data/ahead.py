"""Loading what the next step needs in a thread, while this step is computed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType

Loaded = TypeVar("Loaded")


class Ahead(Generic[Loaded]):
    """What `load(step)` gives, the next step's being loaded in a thread meanwhile; one step ahead, never more.

    A context, at whose end the thread is gone. Nothing is loaded before the first `take`.

    Args:
        load: a function of the step alone that changes nothing others see, since it runs in a thread.
        end: the step after the last one; it is not loaded.
    """

    def __init__(self, load: Callable[[int], Loaded], end: int) -> None:
        self._load, self._end = load, end
        self._pool = ThreadPoolExecutor(1, "samtune-ahead")
        self._waiting: dict[int, Future[Loaded]] = {}

    def take(self, step: int) -> Loaded:
        """What belongs to a step, and begin with the next one; an error of `load` is raised here, at its own step."""
        future = self._waiting.pop(step, None) or self._pool.submit(self._load, step)
        loaded = future.result()
        self._waiting.clear()
        if step + 1 < self._end:
            self._waiting[step + 1] = self._pool.submit(self._load, step + 1)
        return loaded

    def __enter__(self) -> Ahead[Loaded]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
