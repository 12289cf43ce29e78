"""Training of a specialist: `train` turns settings and a dataset into a run folder.

split -> base -> probe on the frozen features -> adapt -> features once, if the method leaves the encoder alone
-> the loop (`trainer.py`) -> specialist/, metrics.json (`result.py`)
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from accelerate.utils import gather_object

from samtune.adapters import saving_to
from samtune.data import split as split_dataset
from samtune.data.presence import undecided_notes
from samtune.data.stratify import class_notes
from samtune.errors import DataError, OutputError
from samtune.files import make_folder, write_json
from samtune.methods import StartsFromData, fit_probe
from samtune.progress import say
from samtune.run_folder import RunFolder
from samtune.system import session_record
from samtune.tasks import find_task
from samtune.training.data_record import check_data, data_record
from samtune.training.features import (
    CachedFeatures,
    FreshPixels,
    encode_views,
)
from samtune.training.interruption import check, interruptible
from samtune.training.lock import locked
from samtune.training.micro_batch import choose_parts
from samtune.training.recipe import method_of
from samtune.training.result import TrainResult, finish, finished_result
from samtune.training.setup import accelerator_of, adapt_base, autocast_of, base_and_plan, views_of
from samtune.training.trainer import Trainer
from samtune.training.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from accelerate import Accelerator
    from torch import Tensor

    from samtune.bases import Base
    from samtune.data import Dataset, Split
    from samtune.tasks import Task
    from samtune.training.settings import TrainSettings


@dataclass
class _Clock:
    """Wall time by phase."""

    start: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        before = time.monotonic()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - before, 3)

    def all(self) -> dict[str, float]:
        return self.seconds | {"total": round(time.monotonic() - self.start, 3)}


def train(
    settings: TrainSettings,
    dataset: Dataset,
    run: Path,
    *,
    validation: Dataset | None = None,
    resume: bool = False,
) -> TrainResult:
    """Train a specialist.

    Args:
        settings: settings of the run.
        dataset: annotated images; split into training and validation images unless `validation` is given.
        run: run folder; created if missing.
        validation: images for validation alone, of the same classes.
        resume: continue from the last checkpoint of the run; without a checkpoint the run starts anew.

    Ctrl-C and SIGTERM stop the run after the current update, or before the next validation image, and keep the best
    values so far; resumed, the run gives the result of an uninterrupted one. A second Ctrl-C stops at once, and the run
    can be resumed from its last checkpoint.

    Returns:
        The result; the specialist is in `run/specialist`.

    Raises:
        ConfigError: settings contradict each other or the method, or differ from those of the run to resume; or
            another process is writing to the run folder.
        Diverged: a ConfigError; training diverged before the first evaluation.
        DataError: there is no training image, the validation images have other classes, the data changed since the run
            was started, or a file of the run is damaged.
        WeightsError: the base cannot be loaded, or the checkpoint is damaged.
        KeyboardInterrupt: Ctrl-C or SIGTERM before the first update, or twice.
    """
    accelerator = accelerator_of(settings)
    finished = finished_result(run) if resume else None
    if finished is not None:
        return finished
    with interruptible(), locked(run, "run") if accelerator.is_main_process else nullcontext():
        try:
            return _train(settings, dataset, RunFolder(run), accelerator, validation, resume)
        except KeyboardInterrupt:
            say("Interrupted; --resume continues the run.")
            raise


def _train(
    settings: TrainSettings, dataset: Dataset, folder: RunFolder, accelerator: Accelerator,
    validation: Dataset | None, resume: bool,
) -> TrainResult:  # fmt: skip
    """Train in a folder that this process has locked."""
    clock = _Clock()
    make_folder(folder.path)
    if accelerator.is_main_process:
        _check_specialist(folder)
    task = find_task(settings.task)
    num_maps = task.num_maps(len(dataset.class_names))
    method_of(settings, num_maps)  # refuse before anything is written
    parts = _parts(settings, dataset, validation, folder, accelerator, resume)
    model, plan = base_and_plan(settings, dataset, parts, accelerator)
    views, sample = views_of(model, plan, dataset, parts.train)
    with clock.phase("features"):
        frozen = CachedFeatures.of(model, views)
        first = frozen if sample is views else CachedFeatures.of(model, sample)
        embedding, labels = _first_features(first, model, task, accelerator)
        if accelerator.is_main_process:
            fit_probe(embedding, labels, num_maps).save(folder.probe)
    check()
    adapt_base(model, plan, num_maps)
    with clock.phase("features"):
        source = frozen if plan.cached else FreshPixels(views)
        if plan.cached:
            _encode(frozen, model, range(plan.views), accelerator)
        if isinstance(plan.method, StartsFromData):
            plan.method.start(model, embedding.to(model.device), labels, seed=plan.seed)
        del embedding, labels
    check()
    encoder = model.encoder_id if plan.cached else None
    trainer = Trainer(
        model=model,
        source=source,
        validation=_validation(task, parts, dataset, validation, accelerator, encoder),
        plan=plan,
        autocast=autocast_of(settings, model),
        accelerator=accelerator,
        folder=folder,
        checkpoint_every_s=settings.checkpoint_every_s,
        settings=_plain(settings) | {"base": model.sha256},
    )
    _begin(trainer, resume)
    if not trainer.progress.parts and not settings.accumulate:
        trainer.updater.parts = _parts_of_an_update(trainer, num_maps)
    with clock.phase("training"):
        stopped = trainer.run()
    return finish(trainer, dataset, parts, stopped, clock.all())


def _begin(trainer: Trainer, resume: bool) -> None:
    """Continue from the last checkpoint, or remove what an earlier run left in the folder; record the session."""
    folder = trainer.folder
    if resume and trainer.resume():
        say(f"Resuming after update {trainer.progress.step} of {trainer.plan.updates}.")
    elif not resume and trainer.accelerator.is_main_process:
        folder.remove_last()
        folder.metrics.unlink(missing_ok=True)
        folder.cut_history(0)
    if trainer.accelerator.is_main_process:  # only now: a refused resume leaves the folder as it was
        record = session_record(trainer.accelerator.device) | {"after_update": trainer.progress.step}
        folder.add_session(record, is_first=not resume)


def _check_specialist(folder: RunFolder) -> None:
    """Raise OutputError where the specialist could not be written after training."""
    try:
        saving_to(folder.specialist)
    except OutputError as error:
        raise OutputError(
            f"{str(error).partition('; choose')[0]}; move files to keep to another folder, and delete "
            f"{folder.specialist}."
        ) from error


def _plain(settings: TrainSettings) -> dict[str, Any]:
    """Return the settings as JSON values."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(settings), default=str))
    return values


def _parts(
    settings: TrainSettings, dataset: Dataset, validation: Dataset | None, folder: RunFolder, accelerator: Accelerator,
    resume: bool,
) -> Split:  # fmt: skip
    """Split the images, and record the split in the run folder or compare it with the record there."""
    if validation is not None and len(validation.class_names) != len(dataset.class_names):
        raise DataError(
            f"Expected the same classes in training and validation masks, got {list(dataset.class_names)} and "
            f"{list(validation.class_names)}."
        )
    parts = split_dataset(
        dataset, shots=settings.shots, val=0 if validation is not None else settings.val, seed=settings.seed
    )
    if validation is not None:
        indices = tuple(range(len(validation)))
        notes = (*class_notes(validation, (), indices), *undecided_notes(validation, indices))
        parts = replace(parts, notes=(*parts.notes, *notes))
    for note in parts.notes:
        say(note)
    if accelerator.is_main_process:
        record = data_record(dataset, parts, validation)
        if resume and folder.split.is_file():
            check_data(folder.read_split(), record, folder.split)
        else:
            write_json(folder.split, record)
    return parts


def _encode(features: CachedFeatures, base: Base, numbers: range | list[int], accelerator: Accelerator) -> None:
    """Compute the frozen features of the views, shared between the processes."""
    encode_views(features, base, numbers, rank=accelerator.process_index, num_processes=accelerator.num_processes)
    accelerator.wait_for_everyone()


def _first_features(
    features: CachedFeatures, base: Base, task: Task, accelerator: Accelerator
) -> tuple[Tensor, Tensor]:
    """Return the frozen embedding and the label map of the first view of each image, computing what is missing.

    Returns:
        Embedding (N, C, H, W), and label maps uint8 (N, side, side) of the task.
    """
    _encode(features, base, [0], accelerator)
    loaded, annotations = features.load([(item, 0) for item in range(len(features.views))])
    return loaded.embedding, task.label_maps(annotations)


def _parts_of_an_update(trainer: Trainer, num_maps: int) -> int:
    """Return the fewest micro-batches that fit into memory, the same number in all processes."""
    accelerator, plan = trainer.accelerator, trainer.plan
    parts = choose_parts(
        trainer.model, plan, plan.batch_size // accelerator.num_processes, num_classes=num_maps,
        autocast=trainer.autocast,
        kept_bytes=trainer.kept_bytes(),
    )  # fmt: skip
    return max(gather_object([parts])) if accelerator.num_processes > 1 else parts


def _validation(
    task: Task,
    parts: Split,
    dataset: Dataset,
    validation: Dataset | None,
    accelerator: Accelerator,
    encoder: str | None,
) -> Validation | None:
    """Return the validation images, None without any; `encoder` as in `Validation`."""
    indices = parts.val if validation is None else tuple(range(len(validation)))
    if not indices:
        say("There are no validation images: the last values are kept, and the run does not stop early.")
        return None
    rank, world = accelerator.process_index, accelerator.num_processes
    return Validation(validation or dataset, task, indices, encoder, rank, world)
