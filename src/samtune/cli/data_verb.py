"""`samtune data list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from samtune.cli.options import Json
from samtune.cli.output import emit

if TYPE_CHECKING:
    from samtune.data.public_sets import Layout

app = typer.Typer(help="Public data sets that samtune reads as they are downloaded.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Public data sets that samtune reads as they are downloaded."""


@app.command("list")
def list_layouts(as_json: Json = False) -> None:
    """List the source, licence, splits and expected folders of each set; nothing is downloaded."""
    from samtune.data.public_sets import LAYOUTS

    content = {"datasets": [_facts(layout) for layout in LAYOUTS.values()]}
    head = (
        "Pass NAME:FOLDER, or NAME/PART:FOLDER for a part of it, in place of a folder of images:\n"
        "  samtune train cod10k/train:FOLDER --out RUN; samtune evaluate RUN cod10k/test:FOLDER --protocol cod"
    )
    emit(content, "\n\n".join([head, *map(_text, LAYOUTS.values())]), as_json=as_json)


def _facts(layout: Layout) -> dict[str, Any]:
    from samtune.data.public_sets import NOT_STATED

    return {
        "name": layout.name,
        "title": layout.title,
        "where": layout.source,
        "licence": layout.licence,
        "protocol": layout.protocol,
        "parts": [
            {
                "part": part.name or "all",
                "images": part.num_images if part.num_images is not None else NOT_STATED,
                "image_folder": part.images[0],
                "mask_folder": part.masks[0],
            }
            for part in layout.parts
        ],
        "note": layout.caveat,
    }


def _text(layout: Layout) -> str:
    facts = _facts(layout)
    lines = [
        f"{layout.name}: {layout.title}",
        f"  where: {layout.source}; licence: {layout.licence}; protocol: {layout.protocol}",
    ]
    lines += [
        f"  {part['part']}: {part['images']} images; {part['image_folder']} with {part['mask_folder']}"
        for part in facts["parts"]
    ]
    return "\n".join(lines + ([f"  note: {layout.caveat}"] if layout.caveat else []))
