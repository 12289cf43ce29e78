"""How good a specialist is on annotated images, beside two floors: the untouched base, and the probe.

    specialist   the adapted model
    stock_sam    the base without method and without prompts (one class only: it knows no classes)
    probe        logistic regression on the frozen features, fitted at training time and kept in the run

An image is read, predicted at its original size, counted and forgotten: memory does not grow with them.
Where the method leaves the encoder alone, an image is encoded once for all three.
"""

from __future__ import annotations

import csv
import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtune.data.restore import decide
from samtune.errors import ConfigError, DataError
from samtune.methods import Probe, load_specialist, read_card, specialist_folder, touches_encoder
from samtune.metrics import SegmentationScores
from samtune.predict.predictor import choose_device, segment
from samtune.predict.reading import read_ahead
from samtune.progress import say, track
from samtune.sam import Sam, choose_precision, keep_frozen_low

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import Tensor

    from samtune.data import Dataset
    from samtune.methods import AdapterCard
    from samtune.metrics import ImageScore, Scores
    from samtune.types import Features

SPECIALIST, STOCK, PROBE = "specialist", "stock_sam", "probe"
SPLIT_FILE, PROBE_FILE = "split.json", "probe.safetensors"


@dataclass(frozen=True)
class Evaluation:
    """Scores on a set of annotated images, at their native resolution.

    Attributes:
        num_images: images scored.
        protocol: how they were scored; "default": foreground IoU and Dice, per image and pooled.
        class_names: K names, as the specialist has them.
        rows: "specialist", "stock_sam", "probe", those that could be measured.
        per_image: row -> the score of each image, in the order of the data set.
        skipped: {"file": ..., "why": ...} of each image that could not be read.
        notes: what a reader must know to trust the numbers, one sentence each.
    """

    num_images: int
    protocol: str
    class_names: tuple[str, ...]
    rows: dict[str, Scores]
    per_image: dict[str, tuple[ImageScore, ...]]
    skipped: tuple[dict[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def iou_by_image(self) -> dict[str, dict[str, float]]:
        """Row -> image name -> IoU."""
        return {row: {score.name: score.iou for score in scores} for row, scores in self.per_image.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `per_class` is the specialist's, each row has its own too."""
        rows = {name: scores.to_dict() for name, scores in self.rows.items()}
        return {
            "num_images": self.num_images,
            "protocol": self.protocol,
            "rows": rows,
            "per_class": rows[SPECIALIST]["per_class"],
            "skipped": list(self.skipped),
            "notes": list(self.notes),
        }

    def write_per_image(self, file: str | Path) -> Path:
        """Write one line per image as CSV: name, then `<row>_iou`, `<row>_dice` (and classes) of each row."""
        file = Path(file)
        lines: dict[str, dict[str, Any]] = {}
        for row, scores in self.per_image.items():
            for score in scores:
                values = score.to_dict(self.class_names)
                name = str(values.pop("name"))
                lines.setdefault(name, {"name": name}).update({f"{row}_{key}": v for key, v in values.items()})
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(next(iter(lines.values()))))
            writer.writeheader()
            writer.writerows(lines.values())
        return file


def evaluate(
    path: str | Path,
    dataset: Dataset,
    *,
    base: str | Path | None = None,
    unseen: bool = False,
    batch_size: int = 4,
    device: str | None = None,
    tell: bool = True,
) -> Evaluation:
    """Score a specialist and its baselines on annotated images.

    Args:
        path: a run folder or its specialist/ folder; only a run knows its probe and the images it saw.
        dataset: images and masks of the specialist's classes.
        base: where to load the base from; None for the name that the specialist carries.
        unseen: leave out the images (by their pixels, whatever their names) that the run trained or
            validated on.
        batch_size: images that are encoded together.
        device: as for `load_predictor`.
        tell: say the notes aloud too.

    Raises:
        DataError: the classes differ in number, or no image is left to score.
        ConfigError: `unseen` is asked for without a run to say what was seen.
        WeightsError: the specialist is damaged or the base is not the one it was trained on.
    """
    card = read_card(specialist_folder(path))
    notes = _compare_classes(card, dataset, str(path))
    seen = _seen(path, unseen, notes)
    rows = load_rows(path, base, device)
    notes += rows.notes
    accumulators = {name: SegmentationScores(card.class_names) for name in rows.names}
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
            for name, labels in predicted.items():
                accumulators[name].add(dataset.pairs[index].stem, labels, result.labels)
    per_image = {name: accumulator.rows() for name, accumulator in accumulators.items()}
    num_images = len(per_image[SPECIALIST])
    if not num_images:
        raise DataError(_nothing_left(len(dataset), num_seen if unseen else 0, skipped))
    notes += _overlap_note(num_seen, num_images, unseen)
    if tell:
        for note in notes:
            say(note)
    return Evaluation(
        num_images=num_images,
        protocol="default",
        class_names=card.class_names,
        rows={name: accumulator.result() for name, accumulator in accumulators.items()},
        per_image=per_image,
        skipped=tuple(skipped),
        notes=tuple(notes),
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
    """

    sam: Sam
    stock: Sam | None
    decoders: dict[str, Callable[[Features], Tensor]]
    stock_decoders: dict[str, Callable[[Features], Tensor]]
    threshold: float
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The rows, the specialist first."""
        return (*self.decoders, *self.stock_decoders)

    def predict(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """For each image: row -> uint8 (H, W) label map at the image's size."""
        found = [self._decide(planes) for planes in segment(self.sam, self.decoders, images)]
        if self.stock is not None and self.stock_decoders:
            for row, planes in zip(found, segment(self.stock, self.stock_decoders, images), strict=True):
                row.update(self._decide(planes))
        return found

    def _decide(self, planes: dict[str, Tensor]) -> dict[str, np.ndarray]:
        return {
            name: decide(logits, self.threshold if name == SPECIALIST else 0.5).cpu().numpy()
            for name, logits in planes.items()
        }


def load_rows(path: str | Path, base: str | Path | None, device: str | None) -> Rows:
    """Load the specialist, and what its baselines need.

    Args:
        path: a run folder or its specialist/ folder.
        base: where to load the base from; None for the name the specialist carries.
        device: as for `load_predictor`.
    """
    place = choose_device(device)
    card = read_card(specialist_folder(path))
    name = card.base if base is None else base
    untouched = Sam.from_pretrained(name, card.side)
    stock = deepcopy(untouched, {id(untouched.vision_encoder): untouched.vision_encoder})
    sam, card = load_specialist(path, untouched)
    shares_encoder = not touches_encoder(sam)
    if not shares_encoder:
        stock = Sam.from_pretrained(name, card.side)
    sam, stock = sam.to(place), stock.eval().to(place)
    for model in (sam,) if shares_encoder else (sam, stock):  # as in prediction
        model.encoder_dtype = choose_precision("auto", place, model.vision_encoder.channels)
        keep_frozen_low(model)
    floors: dict[str, Callable[[Features], Tensor]] = {}
    notes = []
    if len(card.class_names) == 1:
        floors[STOCK] = stock.decode
    else:
        notes.append(
            "There is no row for stock SAM: without prompts it gives one mask, and there are "
            f"{len(card.class_names)} classes."
        )
    run = run_of(path)
    if run is not None and (run / PROBE_FILE).is_file():
        floors[PROBE] = Probe.load(run / PROBE_FILE).logits
    else:
        notes.append(f"There is no row for the probe: no {PROBE_FILE} of a run lies beside {path}.")
    decoders: dict[str, Callable[[Features], Tensor]] = {SPECIALIST: sam.decode}
    if shares_encoder:
        return Rows(sam, None, decoders | floors, {}, card.threshold, tuple(notes))
    return Rows(sam, stock, decoders, floors, card.threshold, tuple(notes))


def run_of(path: str | Path) -> Path | None:
    """The run folder that a specialist lies in; None for a specialist folder on its own."""
    folder = Path(path).resolve()
    if (folder / "specialist").is_dir():
        return Path(path)
    if folder.name == "specialist" and (folder.parent / SPLIT_FILE).is_file():
        return folder.parent
    return None


def seen_ids(run: Path, parts: tuple[str, ...] = ("train", "val")) -> frozenset[str]:
    """Content ids of the images in these parts of a run's split.

    Raises:
        DataError: split.json is broken.
    """
    file = run / SPLIT_FILE
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        return frozenset(row["content_id"] for part in parts for row in record[part] if row["content_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} must be the JSON that training wrote, but it is broken ({error!r}).") from error


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
    if run is not None and (run / SPLIT_FILE).is_file():
        return seen_ids(run)
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
