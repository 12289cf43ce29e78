"""How good a specialist is on annotated images, beside two floors: the untouched base, and the probe.

    specialist   the adapted model
    stock_sam    the base without method and without prompts (one class only: it knows no classes)
    probe        logistic regression on the frozen features, fitted at training time and kept in the run

An image is read, predicted at its original size, counted and forgotten: memory does not grow with them.
Where the method leaves the encoder alone, an image is encoded once for all three.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samtune.adapters import load_base_of, load_specialist, read_card
from samtune.bases import Base, compute_in
from samtune.data.views.resizing import resize_labels
from samtune.data.views.symmetries import IN_WORDS
from samtune.errors import ConfigError, DataError
from samtune.losses import probabilities
from samtune.methods import Probe, touches_encoder
from samtune.metrics import EXPLAINED, Case, ProtocolScores, find_protocol
from samtune.metrics.regressions import MAX_LISTED, find_regressions, regression_sentence, worst_by_image
from samtune.metrics.rows import PROBE, SPECIALIST, STOCK
from samtune.metrics.verdict import run_verdict
from samtune.outputs import OutputFolder
from samtune.predict.predictor import averaging
from samtune.predict.reading import read_ahead
from samtune.predict.scale import check_scale, undefined_notes
from samtune.progress import say, track
from samtune.run_folder import PROBE_FILE, SPLIT_FILE, run_of, specialist_folder
from samtune.segment import decide, segment
from samtune.system.device import choose_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from samtune.adapters import AdapterCard
    from samtune.data import Dataset
    from samtune.metrics import ImageScore, Regression, Scores
    from samtune.types import Averaging, Features

PER_IMAGE = "scores of each image"
"""In the list of what samtune wrote to a folder."""


@dataclass(frozen=True)
class Evaluation:
    """Scores on a set of annotated images.

    Attributes:
        num_images: images scored.
        protocol: a key of `metrics.PROTOCOLS`: which measures, averaged over what.
        class_names: K names, as the specialist has them.
        rows: "specialist", "stock_sam", "probe", those that could be measured.
        per_image: row -> the overlap of each image, in the order of the data set.
        skipped: {"file": ..., "why": ...} of each image that could not be read.
        notes: what a reader must know to trust the numbers, one sentence each.
        tta: over which views of an image every row was averaged; see `segment`.
        resolution: the size at which predictions and masks were compared, in words.
        measures: row -> the protocol's further values of the set; None where a value is not defined.
        values: row -> image name -> all values of the image.
        regressions: images on which a baseline did better than the specialist, the worst first.
    """

    num_images: int
    protocol: str
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

    @property
    def headline(self) -> dict[str, str]:
        """The keys that the protocol shows first, each with what it is."""
        return {key: EXPLAINED[key] for key in find_protocol(self.protocol).headline}

    def value(self, row: str, key: str) -> float | None:
        """A value of a row by its key; None where it is not defined."""
        found: float | None = getattr(self.rows[row], key, None)
        return self.measures[row].get(key) if found is None and row in self.measures else found

    @property
    def iou_by_image(self) -> dict[str, dict[str, float]]:
        """Row -> image name -> IoU."""
        return {row: {score.name: score.iou for score in scores} for row, scores in self.per_image.items()}

    @property
    def verdict(self) -> tuple[str, ...]:
        """Sentences on whether tuning paid, by the IoU."""
        return run_verdict({name: scores.to_dict() for name, scores in self.rows.items()}, self.iou_by_image)

    @property
    def worse_images(self) -> tuple[str, tuple[Regression, ...]]:
        """Sentence on how many images a baseline scores better on, and the regression of each, the worst first."""
        worst = worst_by_image(self.regressions)
        baselines = [row for row in self.rows if row != SPECIALIST]
        sentence = regression_sentence(len(worst), self.num_images, kept="The specialist", baselines=baselines)
        return sentence, worst[:MAX_LISTED]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `per_class` is the specialist's, each row has its own too."""
        rows = {name: scores.to_dict() | self.measures.get(name, {}) for name, scores in self.rows.items()}
        return {
            "num_images": self.num_images,
            "protocol": self.protocol,
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
        """Write one line per image as CSV: name, then `<row>_iou`, `<row>_dice`, ... of each row, `regression` at last.

        A value that is not defined is an empty cell; `regression` names the baselines that did better, by spaces.

        Raises:
            OutputError: a file is there that samtune did not write or that was changed since, unless `overwrite`; or
                the disk refuses.
        """
        file = Path(file)
        lines: dict[str, dict[str, Any]] = {}
        for row, images in self.values.items():
            for name, values in images.items():
                lines.setdefault(name, {"name": name}).update({f"{row}_{key}": v for key, v in values.items()})
        better: dict[str, list[str]] = {}
        for found in self.regressions:
            better.setdefault(found.name, []).append(found.baseline)
        for name, line in lines.items():
            line["regression"] = " ".join(better.get(name, ()))
        header = list(next(iter(lines.values())))
        rows = [header, *([line.get(key, "") for key in header] for line in lines.values())]
        return OutputFolder(file.parent, PER_IMAGE, overwrite=overwrite).write_csv(file.name, rows)


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
        path: a run folder or its specialist/ folder; only a run knows its probe and the images it saw.
        dataset: images and masks of the specialist's classes.
        base: where to load the base from; None for the name that the specialist carries.
        unseen: leave out the images (by their pixels, whatever their names) that the run trained or
            validated on.
        protocol: a key of `metrics.PROTOCOLS`.
        at: side in pixels of the square that predictions (bilinear) and masks (nearest) are squashed to before they
            are compared, as the reference code of several papers does with 1024; None for each image's own size.
        spacing: side of a pixel in any unit, for distances; None for pixels.
        batch_size: images that are encoded together.
        device: as for `load_predictor`.
        tta: over which views of an image to average (see `segment`), for every row alike, so that what the
            specialist is ahead of its floors is not the averaging's doing; None for what the specialist's card says.
        tell: say the notes aloud too.

    Raises:
        DataError: the classes differ in number, or no image is left to score.
        ConfigError: `unseen` is asked for without a run to say what was seen; the protocol is unknown or for one
            class; `at` or `spacing` is out of range or without effect; `tta` is unknown.
        WeightsError: the specialist is damaged or the base is not the one it was trained on.
    """
    chosen_protocol = find_protocol(protocol)
    check_scale(chosen_protocol, at, spacing)
    card = read_card(specialist_folder(path))
    views = averaging(card, tta)
    notes = _compare_classes(card, dataset, str(path))
    seen = _seen(path, unseen, notes)
    rows = load_rows(path, base, device)
    notes += rows.notes
    if views != "none":
        why = "as the specialist says" if tta is None else "as asked"
        notes.append(f"Every row is averaged over {IN_WORDS[views]}, {why}.")
    rows = replace(rows, tta=views, at=at, chosen_threshold=chosen_protocol.threshold)
    width = spacing or 1.0
    accumulators = {name: ProtocolScores(chosen_protocol, card.class_names, (width, width)) for name in rows.names}
    skipped: list[dict[str, str]] = []
    num_seen = 0
    read = _reader(dataset)
    total = -(-len(dataset) // batch_size)
    for batch in track(read_ahead(range(len(dataset)), read, batch_size), "Evaluating", total):
        chosen = []
        for index, result in batch:
            if isinstance(result, DataError):
                skipped.append({"file": str(dataset.pairs[index].image), "why": str(result)})
                continue
            was_seen = result.content_id in seen
            num_seen += was_seen
            if not (was_seen and unseen):
                chosen.append((index, result))
        predictions = rows.predict([result.image for _, result in chosen])
        for (index, result), predicted in zip(chosen, predictions, strict=True):
            target = _target(dataset, index, result, at, wants_objects="instances" in chosen_protocol.groups)
            for name, (labels, foreground) in predicted.items():
                accumulators[name].add(replace(target, predicted=labels, foreground=foreground))
    per_image = {name: accumulator.overlap.rows() for name, accumulator in accumulators.items()}
    num_images = len(per_image[SPECIALIST])
    if not num_images:
        raise DataError(_nothing_left(len(dataset), num_seen if unseen else 0, skipped))
    notes += _overlap_note(num_seen, num_images, unseen)
    values = {name: accumulator.values for name, accumulator in accumulators.items()}
    results = {name: accumulator.result() for name, accumulator in accumulators.items()}
    notes += undefined_notes(results[SPECIALIST][1])
    if tell:
        for note in notes:
            say(note)
    return Evaluation(
        num_images=num_images,
        protocol=protocol,
        class_names=card.class_names,
        rows={name: overlap for name, (overlap, _) in results.items()},
        per_image=per_image,
        skipped=tuple(skipped),
        notes=tuple(notes),
        tta=views,
        resolution="native" if at is None else f"squashed to {at} x {at}",
        measures={name: more for name, (_, more) in results.items()},
        values=values,
        regressions=find_regressions(values, chosen_protocol, SPECIALIST),
    )


@dataclass(frozen=True)
class Rows:
    """The models that are compared, ready to predict the same images.

    Attributes:
        sam: the specialist's model.
        stock: the untouched base for the floors, where the specialist's encoder is not the base's.
        decoders: row -> decoder, on the features of `sam`.
        stock_decoders: row -> decoder, on the features of `stock`.
        threshold: of the specialist; the floors decide at 0.5.
        notes: why a row is not there.
        tta: over which views of an image each row is averaged.
        at: side of the square that predictions are squashed to; None for each image's size.
        chosen_threshold: a protocol's own for all rows; None for those above.
    """

    sam: Base
    stock: Base | None
    decoders: dict[str, Callable[[Features], Tensor]]
    stock_decoders: dict[str, Callable[[Features], Tensor]]
    threshold: float
    notes: tuple[str, ...] = ()
    tta: Averaging = "none"
    at: int | None = None
    chosen_threshold: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The rows, the specialist first."""
        return (*self.decoders, *self.stock_decoders)

    def predict(self, images: list[np.ndarray]) -> list[dict[str, tuple[np.ndarray, np.ndarray | None]]]:
        """For each image: row -> uint8 (H, W) label map, and with one class its probability, float32 (H, W)."""
        found = [self._decide(planes) for planes in segment(self.sam, self.decoders, images, at=self.at, tta=self.tta)]
        if self.stock is not None and self.stock_decoders:
            stock = segment(self.stock, self.stock_decoders, images, at=self.at, tta=self.tta)
            for row, planes in zip(found, stock, strict=True):
                row.update(self._decide(planes))
        return found

    def _decide(self, planes: dict[str, Tensor]) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
        decided = {}
        for name, logits in planes.items():
            own = self.threshold if name == SPECIALIST else 0.5
            labels = decide(logits, own if self.chosen_threshold is None else self.chosen_threshold).cpu().numpy()
            foreground = probabilities(logits[None])[0, 0].cpu().numpy() if logits.shape[0] == 1 else None
            decided[name] = labels, foreground
        return decided


def load_rows(path: str | Path, base: str | Path | None, device: str | None) -> Rows:
    """Load the specialist, and what its baselines need.

    Args:
        path: a run folder or its specialist/ folder.
        base: where to load the base from; None for the name the specialist carries.
        device: as for `load_predictor`.
    """
    place = choose_device(device)
    folder = specialist_folder(path)
    card = read_card(folder)
    untouched = load_base_of(card, base, folder)
    stock = deepcopy(untouched, {id(untouched.encoder): untouched.encoder})
    sam, card = load_specialist(path, untouched)
    shares_encoder = not touches_encoder(sam)
    if not shares_encoder:
        stock = load_base_of(card, base, folder)
    stock.spec = sam.spec  # the probe was fitted to images prepared in the specialist's way
    sam, stock = sam.to(place), stock.eval().to(place)
    for model in (sam,) if shares_encoder else (sam, stock):  # as in prediction
        compute_in(model, "auto", place)
    floors: dict[str, Callable[[Features], Tensor]] = {}
    notes = []
    if card.square:
        notes.append(
            "The specialist was trained on images squashed to a square, so all rows see them so; scores are of masks "
            "brought back to each image's own size."
        )
    if len(card.class_names) == 1:
        floors[STOCK] = stock.decode
    else:
        notes.append(
            "There is no row for stock SAM: without prompts it gives one mask, and there are "
            f"{len(card.class_names)} classes."
        )
    run = run_of(path)
    if run is not None and run.probe.is_file():
        floors[PROBE] = Probe.load(run.probe).logits
    else:
        notes.append(f"There is no row for the probe: no {PROBE_FILE} of a run lies beside {path}.")
    decoders: dict[str, Callable[[Features], Tensor]] = {SPECIALIST: sam.decode}
    if shares_encoder:
        return Rows(sam, None, decoders | floors, {}, card.threshold, tuple(notes))
    return Rows(sam, stock, decoders, floors, card.threshold, tuple(notes))


@dataclass(frozen=True)
class _Annotated:
    """One image as read."""

    image: np.ndarray
    labels: np.ndarray
    content_id: str


def _reader(dataset: Dataset) -> Callable[[int], _Annotated]:
    def read(index: int) -> _Annotated:
        image = dataset.image(index)
        return _Annotated(image, dataset.labels(index), dataset.content_id(index))

    return read


def _target(dataset: Dataset, index: int, found: _Annotated, at: int | None, *, wants_objects: bool) -> Case:
    """What an image's predictions are compared with, at the resolution of the comparison."""
    labels = found.labels
    objects = dataset.objects(index) if wants_objects else None
    if at is not None:
        labels = resize_labels(labels, (at, at))
        objects = None if objects is None else resize_labels(objects.astype(np.int32), (at, at))
    return Case(dataset.pairs[index].stem, labels, labels, None, objects)


def _compare_classes(card: AdapterCard, dataset: Dataset, path: str) -> list[str]:
    """Refuse another number of classes; a sentence where only the names differ."""
    mine, theirs = list(card.class_names), list(dataset.class_names)
    if len(mine) != len(theirs):
        raise DataError(
            f"The masks must have the classes of the specialist, but {path} has {len(mine)} "
            f"({', '.join(mine)}) and the masks have {len(theirs)} "
            f"({', '.join(theirs)}); use masks of the same classes."
        )
    if mine == theirs:
        return []
    pairs = ", ".join(f"{a} = {b}" for a, b in zip(mine, theirs, strict=True))
    return [f"The classes are named differently and were taken in this order (specialist = masks): {pairs}."]


def _seen(path: str | Path, unseen: bool, notes: list[str]) -> frozenset[str]:
    """Content ids of the images of the run; told where they are not known."""
    run = run_of(path)
    if run is not None and run.split.is_file():
        return run.seen_ids()
    if unseen:
        raise ConfigError(
            f"--unseen needs the run folder, whose {SPLIT_FILE} says which images it saw, but {path} has "
            "none beside it; pass the run folder."
        )
    notes.append(f"Whether training saw these images is not known: no {SPLIT_FILE} of a run lies beside {path}.")
    return frozenset()


def _overlap_note(num_seen: int, num_images: int, unseen: bool) -> list[str]:
    if not num_seen:
        return []
    if unseen:
        return [f"{num_seen} images that the run trained or validated on were left out."]
    return [
        f"WARNING: {num_seen} of these {num_images} images were trained or validated on, so the scores "
        "flatter; --unseen leaves them out."
    ]


def _nothing_left(num: int, num_seen: int, skipped: list[dict[str, str]]) -> str:
    why = []
    if num_seen:
        why.append(f"{num_seen} were trained or validated on")
    if skipped:
        why.append(f"{len(skipped)} cannot be read ({skipped[0]['why']})")
    return f"There must be at least one image to score, but of {num} images, {' and '.join(why) or 'none came'}."
