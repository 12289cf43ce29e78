"""`samtune reproduce`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samtune.cli.options import Device, Json, Overwrite, values_by_method
from samtune.cli.output import emit, table
from samtune.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Paper(StrEnum):
    """Papers whose tables can be reproduced."""

    conv_lora = "conv-lora"
    ts_sam = "ts-sam"
    ptsam = "ptsam"


def reproduce(
    paper: Annotated[Paper, typer.Argument(help="Paper whose table is computed.")],
    *,
    data: Annotated[
        Path,
        typer.Option("--data", metavar="DIR", help="Folder with one folder per data set, named as in `data list`."),
    ] = Path("data"),
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder of runs and scores.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List every cell, its published number and what data is missing.")
    ] = False,
    methods: Annotated[
        str | None, typer.Option(help="Methods, separated by commas. Default: all of the paper.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 3,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting that takes precedence over the paper's."),
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", metavar="NAME", help="Base model. Default: the paper's.")
    ] = None,
    device: Device = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compute a paper's table on the data at hand, beside the published numbers; can be interrupted and resumed."""
    from samtune.reproduce import RunSettings, make_plan, run_plan
    from samtune.training.names import assign

    plan = make_plan(paper.value, data, base=base, methods=methods.split(",") if methods else ())
    if dry_run:
        emit(plan.to_json(), _text(plan.to_json(), ran=False), as_json=as_json)
        return
    if out is None:
        raise ConfigError("Expected a folder for runs and scores as --out; pass it, or --dry-run to see the plan.")
    if not plan.trainings:
        missing = sorted({name for cell in plan.cells for name in cell.missing})
        raise ConfigError(
            f"Expected data for at least one cell of the table, got none ({'; '.join(missing)}); see "
            "samtune data list, and --dry-run for the whole plan."
        )
    settings, fields = assign(*values_by_method(set_ or []), list(dict.fromkeys(name for name, *_ in plan.trainings)))
    choices = RunSettings(seeds, device, settings, fields)
    content = run_plan(plan, out, choices, overwrite=overwrite)
    emit(content, f"{_text(content, ran=True)}\nTable: {out / 'reproduce.csv'}", as_json=as_json)


NAMED = 4
"""Largest number of columns that a note names."""


def _text(content: dict[str, Any], *, ran: bool) -> str:
    """Return the cells as a table, then missing data and notes."""
    header = ("row", "column", "published", "ours" if ran else "to do")
    rows = [
        (cell["row"], cell["column"], _published(cell), _ours(cell) if ran else _to_do(cell))
        for cell in content["cells"]
    ]
    missing = sorted({name for cell in content["cells"] for name in cell["missing"]})
    lines = [
        f"{content['paper']} on {content['base']}: {content['num_cells']} cells, {content['num_trainings']} trainings "
        "for each seed with the data that is here.",
        table(header, rows),
    ]
    lines += ["Missing data:", *(f"  {name}" for name in missing)] if missing else []
    sources = dict.fromkeys(cell["source"] for cell in content["cells"] if cell["source"])
    lines += ["Sources:", *(f"  {source}" for source in sources)] if sources else []
    return "\n".join([*lines, "Notes:", *(f"  {note}" for note in (*content["caveats"], *_notes(content["cells"])))])


def _notes(cells: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield each note once, after the columns it is about, and their rows where it is not about all."""
    for note in dict.fromkeys(cell["note"] for cell in cells if cell["note"]):
        columns = dict.fromkeys(cell["column"] for cell in cells if cell["note"] == note)
        rows, others = (
            dict.fromkeys(cell["row"] for cell in cells if cell["column"] in columns and (cell["note"] == note) == own)
            for own in (True, False)
        )
        named = ", ".join(columns) if len(columns) <= NAMED else f"{len(columns)} columns"
        of = f" of {', '.join(rows)}" if others else ""
        yield f"{named}{of}: {note}"


def _published(cell: dict[str, Any]) -> str:
    if cell["published"] is None:
        return "not at hand" if cell["note"] else "not given"
    value = f"{cell['published']:g}"
    return value if cell["spread"] is None else f"{value} ± {cell['spread']:g}"


def _to_do(cell: dict[str, Any]) -> str:
    if cell["method"] is None:
        return "shown only"
    return "data missing" if cell["missing"] else f"train on {cell['train']}"


def _ours(cell: dict[str, Any]) -> str:
    if cell["ours"] is None:
        return "failed" if cell["errors"] else _to_do(cell)
    error = "" if cell["ours_std_error"] is None else f" ± {cell['ours_std_error']:.2g}"
    return f"{cell['ours']:.4g}{error} ({cell['num_seeds']} seeds)"
