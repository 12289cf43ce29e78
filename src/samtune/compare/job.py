"""Settings, images and folder that the cells of a comparison share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samtune.compare.draws import draw_support
from samtune.comparison_folder import ComparisonFolder
from samtune.tasks import find_task

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.compare.settings import Cell, CompareSettings
    from samtune.data import Dataset
    from samtune.tasks import Task


@dataclass(frozen=True)
class Job:
    """A comparison in the form that is sent to the processes of its cells.

    Attributes:
        settings: settings of the comparison.
        dataset: all images.
        test: indices of the test images.
        pool: indices of the images that cells draw from.
        folder: folder of the comparison.
    """

    settings: CompareSettings
    dataset: Dataset
    test: tuple[int, ...]
    pool: tuple[int, ...]
    folder: Path

    @property
    def task(self) -> Task:
        """Task of every cell."""
        return find_task(self.settings.task)

    def run_folder(self, cell: Cell, digest: str) -> Path:
        """Return the run folder of a method's cell, whose name depends on the cell's configuration."""
        return ComparisonFolder(self.folder).runs / f"{cell.name}-{digest[:12]}"

    def support(self, cell: Cell) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the training and validation images of a cell, as indices into the whole data set."""
        settings = self.settings
        val = settings.training(cell).val if cell.row in settings.trained_rows else 0.0
        parts = draw_support(self.dataset, self.pool, shots=cell.shots, val=val, seed=cell.seed)
        return tuple(self.pool[i] for i in parts.train), tuple(self.pool[i] for i in parts.val)
