"""Images to label next: those on which the specialists of different draws disagree, without near-repeats."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch

from samtune.adapters import assign_learned, load_specialist
from samtune.bases import Base
from samtune.comparison_folder import KIND
from samtune.data import list_images, read_image
from samtune.data.images.duplicates import MIN_CORRELATION, thumbnail
from samtune.errors import ConfigError, DataError
from samtune.methods import delta, touches_encoder
from samtune.outputs import OutputFolder
from samtune.progress import track
from samtune.segment import encode, prepare, without_padding
from samtune.system.device import choose_device
from samtune.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from samtune.data import Dataset

SPECK = 1e-3
"""Share of an image that is added to numerator and denominator of the Dice, so that specks count little."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One unlabelled image.

    Attributes:
        file: path of the image.
        disagreement: disagreement of the specialists, 0..1.
        embedding: float32 (C,), mean of its features, of unit length.
    """

    file: Path
    disagreement: float
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class Suggestion:
    """An image to label.

    Attributes:
        file: path of the image.
        disagreement: disagreement of the specialists, 0..1.
        novelty: distance to the nearest image suggested before it, in units of the median distance, at most 1.
    """

    file: Path
    disagreement: float
    novelty: float


@dataclass(frozen=True)
class Suggestions:
    """Images worth labelling.

    Attributes:
        images: the best first.
        num_candidates: number of images that were scored.
        notes: clauses on images that were left out, and on why there are fewer than requested.
    """

    images: tuple[Suggestion, ...]
    num_candidates: int
    notes: tuple[str, ...] = ()

    def write_csv(self, file: Path, *, overwrite: bool = False) -> Path:
        """Write one line for each image: rank, file, disagreement, novelty.

        Raises:
            OutputError: the file would replace one that samtune did not write, or cannot be written.
        """
        rows = [
            (rank, item.file, round(item.disagreement, 4), round(item.novelty, 4))
            for rank, item in enumerate(self.images, start=1)
        ]
        header = ("rank", "file", "disagreement", "novelty")
        return OutputFolder(file.parent, KIND, overwrite=overwrite).write_csv(file.name, [header, *rows])


def suggest(committee: Committee, dataset: Dataset, folder: Path, num: int) -> Suggestions:
    """Select images of a folder to label next.

    Args:
        committee: the specialists of one method at one number of images.
        dataset: the annotated images; copies and near-copies of them are left out.
        folder: unlabelled images, searched with its sub-folders.
        num: number of images to select.

    Raises:
        DataError: the folder does not exist, or holds no readable image that is not annotated yet.
    """
    files, notes = unlabelled(folder, dataset)
    candidates = []
    for file in track(files, "Measuring disagreement", len(files)):
        try:
            image = read_image(file)
        except DataError as error:
            notes.append(f"Skipped: {error}")
            continue
        candidates.append(committee.candidate(file, image))
    if not candidates:
        raise DataError(f"Expected at least one readable image in {folder} that is not annotated yet, got none.")
    selected = pick(candidates, num)
    if len(selected) < num:
        notes.append(f"Only {len(selected)} of {len(candidates)} images differ from one another; {num} were requested")
    return Suggestions(tuple(selected), len(candidates), tuple(notes))


def unlabelled(folder: Path, dataset: Dataset) -> tuple[list[Path], list[str]]:
    """Return the images of a folder that are not copies or near-copies of annotated ones, and notes.

    Raises:
        DataError: the folder does not exist or has no image.
    """
    if not folder.is_dir():
        raise DataError(f"Expected a folder of images as --unlabelled, got {folder}.")
    files, notes = list_images(folder)
    if not files:
        raise DataError(f"Expected a folder of images as --unlabelled, got {folder}, which has none.")
    known = np.stack([thumbnail(dataset.image(i)) for i in track(range(len(dataset)), "Reading the annotated images")])
    kept = []
    for file in files:
        try:
            seen = (known @ thumbnail(read_image(file))).max() > MIN_CORRELATION
        except DataError:
            seen = False  # reported when it is scored
        if not seen:
            kept.append(file)
    if len(kept) < len(files):
        notes.append(
            f"{len(files) - len(kept)} image(s) were left out: they, or near-copies of them, are annotated already"
        )
    return kept, notes


class Committee:
    """Specialists of several seeds that share one base in memory; their learned tensors are put into it in turn.

    Args:
        runs: at least two run folders, all of one method.
        base: where to load the base from.
        device: as for `load_predictor`.

    Raises:
        ConfigError: fewer than two runs.
    """

    def __init__(self, runs: Sequence[Path], base: str, device: str | None) -> None:
        if len(runs) < 2:
            raise ConfigError(f"Expected at least two draws for --suggest, got {len(runs)}; use --seeds 2 or more.")
        target = choose_device(device)
        self.learned: list[dict[str, Tensor]] = []
        for run in runs:
            model, card = load_specialist(run, base, device=target)
            self.learned.append({key: tensor.clone() for key, tensor in delta(model).items()})
        self.model: Base = model
        self.task, self.threshold = find_task(card.task), card.threshold
        self.shares_encoder = not touches_encoder(self.model)

    @torch.inference_mode()
    def candidate(self, file: Path, image: NDArray[np.uint8]) -> Candidate:
        """Return an image with the disagreement of the specialists, averaged over their pairs."""
        maps, embedding = self.maps(image)
        pairs = [disagreement(a, b) for a, b in combinations(maps, 2)]
        return Candidate(file, float(np.mean(pairs)), embedding)

    @torch.inference_mode()
    def maps(self, image: NDArray[np.uint8]) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
        """Return label maps, uint8 (h, w) at the decoder's resolution without padding, and the mean feature (C,)."""
        inputs = prepare([image], self.model.spec)
        features = None
        maps = []
        for learned in self.learned:
            assign_learned(self.model, learned, "a specialist of this comparison")
            if features is None or not self.shares_encoder:
                features = encode(self.model, inputs)
            logits = self.model.decode(features)[0]
            answer = self.task.decide(without_padding(logits, inputs.geometries[0]), self.threshold)
            maps.append(self.task.label_maps(torch.from_numpy(answer)[None])[0].numpy())
        assert features is not None
        mean = features.embedding[0].float().mean((1, 2)).cpu().numpy()
        return maps, (mean / (np.linalg.norm(mean) + 1e-9)).astype(np.float32)


def disagreement(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Return 1 - Dice of two label maps, averaged over the classes that either has; 0 where neither has any.

    Args:
        first: uint8 (h, w).
        second: uint8 (h, w).
    """
    classes = sorted({int(k) for labels in (first, second) for k in np.unique(labels)} - {0})
    if not classes:
        return 0.0
    speck = SPECK * first.size
    values = []
    for label in classes:
        one, two = first == label, second == label
        values.append(1 - (2 * int((one & two).sum()) + speck) / (int(one.sum()) + int(two.sum()) + speck))
    return float(np.mean(values))


def pick(candidates: Sequence[Candidate], num: int) -> list[Suggestion]:
    """Select images one by one by the largest disagreement times novelty, until no novel image is left.

    Args:
        candidates: at least one.
        num: largest number of images to select.
    """
    embeddings = np.stack([candidate.embedding for candidate in candidates])
    scores = np.array([candidate.disagreement for candidate in candidates])
    typical = _typical_distance(embeddings)
    novelty = np.ones(len(candidates))
    remaining = np.ones(len(candidates), bool)
    selected: list[Suggestion] = []
    while len(selected) < num and remaining.any():
        worth = np.where(remaining, (scores + 1e-6) * novelty, -1.0)  # without disagreement, novelty decides
        best = int(worth.argmax())
        if worth[best] <= 1e-12:
            break
        selected.append(Suggestion(candidates[best].file, float(scores[best]), float(novelty[best])))
        remaining[best] = False
        distance = np.clip(1 - embeddings @ embeddings[best], 0, None)
        distance[distance < 1e-6] = 0
        novelty = np.minimum(novelty, np.minimum(1, distance / typical))
    return selected


def _typical_distance(embeddings: NDArray[np.float32]) -> float:
    """Return the median distance between candidates, or between 500 evenly spaced ones."""
    some = embeddings[:: max(1, len(embeddings) // 500)]
    distances = (1 - some @ some.T)[np.triu_indices(len(some), 1)]
    return max(1e-6, float(np.median(distances))) if distances.size else 1.0
