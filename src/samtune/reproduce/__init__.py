"""The tables of the papers, cell by cell: what was published, what data it needs, and our own number beside it."""

from samtune.reproduce.columns import COLUMNS, METHODS_OF, Column
from samtune.reproduce.plan import Cell, Plan, make_plan
from samtune.reproduce.published import PAPERS, Published, read_published
from samtune.reproduce.runner import RunChoices, run_plan

__all__ = [
    "COLUMNS",
    "METHODS_OF",
    "PAPERS",
    "Cell",
    "Column",
    "Plan",
    "Published",
    "RunChoices",
    "make_plan",
    "read_published",
    "run_plan",
]
