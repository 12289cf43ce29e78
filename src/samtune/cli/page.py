"""From a run and an evaluation to the report page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.data import Dataset
    from samtune.predict import Evaluation
    from samtune.report import Example, HistoryRow, RunFacts
    from samtune.training import TrainResult

MAX_VALIDATION = 40
"""The page after training scores at most this many validation images."""


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
    """Write RUN/report.html from scores.

    Args:
        run: the run folder.
        evaluation: the scores.
        dataset: what was scored; the examples' images are read from it.
        where: what the images are, as the end of "measured on the N images ...".
        base: where to load the base from.
        device: as for `load_predictor`.
        overwrite: replace a page that samtune did not write, too.
    """
    from samtune.report import ReportPage, write_report

    sentence, worst = evaluation.worse_images
    page = ReportPage(
        title=f"{run.resolve().name}: {', '.join(evaluation.class_names)}",
        facts=_facts(run),
        rows={name: scores.to_dict() for name, scores in evaluation.rows.items()},
        measured_on=f"the {evaluation.num_images} images in {where}",
        summary=evaluation.verdict,
        per_image=evaluation.iou_by_image,
        regressions=worst,
        regression_sentence=sentence,
        history=_history(run),
        data=_data(dataset),
        notes=tuple(dict.fromkeys((*evaluation.notes, *dataset.notes))),
        examples=_examples(run, evaluation, dataset, base, device),
        skipped=evaluation.skipped,
    )
    return write_report(run, page, overwrite=overwrite)


def write_training_page(
    result: TrainResult, dataset: Dataset, *, base: str | Path | None = None, device: str | None = None
) -> Path:
    """Write RUN/report.html after training: scores on the validation images, or facts and history alone.

    Args:
        result: of the training.
        dataset: that the validation images are in.
        base: where to load the base from.
        device: as for `load_predictor`.
    """
    from samtune.adapters import read_card
    from samtune.data.views.symmetries import IN_WORDS
    from samtune.predict import evaluate
    from samtune.progress import say
    from samtune.report import ReportPage, write_report
    from samtune.run_folder import specialist_folder

    validation = _validation_part(result.run, dataset)
    if validation is None:
        page = ReportPage(
            title=f"{result.run.resolve().name}: {', '.join(dataset.class_names)}",
            facts=_facts(result.run),
            rows={},
            history=_history(result.run),
            data=_data(dataset),
            notes=result.notes,
        )
        return write_report(result.run, page)
    say("Scoring the validation images for the report.")
    # Each image once, as the score that chose the step has it, and without waiting for all its views.
    evaluation = evaluate(result.run, validation, base=base, device=device, tta="none", tell=False)
    averaged = read_card(specialist_folder(result.run)).tta
    if averaged != "none":
        note = f"These scores see each image once; when it predicts, the specialist averages over {IN_WORDS[averaged]}."
        evaluation = replace(evaluation, notes=(*evaluation.notes, note))
    where = "the validation part, which chose the step: they flatter"
    return write_evaluation_page(result.run, evaluation, validation, where=where, base=base, device=device)


def _validation_part(run: Path, dataset: Dataset) -> Dataset | None:
    """The images that the run validated on, at most `MAX_VALIDATION`; None where there are none."""
    from samtune.run_folder import RunFolder

    rows = RunFolder(run).read_split()["val"]
    stems = {row["stem"] for row in rows}
    indices = [index for index, pair in enumerate(dataset.pairs) if pair.stem in stems]
    return dataset.subset(indices[:MAX_VALIDATION]) if indices else None


def _facts(run: Path) -> RunFacts:
    from samtune.adapters import read_card
    from samtune.report import RunFacts
    from samtune.run_folder import specialist_folder

    card = read_card(specialist_folder(run))
    metrics = _metrics(run)
    more: dict[str, str | int | float | bool | None] = {
        "training images": card.num_images,
        "validation images": metrics.get("num_val"),
        "updates": metrics.get("steps"),
        "stopped": metrics.get("stopped"),
        "image size": card.side,
        "samtune": card.samtune_version,
    }
    more |= {f"{card.method}.{key}": str(value) for key, value in card.fields.items()}
    return RunFacts(
        card.method,
        card.base,
        int(metrics.get("trainable", 0)),
        float(metrics.get("seconds", {}).get("total", 0.0)),
        more,
    )


def _metrics(run: Path) -> dict[str, Any]:
    from samtune.run_folder import RunFolder

    folder = RunFolder(run)
    return folder.read_metrics() if folder.metrics.is_file() else {}


def _history(run: Path) -> list[HistoryRow]:
    from samtune.report import HistoryRow
    from samtune.run_folder import RunFolder

    rows = []
    for row in RunFolder(run).read_history():
        rows.append(HistoryRow(int(row["step"]), row.get("loss"), row.get("val_iou_per_image")))
    return rows


def _data(dataset: Dataset) -> dict[str, str | int | float | bool | None]:
    told = dataset.describe()
    facts: dict[str, str | int | float | bool | None] = {
        "images": told["num"],
        "classes": ", ".join(told["class_names"]),
        "masks": told["encoding"],
        "images without any object": told["num_empty"],
        "most common size": " x ".join(map(str, told["sizes_hw"][0][:2])) if told["sizes_hw"] else None,
    }
    return facts | {f"share of {name}": share for name, share in told["foreground_share"].items()}


def _examples(
    run: Path, evaluation: Evaluation, dataset: Dataset, base: str | Path | None, device: str | None
) -> list[Example]:
    """Best, median and worst images of the specialist, predicted once more."""
    from samtune.predict import load_predictor
    from samtune.report import Example, choose_examples

    iou = evaluation.iou_by_image["specialist"]
    predictor = load_predictor(run, base, batch_size=1, device=device, tta=evaluation.tta)
    index_of = {pair.stem: index for index, pair in enumerate(dataset.pairs)}
    examples = []
    for name, standing in choose_examples(iou, 3):
        image = dataset.image(index_of[name])
        predicted = predictor.images([image])[0].labels
        examples.append(Example(name, image, dataset.labels(index_of[name]), predicted, iou[name], standing))
    return examples
