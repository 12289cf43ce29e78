"""The page of a run, from its folder and an evaluation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from samtune.adapters import read_card
from samtune.data.views.symmetries import IN_WORDS
from samtune.metrics.rows import SPECIALIST
from samtune.pages.examples import choose_examples
from samtune.predict import evaluate, load_predictor
from samtune.progress import say
from samtune.report import Example, HistoryRow, ReportPage, RunFacts, write_report
from samtune.run_folder import SCORE_PREFIX, RunFolder, specialist_folder
from samtune.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from samtune.data import Dataset
    from samtune.predict import Evaluation
    from samtune.tasks import Task
    from samtune.training import TrainResult

MAX_VALIDATION = 40
"""Largest number of validation images that are scored for the page after training."""


def write_evaluation_page(
    run: Path,
    evaluation: Evaluation,
    dataset: Dataset,
    *,
    where: str,
    base: str | Path | None = None,
    device: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the page of a run from scores, and return its path.

    Args:
        run: the run folder.
        evaluation: the scores.
        dataset: what was scored; the examples' images are read from it.
        where: what the images are, as the end of "Measured on the N images in ...".
        base: where to load the base from.
        device: as for `load_predictor`.
        overwrite: also replace a page that samtune did not write.

    Raises:
        OutputError: the page would replace a file that samtune did not write, or cannot be written.
    """
    sentence, worst = evaluation.worse_images
    page = ReportPage(
        title=f"{run.resolve().name}: {', '.join(evaluation.class_names)}",
        facts=_facts(run),
        rows=evaluation.scores,
        measured_on=f"the {evaluation.num_images} images in {where}",
        summary=evaluation.verdict,
        per_image=evaluation.metric_by_image,
        metric=evaluation.metric,
        regressions=worst,
        regression_sentence=sentence,
        history=_history(run),
        data=_data(dataset),
        notes=_sentences((*evaluation.notes, *dataset.notes)),
        examples=_examples(run, evaluation, dataset, base, device),
        skipped=evaluation.skipped,
    )
    return write_report(run, page, overwrite=overwrite)


def write_training_page(
    result: TrainResult, dataset: Dataset, *, base: str | Path | None = None, device: str | None = None
) -> Path:
    """Write the page of a run after training: scores on the validation images, or only facts and history without any.

    Args:
        result: result of the training.
        dataset: holds the validation images.
        base: where to load the base from.
        device: as for `load_predictor`.

    Raises:
        OutputError: the page would replace a file that samtune did not write, or cannot be written.
    """
    validation = _validation_part(result.run, dataset)
    if validation is None:
        page = ReportPage(
            title=f"{result.run.resolve().name}: {', '.join(dataset.class_names)}",
            facts=_facts(result.run),
            rows={},
            metric=_task(result.run).headline,
            history=_history(result.run),
            data=_data(dataset),
            notes=_sentences(result.notes),
        )
        return write_report(result.run, page)
    say("Scoring the validation images for the report.")
    # Without averaging over views, like the score that selected the step, and faster.
    evaluation = evaluate(result.run, validation, base=base, device=device, tta="none", tell=False)
    averaged = read_card(specialist_folder(result.run)).tta
    if averaged != "none":
        note = f"Scored on one view of each image; predictions of this specialist average over {IN_WORDS[averaged]}."
        evaluation = replace(evaluation, notes=(*evaluation.notes, note))
    where = "the validation part, which also selected the step, so these scores are optimistic"
    return write_evaluation_page(result.run, evaluation, validation, where=where, base=base, device=device)


def _validation_part(run: Path, dataset: Dataset) -> Dataset | None:
    """Return the images that the run validated on, at most `MAX_VALIDATION`; None where there are none."""
    stems = {row["stem"] for row in RunFolder(run).read_split()["val"]}
    indices = [index for index, pair in enumerate(dataset.pairs) if pair.stem in stems]
    return dataset.subset(indices[:MAX_VALIDATION]) if indices else None


def _facts(run: Path) -> RunFacts:
    card = read_card(specialist_folder(run))
    folder = RunFolder(run)
    metrics: dict[str, Any] = folder.read_metrics() if folder.metrics.is_file() else {}
    more: dict[str, str | int | float | bool | None] = {
        "Training images": card.num_images,
        "Validation images": metrics.get("num_val"),
        "Updates": metrics.get("steps"),
        "Stopped": metrics.get("stopped"),
        "Image size": f"{card.side} px",
        "samtune": card.samtune_version,
    }
    more |= {f"{card.method}.{key}": str(value) for key, value in card.fields.items()}
    return RunFacts(
        method=card.method,
        base=card.base,
        trainable=int(metrics.get("trainable", 0)),
        time_s=float(metrics.get("seconds", {}).get("total", 0.0)),
        more=more,
    )


def _task(run: Path) -> Task:
    return find_task(read_card(specialist_folder(run)).task)


def _history(run: Path) -> list[HistoryRow]:
    key = f"{SCORE_PREFIX}{_task(run).headline.key}"
    return [HistoryRow(int(row["step"]), row.get("loss"), row.get(key)) for row in RunFolder(run).read_history()]


def _data(dataset: Dataset) -> dict[str, str | int | float | bool | None]:
    description = dataset.describe()
    sizes = description["sizes_hw"]
    facts: dict[str, str | int | float | bool | None] = {
        "Images": description["num"],
        "Classes": ", ".join(description["class_names"]),
        "Images without any object": description["num_empty"],
        "Most common size": " x ".join(map(str, sizes[0][:2])) if sizes else None,
    }
    shares = description["foreground_share"].items()
    return facts | {f"Share of {name}": f"{100 * share:.3g} %" for name, share in shares}


def _sentences(notes: Iterable[str]) -> tuple[str, ...]:
    """Return each note once, with a full stop where it has none."""
    return tuple(dict.fromkeys(note if note.endswith((".", "!", "?")) else f"{note}." for note in notes))


def _examples(
    run: Path, evaluation: Evaluation, dataset: Dataset, base: str | Path | None, device: str | None
) -> list[Example]:
    """Return the specialist's best, median and worst images, predicted once more."""
    scores = evaluation.metric_by_image[SPECIALIST]
    predictor = load_predictor(run, base, batch_size=1, device=device, tta=evaluation.tta)
    index_of = {pair.stem: index for index, pair in enumerate(dataset.pairs)}
    examples = []
    for name, standing in choose_examples(scores, 3):
        image = dataset.image(index_of[name])
        predicted = predictor.images([image])[0].labels
        annotation = predictor.task.annotation(dataset, index_of[name])
        examples.append(Example(name, image, annotation, predicted, scores[name], standing))
    return examples
