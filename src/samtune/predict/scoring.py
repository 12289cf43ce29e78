"""Evaluation of a specialist on annotated images, next to the untouched base and the probe.

Each image is read, predicted at its original size, counted and dropped, so memory does not grow with their number. If
the method does not change the encoder, an image is encoded once for all rows. Every row averages over the same views,
so that averaging does not favour the specialist.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from samtune.adapters import read_card
from samtune.data.views.resizing import resize_labels
from samtune.data.views.symmetries import IN_WORDS
from samtune.errors import DataError
from samtune.metrics import Case, find_protocol, find_regressions
from samtune.metrics.detection import detection_notes
from samtune.metrics.rows import SPECIALIST
from samtune.predict.checks import check_scale, compare_classes, undefined_notes
from samtune.predict.evaluation import Evaluation
from samtune.predict.models import load_models
from samtune.predict.predictor import averaging
from samtune.predict.reading import read_ahead
from samtune.predict.seen import find_seen, seen_notes
from samtune.progress import say, track
from samtune.run_folder import specialist_folder
from samtune.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from samtune.adapters import AdapterCard
    from samtune.data import Dataset
    from samtune.metrics import EvaluationProtocol, ProtocolScores
    from samtune.predict.models import ComparedModels
    from samtune.types import Averaging


def evaluate(
    path: str | Path,
    dataset: Dataset,
    *,
    base: str | Path | None = None,
    unseen: bool = False,
    protocol: str = "default",
    at: int | None = None,
    spacing: float | None = None,
    batch_size: int = 4,
    device: str | None = None,
    tta: Averaging | None = None,
    tell: bool = True,
) -> Evaluation:
    """Score a specialist and its baselines on annotated images; memory does not grow with their number.

    Args:
        path: a run folder or its specialist's folder; only a run has a probe and a record of the images it saw.
        dataset: images and masks of the specialist's classes.
        base: where to load the base from; None for the name on the specialist's card.
        unseen: leave out the images (by their pixels, whatever their names) that the run trained or validated on.
        protocol: name of a protocol of the specialist's task (areas: `metrics.PROTOCOLS`).
        at: side in pixels of the square that predictions (bilinear) and masks (nearest) are resized to before they
            are compared, as in the reference code of several papers with 1024; None for each image's own size.
        spacing: side of a pixel in any unit, for distances; None for pixels.
        batch_size: images that are encoded together.
        device: as for `load_predictor`.
        tta: views of an image to average over (see `segment`), the same for every row; None for the card's setting.
        tell: also report the notes as progress.

    Raises:
        DataError: the classes differ in number, or no image is left to score.
        ConfigError: `unseen` without a run that records what was seen; the protocol is unknown, or for one class
            only; `at` or `spacing` is out of range or without effect; `tta` is unknown.
        WeightsError: the specialist is damaged or the base is not the one it was trained on.
    """
    card = read_card(specialist_folder(path))
    rules = find_protocol(protocol, find_task(card.task).protocols)
    check_scale(rules, at, spacing)
    views = averaging(card, tta)
    notes = compare_classes(card, dataset, str(path))
    seen = find_seen(path, unseen=unseen, notes=notes)
    models = replace(load_models(path, base, device), tta=views, at=at, protocol_threshold=rules.threshold)
    accumulators = _accumulators(card, rules, models.names, spacing)
    scored = _score_images(models, dataset, accumulators, rules, batch_size, seen=seen, unseen=unseen)
    notes += [*models.notes, *_view_notes(views, tta), *seen_notes(scored.num_seen, scored.num_images, unseen=unseen)]
    evaluation = _evaluation(card, rules, accumulators, models, scored, notes)
    for note in evaluation.notes if tell else ():
        say(note)
    return evaluation


def _view_notes(views: Averaging, requested: Averaging | None) -> list[str]:
    """Return a sentence on the views that predictions are averaged over; none for one view."""
    if views == "none":
        return []
    why = "the setting of the specialist" if requested is None else "as requested"
    return [f"Every row is averaged over {IN_WORDS[views]}, {why}."]


def _accumulators(
    card: AdapterCard, rules: EvaluationProtocol, rows: Iterable[str], spacing: float | None
) -> dict[str, ProtocolScores]:
    """Return row -> empty sums of the measures of the protocol."""
    side = spacing or 1.0
    return {row: find_task(card.task).evaluation(rules, card.class_names, (side, side)) for row in rows}


@dataclass(frozen=True)
class _Scored:
    """Numbers of images.

    Attributes:
        num_images: images that were scored.
        num_seen: images that the run trained or validated on.
        skipped: {"file": ..., "why": ...} of each image that cannot be read.
    """

    num_images: int
    num_seen: int
    skipped: list[dict[str, str]]


def _evaluation(
    card: AdapterCard,
    rules: EvaluationProtocol,
    accumulators: Mapping[str, ProtocolScores],
    models: ComparedModels,
    scored: _Scored,
    notes: list[str],
) -> Evaluation:
    """Return the evaluation of what the accumulators hold."""
    values = {name: accumulator.values for name, accumulator in accumulators.items()}
    results = {name: accumulator.result() for name, accumulator in accumulators.items()}
    detection = results[SPECIALIST][0].detection
    notes = [*notes, *undefined_notes(results[SPECIALIST][1])]
    notes += [] if detection is None else detection_notes(detection.num_with_objects, detection.num_empty)
    return Evaluation(
        num_images=scored.num_images,
        protocol=rules,
        metric=find_task(card.task).headline,
        class_names=card.class_names,
        rows={name: overlap for name, (overlap, _) in results.items()},
        per_image={name: accumulator.overlap.rows() for name, accumulator in accumulators.items()},
        skipped=tuple(scored.skipped),
        notes=tuple(notes),
        tta=models.tta,
        resolution="native" if models.at is None else f"squashed to {models.at} x {models.at}",
        measures={name: more for name, (_, more) in results.items()},
        values=values,
        regressions=find_regressions(values, rules, SPECIALIST),
    )


def _score_images(
    models: ComparedModels,
    dataset: Dataset,
    accumulators: Mapping[str, ProtocolScores],
    rules: EvaluationProtocol,
    batch_size: int,
    *,
    seen: frozenset[str],
    unseen: bool,
) -> _Scored:
    """Predict every image with every model, and add the results to the accumulators.

    Raises:
        DataError: no image is left to score.
    """
    skipped: list[dict[str, str]] = []
    num_images = num_seen = 0
    total = -(-len(dataset) // batch_size)
    for batch in track(read_ahead(range(len(dataset)), _reader(dataset), batch_size), "Evaluating", total):
        scored = []
        for index, read in batch:
            if isinstance(read, DataError):
                skipped.append({"file": str(dataset.pairs[index].image), "why": str(read)})
                continue
            was_seen = read.content_id in seen
            num_seen += was_seen
            if not (was_seen and unseen):
                scored.append((index, read))
        num_images += len(scored)
        predictions = models.predict([read.image for _, read in scored])
        for (index, read), predicted in zip(scored, predictions, strict=True):
            target = _target(dataset, index, read, models.at, wants_objects="instances" in rules.groups)
            for row, (labels, foreground) in predicted.items():
                accumulators[row].add(replace(target, predicted=labels, foreground=foreground))
    if not num_images:
        raise DataError(_nothing_left(len(dataset), num_seen if unseen else 0, skipped))
    return _Scored(num_images, num_seen, skipped)


@dataclass(frozen=True)
class _Annotated:
    """One image as it was read."""

    image: np.ndarray
    labels: np.ndarray
    content_id: str


def _reader(dataset: Dataset) -> Callable[[int], _Annotated]:
    """Return a function that reads an image and its annotation by index."""

    def read(index: int) -> _Annotated:
        image = dataset.image(index)
        return _Annotated(image, dataset.labels(index), dataset.content_id(index))

    return read


def _target(dataset: Dataset, index: int, read: _Annotated, at: int | None, *, wants_objects: bool) -> Case:
    """Return the annotation that predictions are compared with, at the resolution of the comparison."""
    labels = read.labels
    objects = dataset.objects(index) if wants_objects else None
    if at is not None:
        labels = resize_labels(labels, (at, at))
        objects = None if objects is None else resize_labels(objects.astype(np.int32), (at, at))
    return Case(dataset.pairs[index].stem, labels, labels, None, objects)


def _nothing_left(num: int, num_seen: int, skipped: list[dict[str, str]]) -> str:
    why = []
    if num_seen:
        why.append(f"{num_seen} were trained or validated on")
    if skipped:
        why.append(f"{len(skipped)} cannot be read ({skipped[0]['why']})")
    return f"Expected at least one image to score, got none of {num}: {' and '.join(why) or 'the data set is empty'}."
