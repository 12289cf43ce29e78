"""Rendering of self-contained HTML pages: records in, HTML out. The records are built by `samtune.pages`."""

from samtune.report.comparison import write_comparison
from samtune.report.page import check_report, write_report
from samtune.report.records import (
    ComparedRow,
    ComparisonPage,
    CurveFit,
    Example,
    GroupRow,
    HistoryRow,
    ReportPage,
    RunFacts,
    Standing,
    Suggested,
)

__all__ = [
    "ComparedRow",
    "ComparisonPage",
    "CurveFit",
    "Example",
    "GroupRow",
    "HistoryRow",
    "ReportPage",
    "RunFacts",
    "Standing",
    "Suggested",
    "check_report",
    "write_comparison",
    "write_report",
]
