"""`samtune info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samtune.cli.options import Json
from samtune.cli.output import emit


def info(
    specialist: Annotated[Path, typer.Argument(help="Run folder, or its specialist/ folder.")],
    as_json: Json = False,
) -> None:
    """Print the card of a specialist."""
    from dataclasses import asdict

    from samtune.adapters import read_card
    from samtune.run_folder import specialist_folder

    folder = specialist_folder(specialist)
    content = asdict(read_card(folder))
    num_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    width = max(len(key) for key in content)
    lines = [f"{key.ljust(width)}  {_cell(value)}" for key, value in content.items()]
    lines.append(f"{'size'.ljust(width)}  {num_bytes:,} bytes")
    emit({"folder": str(folder), "num_bytes": num_bytes} | content, "\n".join(lines), as_json=as_json)


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
