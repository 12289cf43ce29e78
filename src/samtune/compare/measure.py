"""One cell: train a row on its draw and score it on the test images. Runs in a process of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from samtune.adapters import load_specialist
from samtune.bases import Base, compute_in, load_base
from samtune.compare.colour import COLOUR_SPEC, colour_planes, fit_colour
from samtune.compare.draws import draw_support
from samtune.compare.features import base_for, frozen_features
from samtune.compare.scoring import from_frozen, from_images, score
from samtune.compare.settings import Cell, CompareSettings
from samtune.compare.unet import UNET_SPEC, train_unet
from samtune.comparison_folder import ComparisonFolder
from samtune.methods import touches_encoder
from samtune.metrics.rows import COLOUR, STOCK, UNET
from samtune.run_folder import RunFolder
from samtune.segment import PixelEncoder
from samtune.system.device import choose_device
from samtune.system.memory import peak_bytes
from samtune.training import train
from samtune.types import Features

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from samtune.adapters import AdapterCard
    from samtune.data import Dataset


@dataclass(frozen=True)
class Job:
    """What a process is sent.

    Attributes:
        settings: of the comparison.
        dataset: all images.
        test: indices of the test images.
        pool: indices of the images that cells draw from.
        folder: of the comparison.
    """

    settings: CompareSettings
    dataset: Dataset
    test: tuple[int, ...]
    pool: tuple[int, ...]
    folder: Path

    def run_folder(self, cell: Cell, digest: str) -> Path:
        """Where a method's training of this cell lives; cells of other settings have others."""
        return ComparisonFolder(self.folder).runs / f"{cell.name}-{digest[:12]}"

    def support(self, cell: Cell) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Training and validation images of a cell, as indices into the whole data set."""
        settings = self.settings
        val = settings.training(cell).val if cell.row in settings.trained_rows else 0.0
        parts = draw_support(self.dataset, self.pool, shots=cell.shots, val=val, seed=cell.seed)
        return tuple(self.pool[i] for i in parts.train), tuple(self.pool[i] for i in parts.val)


def measure(job: Job, cell: Cell, digest: str) -> dict[str, Any]:
    """Train and score one cell.

    Args:
        job: the comparison.
        cell: which.
        digest: of its configuration; names its run folder.

    Returns:
        "counts", "seconds", "memory_bytes", "metrics", "per_image", "validation", "notes", "train", "val".
    """
    train_ids, val_ids = ((), ()) if cell.row == STOCK else job.support(cell)
    if cell.row in job.settings.trained_rows:
        found = _method(job, cell, job.run_folder(cell, digest))
    else:
        found = {STOCK: _stock, COLOUR: _colour, UNET: _unet}[cell.row](job, cell, train_ids)
    found["counts"] |= {"num_train": len(train_ids), "num_val": len(val_ids), "num_test": len(job.test)}
    stems = [[job.dataset.pairs[i].stem for i in part] for part in (train_ids, val_ids)]
    return found | {"train": stems[0], "val": stems[1]}


def label_maps(job: Job, run: Path, indices: Sequence[int]) -> list[NDArray[np.uint8]]:
    """Label maps of a finished run on some images, for the page."""
    sam, card = _specialist(job.settings, run)
    predicted = from_images(job.dataset, indices, sam, sam.decode, threshold=card.threshold)
    return [labels for _, labels in predicted]


def _method(job: Job, cell: Cell, run: Path) -> dict[str, Any]:
    """One of samtune's methods, by an ordinary training run."""
    RunFolder(run).clear()
    _forget_cuda_peak()
    result = train(job.settings.training(cell), job.dataset.subset(job.pool), run)
    if result.stopped == "interrupted":  # half a training is no measurement
        raise KeyboardInterrupt
    memory = _memory()
    start = time.monotonic()
    sam, card = _specialist(job.settings, run)
    if touches_encoder(sam):
        predicted = from_images(job.dataset, job.test, sam, sam.decode, threshold=card.threshold)
    else:
        frozen = frozen_features(sam, job.dataset, job.test)
        predicted = from_frozen(job.dataset, frozen, sam.decode, threshold=card.threshold, device=sam.device)
    found = score(job.dataset, predicted)
    return found | {
        "counts": {"trainable": result.trainable, "updates": result.steps},
        "seconds": result.seconds | {"scoring": _since(start)},
        "memory_bytes": memory,
        "validation": result.validation,
        "stopped": result.stopped,
        "notes": [note for note in result.notes if note not in job.dataset.notes],
    }


def _stock(job: Job, cell: Cell, train_ids: Sequence[int]) -> dict[str, Any]:
    """The untouched base without prompts."""
    start = time.monotonic()
    sam = base_for(job.settings)
    frozen = frozen_features(sam, job.dataset, job.test)
    found = score(job.dataset, from_frozen(job.dataset, frozen, sam.decode, threshold=0.5, device=sam.device))
    return found | {
        "counts": {"trainable": 0, "updates": 0},
        "seconds": {"training": 0.0, "total": 0.0, "scoring": _since(start)},
        "memory_bytes": _memory(),
        "notes": [],
    }


def _colour(job: Job, cell: Cell, train_ids: Sequence[int]) -> dict[str, Any]:
    """A logistic regression on blurred colour."""
    start = time.monotonic()
    probe = fit_colour(job.dataset, train_ids)
    seconds, memory, start = _since(start), _memory(), time.monotonic()

    def decode(features: Features) -> Tensor:
        return probe.logits(Features(colour_planes(features.embedding[0])[None]))

    found = score(job.dataset, from_images(job.dataset, job.test, PixelEncoder(COLOUR_SPEC), decode, threshold=0.5))
    return found | {
        "counts": {"trainable": probe.weight.numel() + probe.bias.numel(), "updates": 0},
        "seconds": {"training": seconds, "total": seconds, "scoring": _since(start)},
        "memory_bytes": memory,
        "notes": [],
    }


def _unet(job: Job, cell: Cell, train_ids: Sequence[int]) -> dict[str, Any]:
    """A small U-Net from random weights."""
    device = choose_device(job.settings.device)
    _forget_cuda_peak()
    start = time.monotonic()
    model = train_unet(job.dataset, train_ids, seed=cell.seed, updates=job.settings.updates, device=device)
    seconds, memory, start = _since(start), _memory(), time.monotonic()

    def decode(features: Features) -> Tensor:
        logits: Tensor = model(features.embedding)
        return logits

    encoder = PixelEncoder(UNET_SPEC, device)
    found = score(job.dataset, from_images(job.dataset, job.test, encoder, decode, threshold=0.5))
    return found | {
        "counts": {"trainable": sum(p.numel() for p in model.parameters()), "updates": job.settings.updates},
        "seconds": {"training": seconds, "total": seconds, "scoring": _since(start)},
        "memory_bytes": memory,
        "notes": [],
    }


def _specialist(settings: CompareSettings, run: Path) -> tuple[Base, AdapterCard]:
    """A finished run's model where the comparison runs, computing as it was trained."""
    sam, card = load_specialist(run, load_base(settings.base, settings.side))
    device = choose_device(settings.device)
    compute_in(sam, settings.precision, device)
    return sam.to(device), card


def _memory() -> dict[str, int | None]:
    cuda = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    return {"process_peak": peak_bytes(torch.device("cpu")) or None, "cuda_peak": cuda}


def _forget_cuda_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _since(start: float) -> float:
    return round(time.monotonic() - start, 3)
