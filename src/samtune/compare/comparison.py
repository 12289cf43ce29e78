"""A comparison as a whole: its cells, the advice from them, and both as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from samtune.compare.cells import DONE
from samtune.compare.settings import Cell
from samtune.compare.suggest import Committee, suggest
from samtune.comparison_folder import ComparisonFolder
from samtune.metrics.rows import STOCK, row_name
from samtune.notebook import html_card, one_line_repr
from samtune.text import decimals

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.compare.advice import Advice
    from samtune.compare.job import Job
    from samtune.compare.results import Results
    from samtune.compare.suggest import Suggestions
    from samtune.metrics import Difference


@dataclass(frozen=True)
class Comparison:
    """A comparison with the cells finished so far.

    Attributes:
        folder: its folder.
        job: settings and images.
        results: its cells.
        advice: conclusions from the cells.
        notes: caveats, one sentence each.
        interrupted: whether Ctrl-C ended it before the last cell.
        num_new: number of cells computed by this call.
        features: result of `features.prepare`, with "num_encoded" and "seconds" summed over all calls.
        overwrite: also replace files in the folder that samtune did not write.
    """

    folder: Path
    job: Job
    results: Results
    advice: Advice
    notes: tuple[str, ...]
    interrupted: bool = False
    num_new: int = 0
    features: dict[str, Any] = field(default_factory=dict)
    overwrite: bool = False

    def __repr__(self) -> str:
        """Return one line: folder, test images, finished cells, and the method to keep."""
        return one_line_repr("Comparison", self._facts())

    def _repr_html_(self) -> str:
        """Return HTML for notebooks: each row with its mean and standard deviation over the seeds, and the advice."""
        summaries = self.results.summaries()
        header = ("row", "labelled images", f"{self.results.task.headline.label}, mean", "standard deviation", "seeds")
        rows = [
            (row_name(each.row).label, each.shots, decimals(each.mean), decimals(each.std), len(each.scores))
            for each in summaries
        ]
        advice = (*self.advice.summary, *self.advice.group_sentences, *self.advice.curve_sentences)
        return html_card("Comparison", self._facts(), header=header, rows=rows, sentences=(*advice, *self.notes))

    def _facts(self) -> dict[str, object]:
        done = sum(record["status"] == DONE for record in self.results.records.values())
        return {
            "folder": str(self.folder),
            "test_images": len(self.results.stems),
            "cells": f"{done} of {len(self.results.cells)}",
            "keep": self.advice.keep,
        }

    @property
    def failures(self) -> list[dict[str, str]]:
        """{"cell", "why"} of each failed cell."""
        records = [(cell, self.results.records.get(cell)) for cell in self.results.cells]
        return [
            {"cell": cell.name, "why": f"{record['error']['kind']}: {record['error']['text']}"}
            for cell, record in records
            if record is not None and record["status"] != DONE
        ]

    def runs(self, row: str, shots: int) -> list[Path]:
        """Return the run folders of a method's finished cells, by seed."""
        done = self.results.done(row, shots)
        return [self.job.run_folder(Cell(row, shots, seed), done[seed]["digest"]) for seed in sorted(done)]

    def suggest(self, folder: Path, num: int) -> tuple[Suggestions, Committee] | None:
        """Select images to label next by the kept method's specialists, and write them as CSV.

        Args:
            folder: unlabelled images.
            num: how many images.

        Returns:
            The suggestions and the specialists; None where no method has finished.

        Raises:
            DataError: the folder holds no image that is not annotated yet.
            ConfigError: fewer than two draws have finished.
            OutputError: the CSV would replace a file that samtune did not write, or it cannot be written.
        """
        if self.advice.keep is None:
            return None
        settings = self.job.settings
        committee = Committee(self.runs(self.advice.keep, self.advice.shots), settings.base, settings.device)
        suggestions = suggest(committee, self.job.dataset, folder, num)
        suggestions.write_csv(ComparisonFolder(self.folder).suggestions, overwrite=self.overwrite)
        return suggestions, committee

    def to_json(self, suggestions: Suggestions | None = None) -> dict[str, Any]:
        """Return JSON values: rows, differences, groups, regressions, forecast, advice.

        Args:
            suggestions: images to label next; None where none were requested.
        """
        advice, results = self.advice, self.results
        rows = [
            {
                "row": row.row, "images": row.shots or None, results.task.headline.key: row.mean, "std": row.std,
                "num_seeds": len(row.scores), "num_failed": row.num_failed, "num_missing": row.num_missing,
                "trainable": row.trainable, "seconds": row.time_s, "peak_memory_bytes": row.memory_bytes,
                **({} if row.detection is None else {"detection": dict(row.detection)}),
            }
            for row in results.summaries()
        ]  # fmt: skip
        curve = advice.forecast
        forecast = None if curve is None else vars(curve) | {"misfit": curve.misfit, "verdict": curve.verdict}
        groups = [
            {
                "group": row.group.name, "num_images": len(row.group.indices), "kept": row.kept, STOCK: row.stock,
                **_difference(row.difference),
            }
            for row in advice.groups
        ]  # fmt: skip
        listed = None
        if suggestions is not None:
            listed = [
                {"file": str(each.file), "disagreement": each.disagreement, "novelty": each.novelty}
                for each in suggestions.images
            ]
        return {
            "out": str(self.folder),
            "keep": advice.keep,
            "best": advice.best,
            "num_test": len(results.stems),
            "num_cells": len(results.cells),
            "num_new": self.num_new,
            "rows": rows,
            "best_minus": {row: _difference(ahead) for row, ahead in advice.against_best.items()},
            "groups": groups,
            "regressions": [vars(regression) for regression in advice.regressions],
            "forecast": forecast,
            "advice": [*advice.summary, *advice.group_sentences, *advice.curve_sentences],
            "suggestions": listed,
            "failures": self.failures,
            "notes": list(self.notes),
            "interrupted": self.interrupted,
            "csv": str(ComparisonFolder(self.folder).csv),
        }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "verdict": difference.verdict,
    }
