"""Self-contained HTML pages: about a specialist (did tuning pay, where does it fail), and about a comparison."""

from samtune.report.comparison import (
    ComparedRow,
    ComparisonPage,
    CurveFit,
    GroupRow,
    Suggested,
    WorseImage,
    write_comparison,
)
from samtune.report.examples import Example, choose_examples
from samtune.report.page import HistoryRow, ReportPage, RunFacts, check_report, write_report

__all__ = [
    "ComparedRow",
    "ComparisonPage",
    "CurveFit",
    "Example",
    "GroupRow",
    "HistoryRow",
    "ReportPage",
    "RunFacts",
    "Suggested",
    "WorseImage",
    "check_report",
    "choose_examples",
    "write_comparison",
    "write_report",
]
