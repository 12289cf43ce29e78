"""`samtune train`."""

from __future__ import annotations

import sys
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samtune.cli.options import (
    Base,
    Device,
    ImagesOrConfig,
    Json,
    Masks,
    Side,
    method_settings,
    with_mask_options,
)
from samtune.cli.output import emit, is_main_process
from samtune.errors import ConfigError, SamTuneError
from samtune.run_folder import REPORT_FILE, RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from samtune.config import RunConfig
    from samtune.data import Dataset
    from samtune.training import TrainResult


Out = Annotated[Path | None, typer.Option("--out", metavar="RUN", help="Run folder to write; new or empty.")]
MethodName = Annotated[str | None, typer.Option(help="See `samtune methods`. Default: ptsam.")]
RecipeName = Annotated[
    str | None,
    typer.Option(
        help="auto: samtune's own, by the number of images. paper: that of the method's source. Default: auto."
    ),
]
Shots = Annotated[int | None, typer.Option(help="Use this many images in all, validation included. Default: all.")]
Val = Annotated[float | None, typer.Option(help="Share of the images kept for validation. Default: 0.25.")]
ValImages = Annotated[str | None, typer.Option(metavar="DIR", help="Images for validation alone; with --val-masks.")]
ValMasks = Annotated[str | None, typer.Option(metavar="DIR", help="Their masks.")]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random. Default: 0.")]
Updates = Annotated[int | None, typer.Option(help="Optimiser steps. Default: the method's.")]
UpdateSize = Annotated[int | None, typer.Option(help="Images in an update, over all processes. Default: the method's.")]
Accumulate = Annotated[
    int | None, typer.Option(help="Micro-batches of an update, to save memory. Default: as few as fit.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting, or method.FIELD of the method; repeat."),
]
ConfigFile = Annotated[
    Path | None, typer.Option(metavar="TOML", help="File of settings; the command line takes precedence.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Estimate memory and time on this machine, and write nothing.")]
Report = Annotated[bool, typer.Option("--report/--no-report", help=f"Write RUN/{REPORT_FILE}.")]


@with_mask_options
def train(
    images: ImagesOrConfig = None,
    masks: Masks = None,
    *,
    out: Out = None,
    method: MethodName = None,
    recipe: RecipeName = None,
    base: Base = None,
    side: Side = None,
    shots: Shots = None,
    val: Val = None,
    val_images: ValImages = None,
    val_masks: ValMasks = None,
    seed: Seed = None,
    updates: Updates = None,
    batch_size: UpdateSize = None,
    accumulate: Accumulate = None,
    set_: Set = None,
    mask_values: Any,
    device: Device = None,
    config: ConfigFile = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    report: Report = True,
    as_json: Json = False,
) -> None:
    """Train a specialist on images and masks."""
    given = {
        "images": images, "masks": masks, "val_images": val_images, "val_masks": val_masks, "method": method,
        "recipe": recipe, "base": base, "side": side, "shots": shots, "val": val, "seed": seed, "updates": updates,
        "batch_size": batch_size, "accumulate": accumulate, "device": device,
    }  # fmt: skip
    given |= mask_values
    if dry_run:
        if resume:
            raise ConfigError(
                "Expected --dry-run or --resume, got both: an estimate is of a whole run; leave one of them out."
            )
        _estimate(given, set_ or [], config, as_json=as_json)
        return
    if out is None:
        raise ConfigError("Expected --out with the run folder to write, got none; only --dry-run needs none.")
    result, write_page = run(given, set_ or [], config, out, resume=resume, report=report)
    if not as_json:
        emit({}, _text(result), as_json=False)
    try:  # print the result even if the page cannot be written
        page = None if write_page is None else write_page()
    finally:
        if as_json:
            emit(vars(result), "", as_json=True)
    if page is not None and not as_json:
        emit({}, f"Report:     {page}", as_json=False)
    if result.stopped == "interrupted":
        sys.exit(130)


def _estimate(given: dict[str, Any], words: list[str], file: Path | None, *, as_json: bool) -> None:
    """Print the estimate of a run; the arguments are those of `run`."""
    from samtune.cli.estimate_text import estimate_text
    from samtune.training import estimate_run

    whole, dataset, validation = _read(given, words, [file])
    estimate = estimate_run(whole.train, dataset, validation=validation)
    emit(vars(estimate), estimate_text(estimate), as_json=as_json)


def run(
    given: dict[str, Any], words: list[str], file: Path | None, out: Path, *, resume: bool, report: bool
) -> tuple[TrainResult, Callable[[], Path] | None]:
    """Train from flat settings.

    Args:
        given: settings of the command line; those not given are None or missing.
        words: values of --set.
        file: file of --config.
        out: run folder.
        resume: continue the run in `out`, with its settings where none are given.
        report: whether to write the page too.

    Returns:
        The result, and a function that writes the page and returns its path; None where no page is to be written.
    """
    from samtune.config import claim_run, is_cut_off
    from samtune.training import finished_result, interruptible, locked
    from samtune.training import train as train_specialist

    whole, dataset, validation = _read(given, words, [RunFolder(out).config if resume else None, file])
    with locked(out, "run") if is_main_process() else nullcontext(), interruptible():
        new = not resume
        if is_main_process():
            resume = claim_run(out, whole, resume=resume, page=report)
        else:
            resume = resume or is_cut_off(out, whole, page=report)
        try:
            result = (finished_result(out) if resume else None) or train_specialist(
                whole.train, dataset, out, validation=validation, resume=resume
            )
        except SamTuneError:
            if new and is_main_process():
                _release(out)
            raise
    has_page = report and is_main_process() and result.stopped != "interrupted"
    if not has_page or (resume and RunFolder(out).report.is_file()):
        return result, None

    def write_page() -> Path:
        from samtune.pages import write_training_page

        with locked(out, "run"):
            return write_training_page(result, validation or dataset, base=whole.train.base, device=whole.train.device)

    return result, write_page


def _read(
    given: dict[str, Any], words: list[str], files: list[Path | None]
) -> tuple[RunConfig, Dataset, Dataset | None]:
    """Return the whole configuration, the images and those for validation alone; later files take precedence."""
    from samtune.config import SETTINGS, make_config, read_config
    from samtune.data import open_dataset
    from samtune.methods import make_method
    from samtune.training import TrainSettings

    layers = [read_config(path) for path in files if path is not None]
    methods = [TrainSettings.method, *(layer["method"] for layer in layers if "method" in layer)]
    settings, fields = method_settings(words, given.get("method") or methods[-1], SETTINGS)
    if given.get("images") is not None:  # a folder on the command line comes with its own masks, or none
        layers = [{key: v for key, v in layer.items() if key not in ("images", "masks")} for layer in layers]
    fields = {key: v for layer in layers for key, v in layer.get("method_fields", {}).items()} | fields
    layers += [settings, given] + ([{"method_fields": fields}] if fields else [])
    whole = make_config(*layers)
    make_method(whole.train.method, **whole.train.method_fields)  # refuse before reading the data
    dataset = open_dataset(whole.images, whole.masks, whole.data)
    whole = replace(whole, data=dataset.options)
    validation = None
    if whole.val_images is not None:
        validation = open_dataset(whole.val_images, whole.val_masks, dataset.options, allow_empty=True)
    return whole, dataset, validation


def _release(out: Path) -> None:
    """Remove a run that failed before it had a checkpoint, so that the same command can be repeated."""
    folder = RunFolder(out)
    if not (folder.last.exists() or folder.specialist.exists()):
        with suppress(SamTuneError, OSError):
            folder.clear()


def _text(result: TrainResult) -> str:
    from samtune.adapters import read_card
    from samtune.tasks import find_task

    specialist = RunFolder(result.run).specialist
    lines = [
        f"{result.method}: {result.trainable:,} trained parameters, {result.steps} updates on "
        f"{result.num_train} images in {result.seconds.get('total', 0.0):.0f} s ({result.stopped}).",
    ]
    if result.validation:
        metric = find_task(read_card(specialist).task).headline
        names = {key: key.removesuffix("_per_image").capitalize() for key in result.validation if "_per_image" in key}
        names[metric.key] = metric.label
        scores = ", ".join(f"{name} {result.validation[key]:.3f}" for key, name in names.items())
        lines.append(f"Validation on {result.num_val} images, best update: {scores} per image.")
    lines.append(f"Specialist: {specialist}")
    return "\n".join(lines)
