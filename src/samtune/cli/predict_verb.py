"""`samtune predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from samtune.cli.options import Averaged, BatchSize, CardBase, Device, Json, Overwrite, averaging
from samtune.cli.output import emit, print_safely
from samtune.printable import one_line


def predict(
    specialist: Annotated[Path, typer.Argument(help="Run folder, or its specialist/ folder.")],
    inputs: Annotated[list[str], typer.Argument(help="Images, folders of them, or patterns.", metavar="INPUT...")],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the masks.")],
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write stem_prob.png too: 16 bit, 65535 is probability 1.")
    ] = False,
    overlay: Annotated[bool, typer.Option("--overlay", help="Write stem_overlay.jpg too.")] = False,
    overwrite: Overwrite = False,
    tta: Averaged = None,
    base: CardBase = None,
    batch_size: BatchSize = 4,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Segment images: write a PNG mask for each, with the values of the training masks."""
    from samtune.predict import load_predictor, predict_folder

    predictor = load_predictor(specialist, base, batch_size=batch_size, device=device, tta=averaging(tta))
    written = predict_folder(predictor, inputs, out, probabilities=probabilities, overlays=overlay, overwrite=overwrite)
    values = predictor.card.values.by_name(predictor.card.class_names)
    content = {
        "out": str(out),
        "num_images": len(written.files),
        "files": [str(file) for file in written.files],
        "skipped": list(written.skipped),
        "values": values,
        "tta": predictor.tta,
        "notes": list(written.notes),
    }
    meaning = ", ".join(f"{value} {name}" for name, value in values.items())
    emit(content, f"{len(written.files)} masks in {one_line(str(out))} ({one_line(meaning)}).", as_json=as_json)
    for row in written.skipped:
        print_safely(f"samtune: not read: {one_line(row['why'])}", sys.stderr)
    if written.skipped:
        sys.exit(2)
