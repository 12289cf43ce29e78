"""`samtune evaluate`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samtune.cli.options import (
    Averaged,
    Base,
    BatchSize,
    Classes,
    Colours,
    Device,
    IgnoreLabel,
    Instances,
    Json,
    data_options,
    data_values,
)
from samtune.cli.output import emit, table

if TYPE_CHECKING:
    from samtune.data import DataOptions
    from samtune.predict import Evaluation


class Protocol(StrEnum):
    """How the images are scored."""

    default = "default"


def evaluate(
    specialist: Annotated[Path, typer.Argument(help="Run folder, or its specialist/ folder.")],
    images: Annotated[
        str, typer.Argument(help="Folder of images, a CSV manifest, or a folder with images/ and masks/.")
    ],
    masks: Annotated[str | None, typer.Argument(help="Folder of masks.")] = None,
    *,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Leave out images that the run trained or validated on.")
    ] = False,
    protocol: Annotated[
        Protocol, typer.Option(help="default: foreground IoU and Dice at the images' own size.")
    ] = Protocol.default,
    per_image: Annotated[
        Path | None, typer.Option("--per-image", metavar="CSV", help="Write the score of each image.")
    ] = None,
    tta: Averaged = False,
    base: Base = None,
    batch_size: BatchSize = 4,
    classes: Classes = None,
    colour: Colours = None,
    ignore_label: IgnoreLabel = None,
    instances: Instances = None,
    device: Device = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write RUN/report.html anew.")] = True,
    as_json: Json = False,
) -> None:
    """Score a specialist on annotated images, beside stock SAM and a probe on its features."""
    from samtune.methods import read_card, specialist_folder
    from samtune.predict import evaluate as score
    from samtune.predict import run_of
    from samtune.specialist import open_for

    card = read_card(specialist_folder(specialist))
    options = data_options(data_values(classes, colour, ignore_label, instances))
    dataset = open_for(card, images, masks, options or _trained_with(specialist))
    evaluation = score(specialist, dataset, base=base, unseen=unseen, batch_size=batch_size, device=device, tta=tta)
    content = evaluation.to_json() | {"protocol": protocol.value}
    if per_image is not None:
        evaluation.write_per_image(per_image)
    run = run_of(specialist)
    if report and run is not None:
        from samtune.cli.page import write_evaluation_page

        content["report"] = str(write_evaluation_page(run, evaluation, dataset, where=images, base=base, device=device))
    emit(content, _text(evaluation, content.get("report")), as_json=as_json)


def _trained_with(specialist: Path) -> DataOptions | None:
    """How the run's own masks were read; None where that is not known."""
    from samtune.config import CONFIG_FILE, make_config, read_config
    from samtune.predict import run_of

    run = run_of(specialist)
    if run is None or not (run / CONFIG_FILE).is_file():
        return None
    return make_config(read_config(run / CONFIG_FILE)).data


def _text(evaluation: Evaluation, report: str | None) -> str:
    """A table of the rows, the worst images, and where the page is."""
    rows = [
        (
            name,
            f"{scores.iou_per_image:.3f} ± {scores.iou_per_image_std:.3f}",
            f"{scores.dice_per_image:.3f} ± {scores.dice_per_image_std:.3f}",
            f"{scores.iou_pooled:.3f}",
            f"{scores.dice_pooled:.3f}",
        )
        for name, scores in evaluation.rows.items()
    ]
    header = ("row", "IoU per image", "Dice per image", "IoU pooled", "Dice pooled")
    worst = ", ".join(f"{name} {iou:.2f}" for name, iou in evaluation.rows["specialist"].worst)
    lines = [f"{evaluation.num_images} images.", table(header, rows), f"Worst (IoU): {worst}"]
    if evaluation.skipped:
        lines += ["Not read:", *(f"  {row['why']}" for row in evaluation.skipped)]
    if report is not None:
        lines.append(f"Report: {report}")
    return "\n".join(lines)
