"""`samtune demo`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from samtune.cli.options import Json
from samtune.cli.output import emit
from samtune.errors import ConfigError
from samtune.text import count

MARK = ".samtune-demo"
FOLDERS = {"training": "samples", "held_out": "samples", "predictions": "predictions"}
"""Folder -> kind of its files in the list of files that samtune wrote."""

RUN = "run"
PARTS = (*FOLDERS, RUN)
NUM_TRAINING, NUM_HELD_OUT = 16, 24


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")] = Path("demo-run"),
    kind: Annotated[str, typer.Option("--kind", help="cells, cracks or polyps.")] = "cracks",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the images and of training.")] = 0,
    base: Annotated[str, typer.Option("--base", metavar="NAME", help="Base model; nano is built in.")] = "nano",
    as_json: Json = False,
) -> None:
    """Train, evaluate and predict on generated images, offline, and write a report; takes about a minute."""
    start = time.monotonic()
    from samtune.metrics import row_name

    _claim(out)
    content = _run(out, kind, seed, base)
    content["seconds"] = round(time.monotonic() - start, 1)
    rows = content["evaluation"]["rows"]
    scores = ", ".join(f"{row_name(name).phrase} {row['iou_per_image']:.3f}" for name, row in rows.items())
    text = (
        f"IoU per image on {NUM_HELD_OUT} images that training never saw: {scores}.\n"
        f"Masks:  {out / 'predictions'}\n"
        f"Report: {content['report']}\n"
        f"Total: {content['seconds']:.0f} s. With your own images: samtune train IMAGES MASKS --out RUN"
    )
    emit(content, text, as_json=as_json)


def _claim(out: Path) -> None:
    """Claim the folder: new, empty, or an earlier demo, whose files are removed.

    Raises:
        ConfigError: the folder holds other files, or changed files of an earlier demo.
    """
    from samtune.outputs import OutputFolder
    from samtune.run_folder import RunFolder

    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise ConfigError(
            f"Expected a new or empty folder or an earlier demo for --out, got {out} with other files; choose another."
        )
    OutputFolder(out, "demo").claim([MARK])
    folders = {part: OutputFolder(out / part, kind) for part, kind in FOLDERS.items()}
    run = RunFolder(out / RUN)
    foreign = [f"{part}/{name}" for part, folder in folders.items() for name in folder.foreign()]
    foreign += [f"{RUN}/{name}" for name in run.foreign()]
    if foreign:
        raise ConfigError(
            f"{out} is an earlier demo with {count(len(foreign), 'file')} that samtune did not write or that changed "
            f"since, such as {foreign[0]}; choose another --out."
        )
    for folder in folders.values():
        folder.clear()
    run.clear()
    OutputFolder(out, "demo").write_text(MARK, "samtune demo replaces the folders " + ", ".join(PARTS) + "\n")


def _run(out: Path, kind: str, seed: int, base: str) -> dict[str, Any]:
    from samtune.cli.train_verb import run as train
    from samtune.data import DataOptions, make_samples, open_dataset
    from samtune.pages import write_evaluation_page
    from samtune.predict import evaluate, load_predictor, predict_folder
    from samtune.progress import say

    say(f"1. Generating {NUM_TRAINING} images of {kind} to train on and {NUM_HELD_OUT} to hold out.")
    images, masks = make_samples(kind, out / "training", num=NUM_TRAINING, seed=seed)
    held_images, held_masks = make_samples(kind, out / "held_out", num=NUM_HELD_OUT, seed=seed + 1_000_003)
    say(f"2. Training ptsam on {base}: a few prompt tokens are learned, all else stays frozen.")
    given = {
        "images": str(images), "masks": str(masks), "base": base, "seed": seed, "class_names": (kind,),
        "tta": "none",  # eight views of each image would double the demo's time
    }  # fmt: skip
    run = out / RUN
    result, _ = train(given, [], None, run, resume=False, report=False)
    if result.stopped == "interrupted":
        sys.exit(130)
    say(f"   {result.trainable:,} trained parameters, {result.seconds['total']:.0f} s.")
    say("3. Evaluating on the held-out images, beside stock SAM and a probe on its features.")
    held_out = open_dataset(held_images, held_masks, DataOptions(class_names=(kind,)))
    evaluation = evaluate(run, held_out, base=base)
    say("4. Predicting the held-out images, and writing the report.")
    predict_folder(load_predictor(run, base), [held_images], out / "predictions", overlays=True)
    report = write_evaluation_page(run, evaluation, held_out, where=str(held_images), base=base)
    return {
        "run": str(run),
        "kind": kind,
        "trainable": result.trainable,
        "validation": result.validation,
        "evaluation": evaluation.to_json(),
        "predictions": str(out / "predictions"),
        "report": str(report),
    }
