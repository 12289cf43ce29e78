"""The folder of a comparison: the names of its files, defined only here.

DIR/
  cells/           one JSON file per cell
  runs/            run folders of the methods' cells
  features.json    number of encoded views and their time, added up over calls
  compare.csv      one line per cell
  suggestions.csv  images to label next
  report.html      the page
  figures/         the page's figures as SVG
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from samtune.run_folder import REPORT_FILE

CELLS_FOLDER, RUNS_FOLDER, FIGURES_FOLDER = "cells", "runs", "figures"
FEATURES_FILE = "features.json"
CSV_FILE = "compare.csv"
SUGGESTIONS_FILE = "suggestions.csv"

QUALITY_BY_IMAGES, QUALITY_BY_TRAINED, COSTS = "quality_by_images", "quality_by_trained", "costs"
FIGURES = (QUALITY_BY_IMAGES, QUALITY_BY_TRAINED, COSTS)
"""Names of the figures of the page."""

KIND = "comparison"
"""Kind of the files in the list of outputs of the folder; see `outputs`."""


def figure_file(name: str) -> str:
    """Return the file of a figure, relative to the folder."""
    return f"{FIGURES_FOLDER}/{name}.svg"


PAGE_FILES = (REPORT_FILE, *map(figure_file, FIGURES))
"""Files of the page and its figures, relative to the folder."""


@dataclass(frozen=True)
class ComparisonFolder:
    """Paths of a comparison.

    Attributes:
        path: the folder, which need not exist.
    """

    path: Path

    @property
    def cells(self) -> Path:
        """Folder of the finished and failed cells."""
        return self.path / CELLS_FOLDER

    @property
    def runs(self) -> Path:
        """Folder of the methods' run folders."""
        return self.path / RUNS_FOLDER

    @property
    def features(self) -> Path:
        """Number of encoded views and their time."""
        return self.path / FEATURES_FILE

    @property
    def csv(self) -> Path:
        """Table of the cells."""
        return self.path / CSV_FILE

    @property
    def suggestions(self) -> Path:
        """Table of images to label next."""
        return self.path / SUGGESTIONS_FILE
