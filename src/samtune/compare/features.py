"""Frozen features that cells share, computed before the first cell for the views that they will need."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from samtune.bases import Base, load_base
from samtune.compare.settings import Cell
from samtune.data.views.augmentation import AUGMENTATIONS
from samtune.data.views.orientation import find_orientation
from samtune.errors import SamTuneError
from samtune.system.device import choose_device
from samtune.training.features import CachedFeatures, Views, encode_views
from samtune.training.memory import rough_run_bytes
from samtune.training.plan import Facts, needs_orientation, resolve
from samtune.training.recipe import method_of
from samtune.training.setup import cell_pixels, effects_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from samtune.compare.job import Job
    from samtune.compare.settings import CompareSettings
    from samtune.data import Augmentation, Dataset
    from samtune.tasks import Task
    from samtune.training.plan import Plan
    from samtune.types import ImageSpec


def base_for(settings: CompareSettings) -> Base:
    """Load the base on the comparison's device, with the encoder in the precision of the trainings."""
    device = choose_device(settings.device)
    return load_base(settings.base, settings.side, device=device, precision=settings.precision).eval()


def prepare(job: Job) -> dict[str, Any]:
    """Compute the frozen features that cells will need: of the test images, and of the training views.

    Returns:
        "num_encoded": number of views encoded now, 0 where all were on disk; "seconds"; "base_sha256"; "touches":
        row -> whether it changes the encoder; "need_bytes": row -> rough memory of a cell in bytes.
    """
    settings, num_maps = job.settings, job.task.num_maps(job.dataset.num_classes)
    base = base_for(settings)
    plans = plans_of(job, base)
    most = max(settings.shots)
    rows = {row: plans.get(Cell(row, most, 0)) for row in settings.rows}
    start = time.monotonic()
    num = 0
    for views, count in _shared_views(job, base.spec, plans):
        num += encode_views(CachedFeatures.of(base, views), base, range(count))
    return {
        "num_encoded": num,
        "seconds": round(time.monotonic() - start, 3),
        "base_sha256": base.sha256,
        "touches": {row: plan is None or not plan.cached for row, plan in rows.items() if row in settings.trained_rows},
        "need_bytes": {
            row: rough_run_bytes(base, plan, shots=most, num_classes=num_maps) for row, plan in rows.items()
        },
    }


def plans_of(job: Job, base: Base) -> dict[Cell, Plan]:
    """Return the plan of each cell that trains a method; cells with invalid settings are left out and fail later."""
    settings, num_classes = job.settings, job.dataset.num_classes
    orientation_of = cache(partial(find_orientation, job.dataset))  # the rows share their draws
    num_maps = job.task.num_maps(num_classes)
    effects = cache(lambda row: effects_of(base, method_of(settings.training(Cell(row, 1, 0)), num_maps), num_maps))
    plans = {}
    for cell in settings.cells(num_classes):
        if cell.row not in settings.trained_rows:
            continue
        training, (train, val) = settings.training(cell), job.support(cell)
        try:
            touches, own_loss = effects(cell.row)
            facts = Facts(
                num_images=len(train),
                num_classes=num_classes,
                touches_encoder=touches,
                has_own_loss=own_loss,
                cell_pixels=cell_pixels(base),
                orientation=orientation_of(train + val) if needs_orientation(training) else None,
            )
            plans[cell] = resolve(training, facts)
        except SamTuneError:
            continue
    return plans


def frozen_features(model: Base, dataset: Dataset, indices: Sequence[int], task: Task) -> CachedFeatures:
    """Return the features of images without augmentation, after computing those that are not on disk.

    Args:
        model: a model whose encoder is the base's.
        dataset: images.
        indices: indices of the images.
        task: what is read of their masks.
    """
    frozen = CachedFeatures.of(model, Views(dataset, tuple(indices), model.spec, task))
    encode_views(frozen, model, [0])
    return frozen


def _shared_views(job: Job, spec: ImageSpec, plans: Mapping[Cell, Plan]) -> Iterator[tuple[Views, int]]:
    """Yield images with the number of views of each that some cell needs; a view may be yielded twice."""
    squares = {plan.square for plan in plans.values() if plan.cached}
    num_maps = job.task.num_maps(job.dataset.num_classes)
    for square in sorted(squares | ({False} if num_maps == 1 else set())):  # stock SAM pads its images
        yield Views(job.dataset, job.test, replace(spec, fit="squash" if square else "pad"), job.task), 1
    num_views: dict[tuple[bool, str], dict[int, int]] = {}
    for cell, plan in plans.items():
        counts = num_views.setdefault((plan.square, plan.augmentation), {})
        for index in job.support(cell)[0]:  # the probe needs the image itself, even without cached features
            counts[index] = max(plan.views if plan.cached else 1, counts.get(index, 0))
    for (square, name), counts in num_views.items():
        augmentation: Augmentation = AUGMENTATIONS[name]
        for count in sorted(set(counts.values())):
            indices = tuple(sorted(index for index, own in counts.items() if own == count))
            own = replace(spec, fit="squash" if square else "pad")
            yield Views(job.dataset, indices, own, job.task, augmentation), count
