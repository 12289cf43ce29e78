"""One self-contained HTML page about a specialist: did tuning pay, how well, and where does it fail."""

from samtune.report.page import Example, HistoryRow, ReportPage, RunFacts, choose_examples, write_report
from samtune.report.words import duration, verdict

__all__ = [
    "Example",
    "HistoryRow",
    "ReportPage",
    "RunFacts",
    "choose_examples",
    "duration",
    "verdict",
    "write_report",
]
