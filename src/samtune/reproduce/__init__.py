"""Reproduction of the papers' tables, cell by cell: the published number, the data it needs, and our own number."""

from samtune.reproduce.columns import COLUMNS, METHODS_OF, Column
from samtune.reproduce.plan import Cell, Plan, make_plan
from samtune.reproduce.published import PAPERS, Published, read_published
from samtune.reproduce.runner import RunSettings, run_plan

__all__ = [
    "COLUMNS",
    "METHODS_OF",
    "PAPERS",
    "Cell",
    "Column",
    "Plan",
    "Published",
    "RunSettings",
    "make_plan",
    "read_published",
    "run_plan",
]
