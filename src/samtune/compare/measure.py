"""One cell: train a row on its draw and score it on the test images, in a process of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

from samtune.adapters import load_specialist
from samtune.bases import Base
from samtune.compare.baselines import COLOUR_SPEC, UNET_SPEC, colour_planes, fit_colour, train_unet
from samtune.compare.features import base_for, frozen_features
from samtune.compare.scoring import from_frozen, from_images, score
from samtune.compare.settings import Cell, CompareSettings
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
    from samtune.compare.job import Job


def measure(job: Job, cell: Cell, digest: str) -> dict[str, Any]:
    """Train and score one cell.

    Args:
        job: the comparison.
        cell: the cell.
        digest: digest of its configuration, which names its run folder.

    Returns:
        "counts", "seconds", "memory_bytes", "metrics", "per_image", "validation", "notes", "train", "val".
    """
    train_ids, val_ids = ((), ()) if cell.row == STOCK else job.support(cell)
    if cell.row in job.settings.trained_rows:
        scores = _method(job, cell, job.run_folder(cell, digest))
    else:
        scores = {STOCK: _stock, COLOUR: _colour, UNET: _unet}[cell.row](job, cell, train_ids)
    scores["counts"] |= {"num_train": len(train_ids), "num_val": len(val_ids), "num_test": len(job.test)}
    stems = [[job.dataset.pairs[i].stem for i in part] for part in (train_ids, val_ids)]
    return scores | {"train": stems[0], "val": stems[1]}


def label_maps(job: Job, run: Path, indices: Sequence[int]) -> list[NDArray[np.uint8]]:
    """Return the labels (H, W) of a finished run's answers for some images, at each image's size."""
    model, card = _specialist(job.settings, run)
    predicted = from_images(job.dataset, indices, job.task, model, model.decode, threshold=card.threshold)
    return [labels for _, labels in predicted]


def _method(job: Job, cell: Cell, run: Path) -> dict[str, Any]:
    """Measure a method by an ordinary training run."""
    RunFolder(run).clear()
    _reset_cuda_peak()
    result = train(job.settings.training(cell), job.dataset.subset(job.pool), run)
    if result.stopped == "interrupted":  # an unfinished training must not be recorded
        raise KeyboardInterrupt
    memory = _memory()
    start = time.monotonic()
    model, card = _specialist(job.settings, run)
    if touches_encoder(model):
        predicted = from_images(job.dataset, job.test, job.task, model, model.decode, threshold=card.threshold)
    else:
        frozen = frozen_features(model, job.dataset, job.test, job.task)
        predicted = from_frozen(job.dataset, frozen, model.decode, threshold=card.threshold, device=model.device)
    scores = score(job.dataset, job.task, predicted)
    return scores | {
        "counts": {"trainable": result.trainable, "updates": result.steps},
        "seconds": result.seconds | {"scoring": _since(start)},
        "memory_bytes": memory,
        "validation": result.validation,
        "stopped": result.stopped,
        "notes": [note for note in result.notes if note not in job.dataset.notes],
    }


def _stock(job: Job, cell: Cell, train_ids: Sequence[int]) -> dict[str, Any]:
    """Measure the untouched base without prompts."""
    start = time.monotonic()
    base = base_for(job.settings)
    frozen = frozen_features(base, job.dataset, job.test, job.task)
    predicted = from_frozen(job.dataset, frozen, base.decode, threshold=0.5, device=base.device)
    scores = score(job.dataset, job.task, predicted)
    return scores | _baseline(trainable=0, updates=0, training_s=0.0, scoring_s=_since(start), memory=_memory())


def _colour(job: Job, cell: Cell, train_ids: Sequence[int]) -> dict[str, Any]:
    """Measure a logistic regression on blurred colour."""
    start = time.monotonic()
    probe = fit_colour(job.dataset, train_ids, job.task)
    seconds, memory, start = _since(start), _memory(), time.monotonic()

    def decode(features: Features) -> Tensor:
        return probe.logits(Features(colour_planes(features.embedding[0])[None]))

    encoder = PixelEncoder(COLOUR_SPEC)
    predicted = from_images(job.dataset, job.test, job.task, encoder, decode, threshold=0.5)
    scores = score(job.dataset, job.task, predicted)
    trainable = probe.weight.numel() + probe.bias.numel()
    return scores | _baseline(
        trainable=trainable, updates=0, training_s=seconds, scoring_s=_since(start), memory=memory
    )


def _unet(job: Job, cell: Cell, train_ids: Sequence[int]) -> dict[str, Any]:
    """Measure a small U-Net trained from random weights."""
    device = choose_device(job.settings.device)
    _reset_cuda_peak()
    start = time.monotonic()
    model = train_unet(job.dataset, train_ids, job.task, seed=cell.seed, updates=job.settings.updates, device=device)
    seconds, memory, start = _since(start), _memory(), time.monotonic()

    def decode(features: Features) -> Tensor:
        logits: Tensor = model(features.embedding)
        return logits

    encoder = PixelEncoder(UNET_SPEC, device)
    predicted = from_images(job.dataset, job.test, job.task, encoder, decode, threshold=0.5)
    scores = score(job.dataset, job.task, predicted)
    trainable, updates = sum(p.numel() for p in model.parameters()), job.settings.updates
    return scores | _baseline(
        trainable=trainable, updates=updates, training_s=seconds, scoring_s=_since(start), memory=memory
    )


def _baseline(
    *, trainable: int, updates: int, training_s: float, scoring_s: float, memory: dict[str, int | None]
) -> dict[str, Any]:
    """Return the part of a baseline's record that is not about its scores."""
    return {
        "counts": {"trainable": trainable, "updates": updates},
        "seconds": {"training": training_s, "total": training_s, "scoring": scoring_s},
        "memory_bytes": memory,
        "notes": [],
    }


def _specialist(settings: CompareSettings, run: Path) -> tuple[Base, AdapterCard]:
    """Load a finished run's model and card, on the comparison's device and in its precision."""
    return load_specialist(run, settings.base, device=choose_device(settings.device), precision=settings.precision)


def _memory() -> dict[str, int | None]:
    cuda = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    return {"process_peak": peak_bytes(torch.device("cpu")) or None, "cuda_peak": cuda}


def _reset_cuda_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _since(start: float) -> float:
    return round(time.monotonic() - start, 3)
