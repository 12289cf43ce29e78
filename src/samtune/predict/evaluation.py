"""Record of the scores of a specialist and its baselines on annotated images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtune.metrics import EXPLAINED
from samtune.metrics.detection import DETECTION_EXPLAINED
from samtune.metrics.regressions import MAX_LISTED, regression_sentence, worst_by_image
from samtune.metrics.rows import SPECIALIST, row_name
from samtune.metrics.verdict import run_verdict
from samtune.notebook import html_card, one_line_repr
from samtune.outputs import OutputFolder
from samtune.text import decimals

if TYPE_CHECKING:
    from samtune.metrics import EvaluationProtocol, Headline, ImageScore, Regression, Scores
    from samtune.types import Averaging

PER_IMAGE = "scores of each image"
"""Kind of the CSV in the list of files that samtune wrote to a folder; see `outputs`."""


@dataclass(frozen=True)
class Evaluation:
    """Scores on a set of annotated images.

    Attributes:
        num_images: number of scored images.
        protocol: which measures, averaged over what.
        metric: of the task; decides whether tuning paid.
        class_names: K names, those of the specialist.
        rows: row -> scores over all images, for each row that could be scored; keys as in `metrics.rows`.
        per_image: row -> scores of each image, in the order of the data set.
        skipped: {"file": ..., "why": ...} of each image that could not be read.
        notes: caveats on the scores, one sentence each.
        tta: views of an image that every row was averaged over; see `segment`.
        resolution: size at which predictions and masks were compared: "native", or "squashed to S x S".
        measures: row -> key -> value over all images, of the protocol's further measures; None where undefined.
        values: row -> image name -> key -> value of the image; None where undefined.
        regressions: images on which a baseline scores better than the specialist, the largest loss first.
    """

    num_images: int
    protocol: EvaluationProtocol
    metric: Headline
    class_names: tuple[str, ...]
    rows: dict[str, Scores]
    per_image: dict[str, tuple[ImageScore, ...]]
    skipped: tuple[dict[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    tta: Averaging = "none"
    resolution: str = "native"
    measures: dict[str, dict[str, float | None]] = field(default_factory=dict)
    values: dict[str, dict[str, dict[str, float | None]]] = field(default_factory=dict, repr=False)
    regressions: tuple[Regression, ...] = ()

    def __repr__(self) -> str:
        """Return one line: images, protocol, and the task's metric of each row."""
        key = self.metric.key
        return one_line_repr("Evaluation", self._facts() | {key: {row: self.value(row, key) for row in self.rows}})

    def _repr_html_(self) -> str:
        """Return HTML for notebooks: the headline measures of each row, the verdict and the notes."""
        rows = [(key, *(decimals(self.value(row, key)) for row in self.rows)) for key in self.headline]
        header = ("measure", *(row_name(row).label for row in self.rows))
        return html_card("Evaluation", self._facts(), header=header, rows=rows, sentences=(*self.verdict, *self.notes))

    def _facts(self) -> dict[str, object]:
        return {"images": self.num_images, "protocol": self.protocol.name}

    @property
    def headline(self) -> dict[str, str]:
        """Description of each key that is shown first: the protocol's, then detection where images are empty."""
        shown = {key: self.protocol.explained.get(key) or EXPLAINED[key] for key in self.protocol.headline}
        return shown if self.rows[SPECIALIST].detection is None else shown | DETECTION_EXPLAINED

    def value(self, row: str, key: str) -> float | None:
        """Return a value of a row over all images by its key; None where it is undefined or unknown."""
        value: float | None = getattr(self.rows[row], key, None)
        if key in DETECTION_EXPLAINED:
            value = getattr(self.rows[row].detection, key, None)
        return self.measures[row].get(key) if value is None and row in self.measures else value

    @property
    def metric_by_image(self) -> dict[str, dict[str, float]]:
        """Row -> image name -> metric of the task; without the images where it is undefined."""
        key = self.metric.of_image
        return {
            row: {name: value for name, values in images.items() if (value := values.get(key)) is not None}
            for row, images in self.values.items()
        }

    @property
    def scores(self) -> dict[str, dict[str, Any]]:
        """Row -> every score of the set, as JSON values."""
        return {name: scores.to_dict() | self.measures.get(name, {}) for name, scores in self.rows.items()}

    @property
    def verdict(self) -> tuple[str, ...]:
        """Sentences on whether tuning paid, judged by the task's metric."""
        return run_verdict(self.scores, self.metric_by_image, self.metric)

    @property
    def worse_images(self) -> tuple[str, tuple[Regression, ...]]:
        """Sentence on how many images a baseline scores better on, and the worst of them, at most `MAX_LISTED`."""
        worst = worst_by_image(self.regressions)
        baselines = [row for row in self.rows if row != SPECIALIST]
        sentence = regression_sentence(len(worst), self.num_images, model="The specialist", baselines=baselines)
        return sentence, worst[:MAX_LISTED]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; each row has every key of `headline`, and `per_class` repeats the specialist's."""
        rows = {
            row: {key: self.value(row, key) for key in self.headline} | values for row, values in self.scores.items()
        }
        return {
            "num_images": self.num_images,
            "protocol": self.protocol.name,
            "tta": self.tta,
            "resolution": self.resolution,
            "headline": self.headline,
            "rows": rows,
            "verdict": list(self.verdict),
            "per_class": rows[SPECIALIST]["per_class"],
            "regressions": [vars(regression) for regression in self.regressions],
            "skipped": list(self.skipped),
            "notes": list(self.notes),
        }

    def write_per_image(self, file: str | Path, *, overwrite: bool = False) -> Path:
        """Write one line per image as CSV: name, then `<row>_iou`, `<row>_dice`, ... of each row, then `regression`.

        An undefined value is an empty cell; `regression` lists the baselines that score better, separated by spaces.

        Raises:
            OutputError: the file exists and was not written by samtune or was changed since, unless `overwrite`; or
                it cannot be written.
        """
        file = Path(file)
        lines: dict[str, dict[str, Any]] = {}
        for row, images in self.values.items():
            for name, values in images.items():
                lines.setdefault(name, {"name": name}).update({f"{row}_{key}": v for key, v in values.items()})
        better: dict[str, list[str]] = {}
        for regression in self.regressions:
            better.setdefault(regression.name, []).append(regression.baseline)
        for name, line in lines.items():
            line["regression"] = " ".join(better.get(name, ()))
        header = list(next(iter(lines.values())))
        rows = [header, *([line.get(key, "") for key in header] for line in lines.values())]
        return OutputFolder(file.parent, PER_IMAGE, overwrite=overwrite).write_csv(file.name, rows)
