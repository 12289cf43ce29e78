"""Published numbers with their sources, read from `published.csv` beside this file.

A line is one cell: paper, method as the paper calls it, column, value, spread (over the paper's runs), source, note.
An empty value is a number that was not available or not given; the note says which.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

from samtune.errors import ConfigError

PAPERS = {
    "conv-lora": "Conv-LoRA, ICLR 2024, arXiv 2401.17868",
    "ts-sam": "TS-SAM, arXiv 2408.01835, with the tables of SAM-Adapter",
    "ptsam": "PTSAM, CVPR Workshops 2025, arXiv 2504.16739",
}
"""Key -> paper."""


@dataclass(frozen=True)
class Published:
    """One cell of a paper's table.

    Attributes:
        paper: key of `PAPERS`.
        method: name in the paper.
        column: key of `columns.COLUMNS`.
        value: number in the unit of the paper; None where not available or not given.
        spread: spread over the paper's runs, in the same unit; None where not given.
        source: where the number is printed; "" without a value.
        note: caveat on the number, or "".
    """

    paper: str
    method: str
    column: str
    value: float | None
    spread: float | None
    source: str
    note: str


def read_published(paper: str) -> tuple[Published, ...]:
    """Return all cells of a paper's tables, in their order.

    Raises:
        ConfigError: the paper is unknown.
    """
    if paper not in PAPERS:
        raise ConfigError(f"Expected one of the papers {', '.join(PAPERS)}, got {paper!r}.")
    text = resources.files("samtune.reproduce").joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(
        Published(
            row["paper"], row["method"], row["column"], _number(row["value"]), _number(row["spread"]), row["source"],
            row["note"],
        )
        for row in csv.DictReader(text.splitlines())
        if row["paper"] == paper
    )  # fmt: skip


def _number(text: str) -> float | None:
    return float(text) if text else None
