"""Cells as tables: rows by numbers of labelled images, and scores by seeds and test images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from samtune.compare.cells import DONE
from samtune.compare.settings import Cell
from samtune.metrics.detection import mean_detection
from samtune.metrics.differences import Difference, difference
from samtune.metrics.rows import STOCK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from samtune.tasks import Task


@dataclass(frozen=True)
class RowSummary:
    """One row at one number of images, over its finished seeds.

    Attributes:
        row: key of the row.
        shots: number of labelled images; 0 for a row that learns nothing.
        scores: mean of the task's headline metric over the test images, one per finished seed.
        num_failed: number of failed cells.
        num_missing: number of cells that are not computed yet.
        trainable: number of trained parameters.
        time_s: mean time of a training in seconds, without the shared features; None without a finished cell.
        memory_bytes: largest peak memory of a cell's process; None where it was not measured.
        num_images: mean number of labelled images used; it differs from `shots` where groups are kept whole.
        detection: key of `metrics.detection.Detection` -> mean over the seeds; None where every test image has objects.
    """

    row: str
    shots: int
    scores: tuple[float, ...]
    num_failed: int
    num_missing: int
    trainable: int | None
    time_s: float | None
    memory_bytes: int | None
    num_images: float
    detection: Mapping[str, float | None] | None = None

    @property
    def mean(self) -> float:
        """Mean over the seeds; NaN without a finished seed."""
        return math.fsum(self.scores) / len(self.scores) if self.scores else math.nan

    @property
    def std(self) -> float:
        """Standard deviation over the seeds (n - 1); NaN with fewer than two."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else math.nan


@dataclass(frozen=True)
class Results:
    """All cells of a comparison, finished, failed or missing.

    Attributes:
        task: of all cells; its headline metric is what the tables hold.
        cells: requested cells.
        records: records of the computed cells, including failed ones.
        stems: stems of the test images, in the order of every table here.
        units: for each test image, the number of the unit (group) it belongs to; None where each is its own.
    """

    task: Task
    cells: tuple[Cell, ...]
    records: Mapping[Cell, dict[str, Any]]
    stems: tuple[str, ...]
    units: tuple[int, ...] | None = None

    @property
    def rows(self) -> tuple[str, ...]:
        """Row keys in the order of the cells."""
        return tuple(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def shots(self) -> tuple[int, ...]:
        """Numbers of labelled images, rising."""
        return tuple(sorted({cell.shots for cell in self.cells if cell.shots}))

    def done(self, row: str, shots: int) -> dict[int, dict[str, Any]]:
        """Return seed -> record of the finished cells."""
        return {
            cell.seed: self.records[cell]
            for cell in self.cells
            if (cell.row, cell.shots) == (row, self._shots_of(row, shots))
            and self.records.get(cell, {}).get("status") == DONE
        }

    def summary(self, row: str, shots: int) -> RowSummary:
        """Return one row at one number of images."""
        done = self.done(row, shots)
        cells = [cell for cell in self.cells if (cell.row, cell.shots) == (row, self._shots_of(row, shots))]
        memory = [record["memory_bytes"]["process_peak"] for record in done.values()]
        known = [value for value in memory if value is not None]
        times = [record["seconds"]["total"] for record in done.values()]
        used = [record["counts"]["num_train"] + record["counts"]["num_val"] for record in done.values()]
        return RowSummary(
            row=row,
            shots=self._shots_of(row, shots),
            scores=tuple(record["metrics"][self.task.headline.key] for record in done.values()),
            num_failed=sum(self.records.get(cell, {}).get("status", DONE) != DONE for cell in cells),
            num_missing=sum(cell not in self.records for cell in cells),
            trainable=max((record["counts"]["trainable"] for record in done.values()), default=None),
            time_s=sum(times) / len(times) if times else None,
            memory_bytes=max(known, default=None),
            num_images=sum(used) / len(used) if used else float(shots),
            detection=mean_detection(record["metrics"].get("detection") for record in done.values()),
        )

    def summaries(self) -> list[RowSummary]:
        """Return every row at every number of images, in the order of the rows."""
        summaries = []
        for row in self.rows:
            summaries += [self.summary(row, shots) for shots in ((0,) if row == STOCK else self.shots)]
        return summaries

    def table(self, row: str, shots: int, seeds: Sequence[int]) -> NDArray[np.float64]:
        """Return the metric (S, I) of each test image with each of these seeds; that of stock SAM has none."""
        done = self.done(row, shots)
        records = [done[seed] if seed in done else done[0] for seed in seeds]
        return np.array([[record["per_image"][stem] for stem in self.stems] for record in records], dtype=np.float64)

    def seeds(self, row: str, shots: int) -> tuple[int, ...] | None:
        """Return the finished seeds of a row; None for stock SAM, which has none, once it is finished."""
        done = self.done(row, shots)
        return None if row == STOCK and done else tuple(sorted(done))

    def compare(self, first: str, second: str, shots: int, *, images: Sequence[int] | None = None) -> Difference | None:
        """Return the IoU of one row minus that of another at one number of images, over the seeds that both finished.

        Args:
            first: key of the row.
            second: key of the row to subtract.
            shots: number of labelled images.
            images: indices of test images; None for all.

        Returns:
            The difference; None without a common seed.
        """
        mine, theirs = self.seeds(first, shots), self.seeds(second, shots)
        known = [set(seeds) for seeds in (mine, theirs) if seeds is not None]
        common = sorted(set.intersection(*known)) if known else [0]  # two rows without seeds
        if not common:
            return None
        columns = np.arange(len(self.stems)) if images is None else np.asarray(images)
        one, two = (self.table(row, shots, common)[:, columns] for row in (first, second))
        units = None if self.units is None else [self.units[i] for i in columns]
        return difference(one, two, units)

    def table_rows(self) -> list[list[Any]]:
        """Return the lines of the CSV: a header, then one line per cell."""
        header = ["row", "images", "seed", "status", *self.task.columns, "trained_numbers", "updates", "train_images"]
        header += ["validation_images", "test_images", "seconds", "training_seconds", "peak_memory_bytes", "error"]
        return [header, *(self._line(cell) for cell in self.cells)]

    def _line(self, cell: Cell) -> list[Any]:
        record = self.records.get(cell)
        start: list[Any] = [cell.row, cell.shots or "", cell.seed if cell.shots else ""]
        if record is None:
            return [*start, "missing", *[""] * (len(self.task.columns) + 9)]
        if record["status"] != DONE:
            return [*start, record["status"], *[""] * (len(self.task.columns) + 8), record["error"]["text"]]
        metrics, counts, seconds = record["metrics"], record["counts"], record["seconds"]
        return [
            *start,
            DONE,
            *(metrics.get(name) for name in self.task.columns),
            *(counts[name] for name in ("trainable", "updates", "num_train", "num_val", "num_test")),
            seconds["total"],
            seconds.get("training"),
            record["memory_bytes"]["process_peak"],
            "",
        ]

    def _shots_of(self, row: str, shots: int) -> int:
        return 0 if row == STOCK else shots
