"""Records that the pages are rendered from: plain data, built by `samtune.pages`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from samtune.metrics import IOU, Headline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from samtune.metrics import Regression

Standing = Literal["best", "median", "worst"]


@dataclass(frozen=True, eq=False)
class Example:
    """One image to show.

    Attributes:
        name: name of the image.
        image: uint8 (H, W, 3) RGB.
        target: annotation (H, W), a uint8 label map or int32 ids.
        predicted: answer (H, W) of the same form.
        iou: score of the image, 0..1.
        standing: part of the ranking that it is shown for.
    """

    name: str
    image: NDArray[np.uint8]
    target: NDArray[np.integer]
    predicted: NDArray[np.integer]
    iou: float
    standing: Standing


@dataclass(frozen=True)
class RunFacts:
    """What was trained.

    Attributes:
        method: registry name of the method.
        base: name of the base model.
        trainable: number of trained parameters.
        time_s: training time in seconds.
        more: further facts as label -> value, shown after these in this order.
    """

    method: str
    base: str
    trainable: int
    time_s: float
    more: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True)
class HistoryRow:
    """One point of the training history.

    Attributes:
        step: optimiser step, from 0.
        loss: training loss; None where only the validation was measured.
        val_iou: IoU per image on the validation images; None where not measured.
    """

    step: int
    loss: float | None
    val_iou: float | None = None


@dataclass(frozen=True, eq=False)
class ReportPage:
    """Content of a run's page; an empty part is left out of it.

    Attributes:
        title: heading of the page.
        facts: what was trained.
        rows: row -> scores as `metrics.Scores.to_dict()` gives them.
        measured_on: images that the rows were measured on, within a sentence: "the 60 images in test/".
        summary: sentences for the top, the most important first.
        per_image: row -> image name -> metric, for the dots.
        metric: of the task.
        regressions: images on which a baseline scores better than the specialist, the worst first.
        regression_sentence: sentence on how many there are; "" leaves the list out.
        history: training history, by step.
        data: facts about the data as label -> value: numbers of images, mask encoding, sizes.
        notes: caveats on data and run, one sentence each.
        examples: images to show, in this order.
        skipped: files that could not be used, each {"file": ..., "why": ...}.
    """

    title: str
    facts: RunFacts
    rows: Mapping[str, Mapping[str, Any]]
    measured_on: str = ""
    summary: Sequence[str] = ()
    per_image: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    metric: Headline = IOU
    regressions: Sequence[Regression] = ()
    regression_sentence: str = ""
    history: Sequence[HistoryRow] = ()
    data: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    notes: Sequence[str] = ()
    examples: Sequence[Example] = ()
    skipped: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True)
class ComparedRow:
    """One method or baseline of a comparison.

    Attributes:
        label: name in tables and figures.
        what: description in a few words.
        is_baseline: whether it is a baseline.
        num_images: numbers of labelled images, rising; empty for a row that is not trained.
        scores: for each number of images, the mean IoU of each draw; empty where no draw finished.
        trainable: number of trained parameters; None where no draw finished.
        time_s: mean time of a training at the largest number of images, in seconds.
        memory_bytes: largest peak memory of a training's process.
        against_best: its difference from the best row, in words.
        num_failed: number of failed cells.
        is_kept: whether it is the method to keep.
        level: mean IoU of a row that is not trained; None for others.
        detection: key of `metrics.detection.Detection` -> mean over draws at the largest number of images; None where
            every test image has objects.
    """

    label: str
    what: str
    is_baseline: bool
    num_images: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]
    trainable: int | None = None
    time_s: float | None = None
    memory_bytes: int | None = None
    against_best: str = ""
    num_failed: int = 0
    is_kept: bool = False
    level: float | None = None
    detection: Mapping[str, float | None] | None = None


@dataclass(frozen=True)
class CurveFit:
    """A fitted learning curve as it is drawn.

    Attributes:
        num_images: measured numbers of images, and the target last.
        iou: IoU of the curve at each.
        gain: its increase from the last measured number to the target.
        low: lower end of the gain's interval.
        high: upper end of the gain's interval.
    """

    num_images: tuple[float, ...]
    iou: tuple[float, ...]
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class GroupRow:
    """The kept method against stock SAM on a group of images.

    Attributes:
        name: name of the group.
        num_images: number of its images.
        stock: mean IoU of stock SAM.
        kept: mean IoU of the kept method.
        change: the difference with its interval, in words.
        verdict: better, worse or not distinguishable.
    """

    name: str
    num_images: int
    stock: float
    kept: float
    change: str
    verdict: str


@dataclass(frozen=True, eq=False)
class Suggested:
    """An image worth labelling.

    Attributes:
        rank: from 1.
        file: name of the file.
        disagreement: disagreement of the draws' specialists, 0..1.
        novelty: distance to the images suggested before it, 0..1.
        image: uint8 (H, W, 3) RGB with the specialists' predictions drawn on it; None for no picture.
    """

    rank: int
    file: str
    disagreement: float
    novelty: float
    image: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class ComparisonPage:
    """Content of a comparison's page; an empty part is left out of it.

    Attributes:
        title: heading of the page.
        sentences: the advice, the most important first.
        facts: label -> value.
        shots: requested numbers of labelled images, rising.
        rows: methods and baselines in the order of the table.
        groups: the kept method on each group of images.
        group_sentences: sentences on the groups, and on groups that could not be formed.
        regressions: test images on which a baseline scores better than the kept method, the worst first.
        regression_sentence: sentence on how many there are; "" leaves the list out.
        curve_sentences: sentences on whether labelling more is likely to pay.
        fit: fitted curve of the kept method; None without one.
        kept: name of the kept method; "" without one.
        suggestions: images to label next.
        suggestion_sentences: sentences on how they were selected.
        examples: test images with the kept method's prediction.
        failures: {"cell": ..., "why": ...} of each failed cell.
        notes: caveats, one sentence each.
        metric: of the task, which all scores are of.
    """

    title: str
    sentences: Sequence[str]
    facts: Mapping[str, str | int | float | bool | None]
    shots: tuple[int, ...]
    rows: Sequence[ComparedRow]
    groups: Sequence[GroupRow] = ()
    group_sentences: Sequence[str] = ()
    regressions: Sequence[Regression] = ()
    regression_sentence: str = ""
    curve_sentences: Sequence[str] = ()
    fit: CurveFit | None = None
    kept: str = ""
    suggestions: Sequence[Suggested] = ()
    suggestion_sentences: Sequence[str] = ()
    examples: Sequence[Example] = ()
    failures: Sequence[Mapping[str, str]] = ()
    notes: Sequence[str] = ()
    metric: Headline = IOU
