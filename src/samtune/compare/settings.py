"""Settings of a comparison, and the cells that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from samtune.errors import ConfigError
from samtune.methods import METHODS, make_method
from samtune.metrics.rows import BASELINES, COLOUR, STOCK, UNET
from samtune.tasks import find_task
from samtune.training import TrainSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from samtune.types import Precision

OWN = ("method", "method_fields", "base", "side", "shots", "val", "seed", "updates", "device", "tta")
"""Settings of a training that the comparison sets itself."""


@dataclass(frozen=True, order=True)
class Cell:
    """One row at one number of labelled images with one seed.

    Attributes:
        row: key of a method or a baseline.
        shots: labelled images, training and validation together; 0 for a row that learns nothing.
        seed: seed of the draw of images and of everything random in training.
    """

    row: str
    shots: int
    seed: int

    @property
    def name(self) -> str:
        """Name in file names and messages."""
        return f"{self.row}-{self.shots}-{self.seed}"


@dataclass(frozen=True)
class CompareSettings:
    """The settings of a comparison.

    Attributes:
        methods: keys of `samtune.methods.METHODS`; baselines among them have no effect, since they are always compared.
        shots: numbers of labelled images, training and validation together.
        num_seeds: number of draws of images, seeds 0, 1, ...
        base: hub id, folder, .pth file or `nano`.
        side: image size in pixels; None for the base's own.
        updates: optimiser steps of each training, the same for all rows and fewer than most recipes use.
        val: share of the labelled images that is used for validation.
        num_test: number of test images; None for half of the images, at most 200.
        device: "cpu", "cuda", or None for CUDA where available.
        jobs: number of cells that run at once; None for as many as there are cores and memory for, and for one where
            cells share an accelerator. Not part of a cell's configuration, since only times and the order of sums
            depend on it.
        method_fields: method -> hyper-parameters that differ from its defaults.
        more: further fields of `TrainSettings`, the same for every training.

    Raises:
        ConfigError: a value is out of range, or a name is unknown; all problems are reported together.
    """

    methods: tuple[str, ...] = ("ptsam", "decoder_only", "lora")
    shots: tuple[int, ...] = (16,)
    num_seeds: int = 3
    base: str = "facebook/sam-vit-base"
    side: int | None = None
    updates: int = 80
    val: float = 0.25
    num_test: int | None = None
    device: str | None = None
    jobs: int | None = None
    method_fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every field by building every method and the settings of every training once."""
        wrong = []
        if not self.shots or min(self.shots) < 1 or len(set(self.shots)) != len(self.shots):
            wrong.append(f"expected distinct `shots` >= 1, got {list(self.shots)}")
        if self.num_seeds < 1:
            wrong.append(f"expected `num_seeds` >= 1, got {self.num_seeds}")
        if self.num_test is not None and self.num_test < 1:
            wrong.append(f"expected `num_test` >= 1, got {self.num_test}")
        if self.jobs is not None and self.jobs < 1:
            wrong.append(f"expected `jobs` >= 1, got {self.jobs}")
        if not self.methods:
            wrong.append("expected at least one of `methods`, got none")
        taken = sorted(set(self.more) & set(OWN))
        if taken:
            wrong.append(f"expected --set without {', '.join(taken)}, which the comparison sets itself")
        unknown = sorted(set(self.more) - {f.name for f in fields(TrainSettings)})
        if unknown:
            wrong.append(f"expected names of training settings in --set, got {', '.join(unknown)}")
        others = sorted(set(self.method_fields) - (set(self.rows) - {STOCK, COLOUR, UNET}))
        if others:
            wrong.append(f"expected hyper-parameters of the compared methods only, got some of {', '.join(others)}")
        if wrong:
            sentence = "; ".join(wrong)
            raise ConfigError(f"{sentence[0].upper()}{sentence[1:]}.")
        for row in (*self.methods, *self.method_fields):
            if row not in BASELINES or row in METHODS:  # raises for an unknown name, and suggests the nearest one
                make_method(row, **self.method_fields.get(row, {}))
        for row in self.trained_rows:
            self.training(Cell(row, self.shots[0], 0))

    @property
    def rows(self) -> tuple[str, ...]:
        """Keys of all rows, the baselines first."""
        return tuple(dict.fromkeys((*BASELINES, *self.methods)))

    @property
    def trained_rows(self) -> tuple[str, ...]:
        """Keys of the rows that are methods of samtune, including the probe."""
        return tuple(row for row in self.rows if row in METHODS)

    @property
    def precision(self) -> Precision:
        """Requested precision of the encoders."""
        precision: Precision = self.more.get("precision", TrainSettings.precision)
        return precision

    @property
    def task(self) -> str:
        """Name of the task."""
        task: str = self.more.get("task", TrainSettings.task)
        return task

    def cells(self, num_classes: int) -> tuple[Cell, ...]:
        """Return all cells: stock SAM where the task has one map, then seed by seed, the fewest images first."""
        first = (Cell(STOCK, 0, 0),) if find_task(self.task).num_maps(num_classes) == 1 else ()
        rest = [
            Cell(row, shots, seed)
            for seed in range(self.num_seeds)
            for shots in sorted(self.shots)
            for row in self.rows
            if row != STOCK
        ]
        return (*first, *rest)

    def training(self, cell: Cell) -> TrainSettings:
        """Return the settings of a method's training.

        A method whose recipe has no updates is fitted, not trained: it needs neither validation images nor a budget.
        """
        fitted = METHODS[cell.row].recipe.updates == 0
        try:
            return TrainSettings(
                method=cell.row,
                method_fields=dict(self.method_fields.get(cell.row, {})),
                base=self.base,
                side=self.side,
                shots=cell.shots,
                val=0.0 if fitted else self.val,
                seed=cell.seed,
                updates=None if fitted else self.updates,
                device=self.device,
                tta="none",  # every row predicts an image once
                **self.more,
            )
        except TypeError as error:
            raise ConfigError(f"A setting has a value of the wrong type: {error}.") from error
