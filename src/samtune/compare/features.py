"""The frozen features that cells share: computed before the first cell, as the trainings will ask for them."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from samtune.bases import Base, load_base
from samtune.compare.memory import needed_bytes
from samtune.compare.settings import Cell
from samtune.data.views.augmentation import AUGMENTATIONS
from samtune.data.views.orientation import find_orientation
from samtune.errors import SamTuneError
from samtune.methods import adapt, touches_encoder
from samtune.system.device import choose_device
from samtune.training.features import CachedFeatures, Views, encode_views
from samtune.training.recipe import choose_recipe, settle_views
from samtune.training.settings import augmentation_of, num_views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from samtune.compare.job import Job
    from samtune.compare.settings import CompareSettings
    from samtune.data import Augmentation, Dataset
    from samtune.data.views.orientation import Orientation
    from samtune.methods import Method
    from samtune.training.recipe import Chosen
    from samtune.types import ImageSpec


def base_for(settings: CompareSettings) -> Base:
    """Load the base on the comparison's device, its encoder computing in the type of the trainings."""
    device = choose_device(settings.device)
    return load_base(settings.base, settings.side, device=device, precision=settings.precision).eval()


def prepare(job: Job) -> dict[str, Any]:
    """Compute the frozen features that cells will ask for: of the test images, and of the training views.

    Returns:
        "num_encoded" views encoded now (0 where all were there), "seconds", "base_sha256", "touches": row -> whether
        it changes the encoder, and "need_bytes": row -> the memory that a cell of it may take (`memory.needed_bytes`).
    """
    settings, num_classes = job.settings, job.dataset.num_classes
    sam = base_for(settings)
    cells = {row: Cell(row, max(settings.shots), 0) for row in settings.trained_rows}
    chosen = {row: choose_recipe(settings.training(cell), num_classes) for row, cell in cells.items()}
    touches = {row: _touches(sam, each.method, num_classes) for row, each in chosen.items()}
    start = time.monotonic()
    num = 0
    for views, count in _wanted(job, sam.spec, chosen, touches):
        num += encode_views(CachedFeatures.of(sam, views), sam, range(count))
    return {
        "num_encoded": num,
        "seconds": round(time.monotonic() - start, 3),
        "base_sha256": sam.sha256,
        "touches": touches,
        "need_bytes": {row: needed_bytes(sam, settings, row, chosen.get(row), touches.get(row, False))
                       for row in settings.rows},
    }  # fmt: skip


def frozen_features(sam: Base, dataset: Dataset, indices: Sequence[int]) -> CachedFeatures:
    """The features of images as they are, computed where they are not on disk.

    Args:
        sam: a model whose encoder is the base's.
        dataset: images.
        indices: which of them.
    """
    frozen = CachedFeatures.of(sam, Views(dataset, tuple(indices), sam.spec))
    encode_views(frozen, sam, [0])
    return frozen


def _wanted(
    job: Job, spec: ImageSpec, chosen: dict[str, Chosen], touches: dict[str, bool]
) -> Iterator[tuple[Views, int]]:
    """Images with the number of views that some cell asks for; the same view may be asked for twice."""
    squares = {chosen[row].square for row in chosen if not touches[row]}
    for square in sorted(squares | ({False} if job.dataset.num_classes == 1 else set())):  # stock SAM sees no squares
        yield Views(job.dataset, job.test, replace(spec, fit="squash" if square else "pad")), 1
    look = cache(partial(find_orientation, job.dataset))  # the rows share their draws
    wanted: dict[tuple[bool, str], dict[int, int]] = {}
    for cell in job.settings.cells(job.dataset.num_classes):
        if cell.row not in chosen:
            continue
        train, val = job.support(cell)
        plan, counts = _views_of(job, cell, chosen[cell.row], partial(look, train + val), cached=not touches[cell.row])
        for index in train:
            known = wanted.setdefault(plan, {})
            known[index] = max(counts, known.get(index, 0))
    for (square, name), images in wanted.items():
        augmentation: Augmentation = AUGMENTATIONS[name]
        for count in sorted(set(images.values())):
            indices = tuple(sorted(index for index, own in images.items() if own == count))
            yield Views(job.dataset, indices, replace(spec, fit="squash" if square else "pad"), augmentation), count


def _views_of(
    job: Job, cell: Cell, chosen: Chosen, look: Callable[[], Orientation], *, cached: bool
) -> tuple[tuple[bool, str], int]:
    """What a training encodes of each image: without cached features only the image as it is, for its probe."""
    training = job.settings.training(cell)
    chosen = settle_views(training, chosen, look, tell=False)
    count = num_views(training, chosen.recipe, cached=True) if cached else 1
    return (chosen.square, augmentation_of(training, chosen.recipe)), count


def _touches(sam: Base, method: Method, num_classes: int) -> bool:
    """Whether a method changes the encoder, told on a copy of the base; one that does not fit fails in its cells."""
    try:
        return touches_encoder(adapt(deepcopy(sam), method, num_classes=num_classes))
    except SamTuneError:
        return True
