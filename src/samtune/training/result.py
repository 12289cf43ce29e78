"""Result of a run: the specialist and `metrics.json` as written at its end, and as read again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from samtune.adapters import card_of, save
from samtune.errors import ConfigError, DataError
from samtune.files import write_json
from samtune.methods import trainable
from samtune.progress import say
from samtune.run_folder import METRICS_FILE, RunFolder
from samtune.training.trainer import COLLAPSE_SHARE

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.adapters import AdapterCard
    from samtune.data import Dataset, Split
    from samtune.training.trainer import Trainer


@dataclass(frozen=True)
class TrainResult:
    """Result of a run.

    Attributes:
        run: run folder.
        method: key of the method.
        trainable: number of trained parameters.
        steps: number of updates done.
        num_train: number of training images.
        num_val: number of validation images.
        seconds: wall time by phase, "features", "training" and "total", of this process alone where a run is resumed.
        validation: scores of the kept values on the validation images; empty without those.
        stopped: "finished"; "early", by patience; "interrupted"; or "diverged", where a loss, a gradient or a value was
            NaN or infinite and the best earlier values are kept.
        notes: sentences on the data, the recipe and the course of the run.
    """

    run: Path
    method: str
    trainable: int
    steps: int
    num_train: int
    num_val: int
    seconds: dict[str, float]
    validation: dict[str, float]
    stopped: str
    notes: tuple[str, ...] = ()


def finish(trainer: Trainer, dataset: Dataset, parts: Split, stopped: str, seconds: dict[str, float]) -> TrainResult:
    """Write the specialist and the result, and remove the checkpoint of a run that was not interrupted.

    Args:
        trainer: the trainer after its last update.
        dataset: the annotated images.
        parts: indices of the training, validation and test images.
        stopped: why the run ended, as in `TrainResult`.
        seconds: wall time by phase.

    Raises:
        OutputError: a file cannot be written.
    """
    folder, accelerator, progress = trainer.folder, trainer.accelerator, trainer.progress
    collapse = _collapse_notes(trainer)
    for note in collapse:
        say(note)
    diverged = [trainer.stopped_because] if trainer.stopped_because else []
    result = TrainResult(
        run=folder.path,
        method=trainer.plan.method.name,
        trainable=sum(parameter.numel() for parameter in trainable(trainer.model).values()),
        steps=progress.step,
        num_train=len(parts.train),
        num_val=0 if trainer.validation is None else len(trainer.validation.indices),
        seconds=seconds,
        validation=progress.best_scores,
        stopped=stopped,
        notes=(*dataset.notes, *parts.notes, *trainer.plan.notes, *collapse, *diverged),
    )
    if accelerator.is_main_process:
        save(trainer.model, folder.specialist, _card(trainer, dataset, parts))
        content = {key: value for key, value in vars(result).items() if key != "run"}
        plan = trainer.plan.numbers() | {"accumulate": trainer.updater.parts}
        write_json(folder.metrics, content | {"best_step": progress.best_step, "plan": plan})
        if stopped != "interrupted":
            folder.remove_last()
    accelerator.wait_for_everyone()
    return result


def _collapse_notes(trainer: Trainer) -> list[str]:
    """Return a sentence on a model that predicts, or predicted during training, (almost) only background."""
    progress = trainer.progress
    if progress.best_scores.get("predicted_share", 1.0) < COLLAPSE_SHARE:
        return [
            "Collapse: the kept model predicts (almost) only background on the validation images; try the loss "
            "balanced_bce_dice, a larger side for thin or small objects, or another learning rate."
        ]
    if progress.collapsed:
        return [
            f"Collapse: during training the model predicted (almost) only background; the kept values are those of "
            f"update {progress.best_step}."
        ]
    return []


def _card(trainer: Trainer, dataset: Dataset, parts: Split) -> AdapterCard:
    """Return the card of the specialist."""
    task = trainer.plan.task
    return replace(
        card_of(trainer.model, dataset.class_names, task=task.name, num_maps=task.num_maps(dataset.num_classes)),
        metrics=dict(trainer.progress.best_scores),
        data_fingerprint=dataset.subset(parts.train).fingerprint(),
        num_images=len(parts.train),
        recipe=trainer.plan.recipe,
        tta=trainer.plan.tta,
        mask_values=dataset.mask_values.values,
        mask_colours=dataset.mask_values.colours,
    )


def finished_result(run: Path) -> TrainResult | None:
    """Return the result of a finished run, with a message; None where the run can be continued."""
    if not RunFolder(run).metrics.is_file():
        return None
    result = read_result(run)
    if result.stopped == "interrupted":
        return None
    RunFolder(run).remove_last()  # left by a kill just before its removal
    say(f"The run in {run} is finished; there is nothing to resume.")
    return result


def read_result(run: Path) -> TrainResult:
    """Return the result of a run from its `metrics.json`.

    Raises:
        ConfigError: the file is missing, since training has not ended.
        DataError: the file is damaged.
    """
    folder = RunFolder(run)
    if not folder.metrics.is_file():
        raise ConfigError(
            f"Expected a finished run in {run}, got a folder without {METRICS_FILE}; train, or continue with --resume."
        )
    stored = folder.read_metrics()
    names = [name for name in TrainResult.__dataclass_fields__ if name != "run"]
    try:
        values = {name: stored[name] for name in names} | {"notes": tuple(stored["notes"])}
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{folder.metrics} is damaged ({error} is missing); restore the file, or train again in a new folder."
        ) from error
    return TrainResult(run=run, **values)
