"""Search for image files, reading ahead of the computation, and writing behind it."""

from __future__ import annotations

import glob
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from samtune.data import list_images
from samtune.errors import DataError
from samtune.inputs import as_path
from samtune.prefetch import Prefetcher
from samtune.progress import say
from samtune.system.heap import trim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

Item = TypeVar("Item")
Read = TypeVar("Read")
Done = TypeVar("Done")


TRIM_EVERY = 4
"""Number of batches after which `read_ahead` returns freed memory to the system."""


@dataclass(frozen=True)
class Source:
    """One image to predict.

    Attributes:
        file: path of the image.
        inner: path below the input folder, or the file's name where the file itself is the input.
        root: name of the input folder; "" where the file itself is the input.
    """

    file: Path
    inner: Path
    root: str = ""


def find_images(inputs: Sequence[str | Path], *, without: Path | None = None) -> list[Source]:
    """Return the image files of the inputs, each once, in the order given.

    Args:
        inputs: files, folders (searched with their sub-folders for known image extensions) and patterns such as
            `scans/*.png`.
        without: folder whose files are skipped where an input folder contains it; None for none.

    Raises:
        DataError: an input does not exist or matches nothing, or a folder holds no image; all such are listed.
    """
    unique: dict[Path, Source] = {}
    wrong = []
    for given in inputs:
        sources = _expand(given)
        if isinstance(sources, str):
            wrong.append(sources)
            continue
        for source in sources:
            resolved = source.file.resolve()
            if not (source.root and without is not None and resolved.is_relative_to(without)):
                unique.setdefault(resolved, source)
    if wrong:
        raise DataError("Expected image files, folders of images or patterns as inputs: " + "; ".join(wrong) + ".")
    if not unique:
        raise DataError("Expected at least one image to predict, got none.")
    return list(unique.values())


def _expand(given: str | Path) -> list[Source] | str:
    """Return the sources of one input, or a clause on what is wrong with it."""
    path = as_path(given)
    if path.is_dir():
        files, notes = list_images(path)
        for note in notes:
            say(note)
        if not files:
            return f"the folder {path} holds no image"
        return [Source(file, file.relative_to(path), path.resolve().name) for file in files]
    if path.exists():
        return [Source(path, Path(path.name))]
    matches = sorted(Path(match) for match in glob.glob(str(given), recursive=True))
    if not matches:
        return f"{given} does not exist"
    sources: list[Source] = []
    for match in matches:
        inside = _expand(match)
        sources += [] if isinstance(inside, str) else inside
    return sources or f"{given} matches no image"


def read_ahead(
    items: Sequence[Item], read: Callable[[Item], Read], batch_size: int
) -> Iterator[list[tuple[Item, Read | DataError]]]:
    """Yield batches of (item, result), reading the next batch in a thread while the current one is used.

    Memory does not grow with the number of items: every few batches, freed memory is returned to the system.

    Args:
        items: items to read.
        read: reads one item; a DataError is yielded in place of the result.
        batch_size: number of items in a batch; the last batch may be smaller.
    """

    def read_batch(batch: Sequence[Item]) -> list[tuple[Item, Read | DataError]]:
        done: list[tuple[Item, Read | DataError]] = []
        for item in batch:
            try:
                done.append((item, read(item)))
            except DataError as error:
                done.append((item, error))
        return done

    batches = [items[start : start + batch_size] for start in range(0, len(items), batch_size)]
    with Prefetcher(lambda number: read_batch(batches[number]), len(batches)) as ahead:
        for number in range(len(batches)):
            yield ahead.take(number)
            if (number + 1) % TRIM_EVERY == 0:
                trim()


def write_behind(tasks: Iterable[Callable[[], Done]], most: int) -> Iterator[Done]:
    """Run tasks in a thread while the next ones are created.

    Args:
        tasks: created one by one, in the calling thread.
        most: largest number of pending tasks, >= 1; creation waits beyond it, so that memory does not grow with the
            number of tasks.

    Yields:
        The results, in order. An error of a task is raised in place of its result, and cancels the rest.
    """
    waiting: deque[Future[Done]] = deque()
    pool = ThreadPoolExecutor(1, "samtune-writing")
    try:
        for task in tasks:
            waiting.append(pool.submit(task))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
