"""`compare`: compute every missing cell, then write the table of cells."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import torch

from samtune.compare.advice import advise
from samtune.compare.cells import DONE, CellStore, cell_bytes, configuration, digest_of, record_of
from samtune.compare.comparison import Comparison
from samtune.compare.draws import draw_test
from samtune.compare.features import prepare
from samtune.compare.groups import image_groups, units_of
from samtune.compare.isolation import isolated
from samtune.compare.job import Job
from samtune.compare.measure import measure
from samtune.compare.notes import cell_notes, note_on_others
from samtune.compare.results import Results
from samtune.compare.settings import Cell, CompareSettings
from samtune.compare.sharing import Division, divide, in_processes, one_by_one
from samtune.comparison_folder import CSV_FILE, FEATURES_FILE, KIND, PAGE_FILES, SUGGESTIONS_FILE, ComparisonFolder
from samtune.data.presence import has_objects
from samtune.errors import ConfigError, OutputError, SamTuneError
from samtune.methods import METHODS
from samtune.metrics.detection import detection_notes
from samtune.metrics.rows import STOCK
from samtune.outputs import OutputFolder
from samtune.progress import say
from samtune.run_folder import RunFolder
from samtune.system.device import choose_device
from samtune.system.memory import available_bytes
from samtune.training import interruptible, locked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from samtune.compare.isolation import Outcome
    from samtune.data import Dataset

    Runner = Callable[..., Outcome]


def compare(
    settings: CompareSettings, dataset: Dataset, folder: Path, *, run: Runner | None = None, overwrite: bool = False
) -> Comparison:
    """Compute every missing cell, and return the comparison with its advice.

    Args:
        settings: settings of the comparison.
        dataset: the annotated images.
        folder: folder of the comparison; its cells are reused.
        run: function that runs the cells' functions one after another, such as `isolation.here` in this process; None
            to run them in processes of their own, `settings.jobs` at a time.
        overwrite: also replace files in the folder that samtune did not write; inputs and links are never replaced.

    Returns:
        The comparison; after Ctrl-C, with the cells finished until then.

    Raises:
        DataError: too few images.
        WeightsError: the base cannot be loaded.
        ConfigError: a setting contradicts a method, the folder holds a run, or another process is at work in it.
        OutputError: a file would replace one that samtune did not write, or cannot be written; finished cells are
            kept.
        KeyboardInterrupt: Ctrl-C or SIGTERM before the first cell was started.
    """
    with interruptible(), locked(folder, "comparison"):
        return _compare(settings, dataset, folder, run, overwrite)


def _compare(
    settings: CompareSettings, dataset: Dataset, folder: Path, run: Runner | None, overwrite: bool
) -> Comparison:
    """Run `compare` in a folder that this process has locked."""
    out = _claim(folder, dataset, overwrite)
    draws = draw_test(dataset, num_test=settings.num_test, max_shots=max(settings.shots), num_seeds=settings.num_seeds)
    for note in draws.notes:
        say(note + ".")
    job = Job(settings, dataset, draws.test, draws.pool, folder)
    features = _prepare(job, out, run or isolated)
    store = CellStore(ComparisonFolder(folder).cells)
    cells = settings.cells(dataset.num_classes)
    test = dataset.subset(draws.test).fingerprint()
    configs = {cell: configuration(job, cell, features["base_sha256"], test) for cell in cells}
    records, notes = _finished(store, configs)
    num_before = len(records)
    interrupted = False
    try:
        _compute(job, store, configs, records, run, features["need_bytes"])
    except KeyboardInterrupt:
        say("Interrupted. Finished cells are kept; run the same command again to continue.")
        interrupted = True
    records = {cell: records[cell] for cell in cells if cell in records}
    stems = tuple(dataset.pairs[i].stem for i in draws.test)
    results = Results(job.task, cells, records, stems, units_of(dataset, draws.test))
    groups, why = image_groups(dataset, draws.test) if STOCK in results.rows else ((), ())
    notes = [*notes, *(f"{note}." for note in (*dataset.notes, *draws.notes)), *cell_notes(records)]
    num_with_objects = int(has_objects(dataset)[list(draws.test)].sum())
    notes += detection_notes(num_with_objects, len(draws.test) - num_with_objects)
    averaged = [row for row in settings.trained_rows if METHODS[row].recipe.few_tta != "none"]
    if averaged:
        notes.append(
            f"Every row predicts each test image once. By default, {' and '.join(averaged)} trained on few images "
            "averages predictions over flips and turns (--tta); these scores do not include that."
        )
    out.write_csv(CSV_FILE, results.table_rows())
    advice = advise(results, groups, [f"{reason}." for reason in why])
    new = len(records) - num_before
    return Comparison(folder, job, results, advice, tuple(notes), interrupted, new, features, overwrite)


def _claim(folder: Path, dataset: Dataset, overwrite: bool) -> OutputFolder:
    """Return the output folder after checking, before any work is done, that its files may be written."""
    if RunFolder(folder).holds_run():
        raise ConfigError(f"Expected a folder for the comparison, got the run folder {folder}; choose another --out.")
    inputs = [file for pair in dataset.pairs for file in (pair.image, pair.mask)]
    out = OutputFolder(folder, KIND, inputs=inputs, overwrite=overwrite)
    out.claim([CSV_FILE, FEATURES_FILE, SUGGESTIONS_FILE, *PAGE_FILES])
    return out


def _prepare(job: Job, out: OutputFolder, run: Runner) -> dict[str, Any]:
    """Compute the frozen features; their number and time are summed over all calls for this folder."""
    say("Computing the frozen features that the cells share, unless they are on disk already.")
    outcome = run(prepare, job)
    if isinstance(outcome.error, SamTuneError):
        raise outcome.error
    if outcome.error is not None:
        raise SamTuneError(f"The frozen features could not be computed ({outcome.error}); no cell was started.")
    features: dict[str, Any] = outcome.value
    before = _read(ComparisonFolder(job.folder).features)
    total = {key: features[key] + before.get(key, 0) for key in ("num_encoded", "seconds")}
    if not features["num_encoded"]:
        total["seconds"] = before.get("seconds", 0.0)
    out.write_text(FEATURES_FILE, json.dumps(total) + "\n")
    if features["num_encoded"]:
        say(f"{features['num_encoded']} views encoded in {features['seconds']:.0f} s.")
    return features | total


def _read(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content


def _finished(store: CellStore, configs: dict[Cell, dict[str, Any]]) -> tuple[dict[Cell, dict[str, Any]], list[str]]:
    """Return the records of cells that are finished already, and a sentence on stored cells of other settings."""
    records = {}
    files = set()
    for cell, config in configs.items():
        digest = digest_of(config)
        files.add(store.file(cell, digest))
        record = store.read(cell, digest)
        if record is not None and record["status"] == DONE:
            records[cell] = record
    others = store.others(files)
    notes = []
    if others:
        notes.append(note_on_others(others, configs))
        say(notes[0])
    if records:
        say(f"{len(records)} of {len(configs)} cells are finished already and are not computed again.")
    return records, notes


def _compute(
    job: Job,
    store: CellStore,
    configs: dict[Cell, dict[str, Any]],
    records: dict[Cell, dict[str, Any]],
    run: Runner | None,
    need_bytes: Mapping[str, int],
) -> None:
    """Compute every missing cell, and write each as soon as it is finished."""
    missing = ordered([cell for cell in configs if cell not in records], need_bytes)

    def work(cell: Cell) -> tuple[Any, ...]:
        return measure, job, cell, digest_of(configs[cell])

    metric, start = job.task.headline, time.monotonic()
    division = _division(job.settings, records, need_bytes, len(missing))
    with closing(one_by_one(run, work, missing) if run else in_processes(work, missing, division)) as ended:
        for number, done in enumerate(ended, start=1):
            cell, outcome = done.cell, done.outcome
            if isinstance(outcome.error, OutputError):  # the next cells would fail on the same disk
                raise outcome.error
            record = record_of(cell, configs[cell], job.settings.base, outcome, done.division)
            store.write(cell, record)
            records[cell] = record
            left = (time.monotonic() - start) / number * (len(missing) - number)
            scored = f"FAILED: {outcome.error}"
            if record["status"] == DONE:
                scored = f"{metric.label} {record['metrics'][metric.key]:.3f}"
            what = cell.row if cell.row == STOCK else f"{cell.row}, {cell.shots} images, seed {cell.seed}"
            rest = f"; about {left / 60:.0f} min left" if left > 90 else ""
            say(f"[{number}/{len(missing)}] {what}: {scored}, {done.time_s:.0f} s{rest}")


def ordered(cells: Sequence[Cell], need_bytes: Mapping[str, int]) -> list[Cell]:
    """Return the cells in the order of computation: as given, but in the last draw those that need most memory first.

    Those take longest, and a long cell at the end would leave all cores but one idle.

    Args:
        cells: draw by draw.
        need_bytes: row -> memory of a cell in bytes.
    """
    last = max((cell.seed for cell in cells), default=0)
    before = [cell for cell in cells if cell.seed < last]
    return before + sorted((cell for cell in cells if cell.seed == last), key=lambda cell: -need_bytes[cell.row])


def _division(
    settings: CompareSettings,
    records: Mapping[Cell, dict[str, Any]],
    need_bytes: Mapping[str, int],
    num_cells: int,
) -> Callable[[Sequence[Cell]], Division]:
    """Return a function that divides the machine by the memory measured so far and reports each new division."""
    free_bytes, on_cpu = available_bytes(torch.device("cpu")), choose_device(settings.device).type == "cpu"
    reported: list[Division] = []

    def division(cells: Sequence[Cell]) -> Division:
        need = max(cell_bytes(row, records, need_bytes) for row in {cell.row for cell in cells})
        now = divide(settings.jobs, num_cells=num_cells, need_bytes=need, free_bytes=free_bytes, on_cpu=on_cpu)
        if now not in reported[-1:]:
            reported.append(now)
            say(str(now))
        return now

    return division
