"""`samtune evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samtune.cli.options import (
    Averaged,
    BatchSize,
    CardBase,
    Device,
    Images,
    Json,
    Masks,
    Overwrite,
    averaging,
    data_options,
    with_mask_options,
)
from samtune.cli.output import emit, table
from samtune.printable import one_line
from samtune.run_folder import REPORT_FILE

if TYPE_CHECKING:
    from samtune.data import DataOptions, Dataset
    from samtune.predict import Evaluation


NUM_WORST = 10
"""Number of images with the lowest scores that are listed."""


SpecialistFolder = Annotated[Path, typer.Argument(help="Run folder, or its specialist/ folder.")]
Unseen = Annotated[bool, typer.Option("--unseen", help="Leave out images that the run trained or validated on.")]
Protocol = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Measures of a field, see docs/metrics.md: cod, shadow, sod, polyp, skin, leaf, road, trans10k, "
        "microscopy, or default: foreground IoU and Dice.",
    ),
]
At = Annotated[
    int | None,
    typer.Option(metavar="SIDE", help="Score at SIDE x SIDE, squashed. Default: the images' own size."),
]
Spacing = Annotated[
    float | None, typer.Option(metavar="UNITS", help="Side of a pixel, for distances. Default: pixels.")
]
PerImage = Annotated[Path | None, typer.Option("--per-image", metavar="CSV", help="Write the score of each image.")]
Report = Annotated[bool, typer.Option("--report/--no-report", help=f"Write RUN/{REPORT_FILE} anew.")]


@with_mask_options
def evaluate(
    specialist: SpecialistFolder,
    images: Images,
    masks: Masks = None,
    *,
    unseen: Unseen = False,
    protocol: Protocol = "default",
    at: At = None,
    spacing: Spacing = None,
    per_image: PerImage = None,
    tta: Averaged = None,
    base: CardBase = None,
    batch_size: BatchSize = 4,
    mask_values: Any,
    device: Device = None,
    report: Report = True,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Score a specialist on annotated images, beside stock SAM and a probe on its features."""
    from samtune.adapters import read_card
    from samtune.predict import evaluate as score
    from samtune.run_folder import run_of, specialist_folder
    from samtune.specialist import open_for

    card = read_card(specialist_folder(specialist))
    options = data_options(mask_values)
    dataset = open_for(card, images, masks, options or _trained_with(specialist))
    folder = run_of(specialist) if report else None
    run = None if folder is None else folder.path
    _check_outputs(run, per_image, dataset, overwrite)
    evaluation = score(
        specialist, dataset, base=base, unseen=unseen, protocol=protocol, at=at, spacing=spacing,
        batch_size=batch_size, device=device, tta=averaging(tta),
    )  # fmt: skip
    content = evaluation.to_json()
    if not as_json:
        emit(content, _text(evaluation), as_json=False)
    try:  # print the scores even if the files cannot be written
        if per_image is not None:
            evaluation.write_per_image(per_image, overwrite=overwrite)
        if run is not None:
            from samtune.pages import write_evaluation_page

            page = write_evaluation_page(
                run, evaluation, dataset, where=images, base=base, device=device, overwrite=overwrite
            )
            content["report"] = str(page)
    finally:
        if as_json:
            emit(content, "", as_json=True)
    if "report" in content and not as_json:
        emit(content, f"Report: {content['report']}", as_json=False)


def _check_outputs(run: Path | None, per_image: Path | None, dataset: Dataset, overwrite: bool) -> None:
    """Check that the page and the CSV file may be written, before scores are computed."""
    from samtune.outputs import OutputFolder
    from samtune.predict.evaluation import PER_IMAGE
    from samtune.report import check_report

    if run is not None:
        check_report(run, overwrite=overwrite)
    if per_image is not None:
        inputs = [file for pair in dataset.pairs for file in (pair.image, pair.mask)]
        OutputFolder(per_image.parent, PER_IMAGE, inputs=inputs, overwrite=overwrite).claim([per_image.name])


def _cell(evaluation: Evaluation, row: str, key: str) -> str:
    """Return a value with its standard deviation over images, if it has one."""
    value, deviation = evaluation.value(row, key), evaluation.value(row, f"{key}_std")
    if value is None:
        return "not defined"
    return f"{value:.3f}" if deviation is None else f"{value:.3f} ± {deviation:.3f}"


def _size(resolution: str) -> str:
    return "at the images' own size" if resolution == "native" else resolution


def _regressions(evaluation: Evaluation) -> list[str]:
    """Return how many images a baseline scores better on, and the worst of them, one a line."""
    from samtune.metrics import row_name

    sentence, worst = evaluation.worse_images
    lines = [
        f"  {one_line(each.name)}: {each.specialist:.3f}, {row_name(each.baseline).phrase} {each.value:.3f}"
        for each in worst
    ]
    return [sentence, *lines] if sentence else []


def _trained_with(specialist: Path) -> DataOptions | None:
    """Return the mask options of the run; None where they are unknown."""
    from samtune.config import make_config, read_config
    from samtune.run_folder import run_of

    run = run_of(specialist)
    if run is None or not run.config.is_file():
        return None
    return make_config(read_config(run.config)).data


def _text(evaluation: Evaluation) -> str:
    """Return the verdict, a table with a line per measure, the worst images, and those where a baseline is better."""
    from samtune.metrics import row_name

    header = ("measure", *(row_name(row).label for row in evaluation.rows))
    rows = [(key, *(_cell(evaluation, row, key) for row in evaluation.rows)) for key in evaluation.headline]
    lines = [
        *evaluation.verdict,
        f"{evaluation.num_images} images, protocol {evaluation.protocol.name}, "
        f"compared {_size(evaluation.resolution)}.",
        table(header, rows),
        *(f"  {key}: {words}" for key, words in evaluation.headline.items()),
    ]
    scores = evaluation.metric_by_image["specialist"]
    worst = sorted(scores, key=lambda name: (scores[name], name))[:NUM_WORST]
    listed = ", ".join(f"{one_line(name)} {scores[name]:.2f}" for name in worst)
    lines.append(f"Worst ({evaluation.metric.label}): {listed}")
    lines += _regressions(evaluation)
    if evaluation.skipped:
        lines += ["Not read:", *(f"  {one_line(row['why'])}" for row in evaluation.skipped)]
    return "\n".join(lines)
