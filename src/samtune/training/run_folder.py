"""The files of a run folder that training writes, and nothing but their names and formats.

RUN/  config.toml  split.json  history.jsonl  metrics.json  probe.safetensors  specialist/  last/  report.html
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run, and its history."""

    path: Path

    @property
    def history(self) -> Path:
        """One JSON object per update; it holds no times, so that the same run gives the same bytes."""
        return self.path / "history.jsonl"

    @property
    def split(self) -> Path:
        """Which images the run trained and validated on."""
        return self.path / "split.json"

    @property
    def metrics(self) -> Path:
        """The result: scores, counts, seconds."""
        return self.path / "metrics.json"

    @property
    def probe(self) -> Path:
        """The logistic regression on the frozen features of the training images."""
        return self.path / "probe.safetensors"

    @property
    def specialist(self) -> Path:
        """The adapter."""
        return self.path / "specialist"

    @property
    def last(self) -> Path:
        """The checkpoint for going on after a kill; removed when the run is finished."""
        return self.path / "last"

    def holds_run(self) -> bool:
        """Whether a training has begun in the folder."""
        return (self.path / "config.toml").is_file() and any(
            path.exists() for path in (self.split, self.history, self.metrics, self.specialist)
        )

    def append_history(self, rows: list[dict[str, Any]]) -> int:
        """Append rows to the history and return its length in bytes."""
        with self.history.open("a") as file:
            for row in rows:
                file.write(json.dumps(row) + "\n")
            file.flush()
            return file.tell()

    def cut_history(self, length: int) -> None:
        """Drop what was written after the last checkpoint."""
        self.history.touch()
        os.truncate(self.history, length)

    def read_history(self) -> list[dict[str, Any]]:
        """The rows of the history."""
        return [json.loads(line) for line in self.history.read_text().splitlines()] if self.history.is_file() else []
