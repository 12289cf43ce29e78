"""One thread: the tiny models gain nothing from more, and lose much where cores are shared. And the contract's methods
are named at the end, each with the forms it was held to."""

from __future__ import annotations

import re
from typing import Any

import torch

torch.set_num_threads(1)

POINT = re.compile(r"test_contract\.py::test_point_\d+\w*\[(.+)\]$")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say over which methods the contract ran, and which of their forms broke it."""
    from tests.methods.contract import ROWS

    outcome: dict[str, set[str]] = {}
    for word in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(word, []):
            found = POINT.search(getattr(report, "nodeid", ""))
            if found and found[1] in ROWS:
                outcome.setdefault(found[1], set()).add(word)
    if not outcome:
        return
    forms: dict[str, list[str]] = {}
    for row, words in outcome.items():
        forms.setdefault(ROWS[row].method, []).append(row if words == {"passed"} else f"{row} (broken)")
    terminalreporter.write_line(f"The contract ran over {len(forms)} methods in {len(outcome)} forms:")
    for method in sorted(forms):
        terminalreporter.write_line(f"  {method}: {', '.join(sorted(forms[method]))}")
