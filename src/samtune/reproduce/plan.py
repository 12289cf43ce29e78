"""Cells of a paper's tables, with the method and the data that each needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtune.data.public_sets import is_present
from samtune.errors import ConfigError
from samtune.reproduce.columns import BASES, CAVEATS, COLUMNS, METHODS_OF, Column
from samtune.reproduce.published import Published, read_published

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Cell:
    """One cell of the table.

    Attributes:
        published: the published number.
        column: data and measure.
        method: key of our method; None for a row that is not run.
        missing: data that is not there, each as "layout/part in FOLDER".
    """

    published: Published
    column: Column
    method: str | None
    missing: tuple[str, ...]

    @property
    def runs(self) -> bool:
        """Whether the cell can be computed here."""
        return self.method is not None and not self.missing


@dataclass(frozen=True)
class Plan:
    """All cells of a paper's tables.

    Attributes:
        paper: key of `PAPERS`.
        data: folder with one folder per layout.
        base: base to tune.
        cells: cells in the order of the paper.
        caveats: caveats on comparing our numbers with the published ones, one sentence each.
    """

    paper: str
    data: Path
    base: str
    cells: tuple[Cell, ...]
    caveats: tuple[str, ...]

    @property
    def trainings(self) -> tuple[tuple[str, str, int | None], ...]:
        """Method, training data and shots of each model that can be trained here, each once."""
        return tuple(
            dict.fromkeys(
                (cell.method, cell.column.train, cell.column.shots)
                for cell in self.cells
                if cell.runs and cell.method is not None
            )
        )

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values, with one entry per cell."""
        return {
            "paper": self.paper,
            "base": self.base,
            "data": str(self.data),
            "num_cells": len(self.cells),
            "num_trainings": len(self.trainings),
            "caveats": list(self.caveats),
            "cells": [
                {
                    "row": cell.published.method,
                    "method": cell.method,
                    "column": cell.column.name,
                    "published": cell.published.value,
                    "spread": cell.published.spread,
                    "source": cell.published.source,
                    "note": cell.published.note,
                    "train": cell.column.train,
                    "test": cell.column.test,
                    "protocol": cell.column.protocol,
                    "measure": cell.column.measure,
                    "at": cell.column.at,
                    "missing": list(cell.missing),
                    "runs": cell.runs,
                }
                for cell in self.cells
            ],
        }


def make_plan(paper: str, data: Path, *, base: str | None = None, methods: Sequence[str] = ()) -> Plan:
    """Return the cells of a paper's tables.

    Args:
        paper: key of `PAPERS`.
        data: folder with one folder per layout, named as `samtune data list` names it.
        base: base to tune; None for that of the paper.
        methods: keys of the methods to run; () for all of the paper.

    Raises:
        ConfigError: the paper is unknown, or a method is not in its tables.
    """
    cells = read_published(paper)
    rows = METHODS_OF[paper]
    unknown = set(methods) - set(rows.values())
    if unknown:
        known = ", ".join(rows.values())
        raise ConfigError(f"Expected --methods among those of the table ({known}), got {', '.join(sorted(unknown))}.")
    planned = []
    present: dict[str, bool] = {}
    for published in cells:
        column = COLUMNS[paper][published.column]
        for need in column.needs:
            present.setdefault(need, is_present(need, data))
        missing = tuple(f"{need} in {data / need.partition('/')[0]}" for need in column.needs if not present[need])
        method = rows.get(published.method)
        planned.append(Cell(published, column, method if not methods or method in methods else None, missing))
    return Plan(paper, data, base or BASES[paper], tuple(planned), CAVEATS[paper])
