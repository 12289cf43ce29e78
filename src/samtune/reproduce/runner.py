"""Training and scoring of the cells that can be computed; finished runs and scores are reused, failed ones reported.

OUT/runs/METHOD-TRAIN-sSEED/          a run folder as `samtune train` leaves it
OUT/scores/METHOD-TEST-sSEED.json     all values of one evaluation, or its error
OUT/reproduce.csv                     the table
"""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtune import __version__
from samtune.config import RunConfig, claim_run
from samtune.data import open_dataset
from samtune.errors import ConfigError, DataError, OutputError
from samtune.metrics.rows import SPECIALIST
from samtune.outputs import OutputFolder
from samtune.predict import evaluate
from samtune.progress import say
from samtune.run_folder import RunFolder
from samtune.training import TrainSettings, finished_result, interruptible, locked, train

if TYPE_CHECKING:
    from samtune.data import Dataset
    from samtune.reproduce.columns import Column
    from samtune.reproduce.plan import Cell, Plan

CSV_FILE = "reproduce.csv"

VALIDATION = 0.1
"""Share of the training images for validation, where the data names no validation part."""


@dataclass(frozen=True)
class RunSettings:
    """Settings of a reproduction.

    Attributes:
        seeds: number of seeds; they count from 0.
        device: "cpu", "cuda", or None for CUDA where available.
        settings: fields of `TrainSettings` that override those of the paper.
        method_fields: hyper-parameters by method.
    """

    seeds: int = 3
    device: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    method_fields: dict[str, dict[str, Any]] = field(default_factory=dict)


def paper_settings(method: str, column: Column, base: str, seed: int, choices: RunSettings) -> TrainSettings:
    """Return the settings of one training: the paper's recipe with the user's overrides.

    Raises:
        ConfigError: a setting is unknown, out of range, or fixed by the table.
    """
    allowed = {f.name for f in fields(TrainSettings)} - {"method", "base", "seed"}
    wrong = [name for name in choices.settings if name not in allowed]
    if wrong:
        raise ConfigError(
            f"Expected training settings other than method, base and seed in --set, got {', '.join(wrong)}."
        )
    values: dict[str, Any] = {
        "method": method, "base": base, "seed": seed, "shots": column.shots, "device": choices.device,
        "val": 0.25 if column.shots else VALIDATION, "recipe": "paper",
    }  # fmt: skip
    own = choices.method_fields.get(method)
    return TrainSettings(**(values | choices.settings | ({"method_fields": own} if own else {})))


def run_plan(plan: Plan, folder: Path, choices: RunSettings, *, overwrite: bool = False) -> dict[str, Any]:
    """Compute every cell that can be computed, and write the table with the published numbers as CSV.

    Finished runs and scores in `folder` are reused, and a run that was cut off is resumed.

    Args:
        plan: cells to compute.
        folder: folder of the reproduction; created if missing.
        choices: seeds, device and settings.
        overwrite: also replace files in the folder that samtune did not write.

    Returns:
        `plan.to_json()` with these keys in each cell: `ours`, mean over seeds in the paper's unit, None without a
        score; `ours_std_error`, its standard error, None with fewer than two seeds; `num_seeds`; `errors`.

    Raises:
        ConfigError: the folder holds a run.
        OutputError: a file would replace one that samtune did not write, or cannot be written.
    """
    if RunFolder(folder).holds_run():
        raise ConfigError(f"Expected a folder for runs and scores, got the run folder {folder}; choose another --out.")
    with interruptible(), locked(folder, "reproduction"):
        return _run_plan(plan, OutputFolder(folder, "reproduction", overwrite=overwrite), choices)


def _run_plan(plan: Plan, out: OutputFolder, choices: RunSettings) -> dict[str, Any]:
    """Run `run_plan` in a folder that this process has locked."""
    out.claim([CSV_FILE])
    scores: dict[tuple[str, str, str | None, int], dict[str, Any]] = {}
    for cell in plan.cells:
        if not cell.runs or cell.method is None:
            continue
        for seed in range(choices.seeds):
            key = (cell.method, cell.column.test, cell.column.folder, seed)
            if key not in scores:
                scores[key] = _score(cell, plan, out, seed, choices)
    content = plan.to_json()
    for cell, row in zip(plan.cells, content["cells"], strict=True):
        row |= _our_number(cell, scores, choices.seeds)
    header = list(content["cells"][0])
    out.write_csv(CSV_FILE, [header, *([row.get(key, "") for key in header] for row in content["cells"])])
    return content


def _our_number(
    cell: Cell, scores: dict[tuple[str, str, str | None, int], dict[str, Any]], num_seeds: int
) -> dict[str, Any]:
    """Return our number for a cell in the unit of the paper, its standard error, and errors; see `run_plan`."""
    keys = [(cell.method or "", cell.column.test, cell.column.folder, seed) for seed in range(num_seeds)]
    stored = [scores[key] for key in keys if key in scores]
    raw = [score["values"].get(cell.column.measure) for score in stored if "values" in score]
    values = [value * cell.column.scale for value in raw if value is not None]
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {
        "ours": statistics.fmean(values) if values else None,
        "ours_std_error": error,
        "num_seeds": len(values),
        "errors": [score["error"] for score in stored if "error" in score],
    }


def _score(cell: Cell, plan: Plan, out: OutputFolder, seed: int, choices: RunSettings) -> dict[str, Any]:
    """Train and evaluate what a cell needs, or read its stored score."""
    column, method = cell.column, str(cell.method)
    test = "-".join(word for word in (column.test.replace("/", "-"), column.folder) if word)
    name = f"scores/{method}-{test}-s{seed}.json"
    file = out.path / name
    settings = paper_settings(method, column, plan.base, seed, choices)
    record = {"samtune": __version__, "settings": _plain(settings), "protocol": column.protocol, "at": column.at}
    if file.is_file():
        stored = _read(file)
        if "values" in stored and stored.get("settings") == record["settings"]:
            return stored
    out.claim([name])
    say(f"{method} trained on {column.train}, scored on {test}, seed {seed}.")
    try:
        run = _train(settings, column, plan, out.path / "runs" / f"{method}-{column.train.replace('/', '-')}-s{seed}")
        dataset = _test_set(column, plan.data)
        overlapping = column.train == column.test
        evaluation = evaluate(
            run, dataset, base=plan.base, unseen=overlapping, protocol=column.protocol, at=column.at,
            device=choices.device, tell=False,
        )  # fmt: skip
        values = evaluation.to_json()["rows"][SPECIALIST]
        score: dict[str, Any] = record | {
            "num_images": evaluation.num_images,
            "values": values,
            "notes": list(evaluation.notes),
        }
    except OutputError:  # the next cells would fail on the same disk
        raise
    except Exception as error:  # the table reports it, and the other cells go on
        say(f"Failed: {error}")
        score = record | {"error": f"{type(error).__name__}: {error}"}
    out.write_text(name, json.dumps(score, indent=2) + "\n")
    return score


def _read(file: Path) -> dict[str, Any]:
    """Return a stored score; {} where the file is damaged, so that it is computed again."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _train(settings: TrainSettings, column: Column, plan: Plan, run: Path) -> Path:
    """Train or resume a run unless it is finished, and return its folder."""
    images = _location(column.train, plan.data)
    started = RunFolder(run).config.is_file()
    dataset = open_dataset(images)
    with locked(run, "run"):
        claim_run(run, RunConfig(images, data=dataset.options, train=settings), resume=started)
        if started and finished_result(run) is not None:
            return run
        if train(settings, dataset, run, resume=started).stopped == "interrupted":
            raise KeyboardInterrupt  # the run is kept but not scored
    return run


def _test_set(column: Column, data: Path) -> Dataset:
    """Return the test images of a column.

    Raises:
        DataError: the column's folder holds no image.
    """
    dataset = open_dataset(_location(column.test, data))
    if column.folder is None:
        return dataset
    indices = [index for index, pair in enumerate(dataset.pairs) if column.folder in pair.image.parts]
    if not indices:
        raise DataError(f"Expected images of {column.test} in a folder {column.folder}, got none; check the download.")
    return dataset.subset(indices)


def _location(need: str, data: Path) -> str:
    return f"{need}:{data / need.partition('/')[0]}"


def _plain(settings: TrainSettings) -> dict[str, Any]:
    """Return the settings as JSON values, without the device."""
    values: dict[str, Any] = json.loads(json.dumps(vars(replace(settings, device=None)), default=str))
    return values
