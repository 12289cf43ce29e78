"""`samtune doctor`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samtune.cli.options import (
    Images,
    Json,
    Masks,
    data_options,
    with_mask_options,
)
from samtune.cli.output import emit
from samtune.printable import one_line

if TYPE_CHECKING:
    from samtune.data import Findings
    from samtune.types import Problem

MAX_NAMED = 5
"""Number of files named per kind of problem; --json has them all."""


@with_mask_options
def doctor(
    images: Images,
    masks: Masks = None,
    *,
    fix: Annotated[
        Path | None,
        typer.Option("--fix", metavar="OUT", help="Write a mended copy; the data stays as it is."),
    ] = None,
    side: Annotated[int, typer.Option(min=16, max=8192, help="Image size in pixels that training will use.")] = 1024,
    mask_values: Any,
    as_json: Json = False,
) -> None:
    """Report what is wrong with images and masks, and how to mend it."""
    from samtune.data import inspect, mend

    options = data_options(mask_values)
    findings = inspect(images, masks, options, image_size=side)
    content = findings.as_json()
    text = _text(findings)
    if fix is not None:
        mended = mend(images, masks, fix, options)
        content["mended"] = mended.as_json() | {"out": str(fix)}
        text += "\n\nMended copy:\n" + "\n".join(f"  {one_line(note)}" for note in mended.notes)
        text += "".join(f"\n  {one_line(f'{problem.file} {problem.what}')}" for problem in mended.problems)
    emit(content, text, as_json=as_json)
    if findings.stops_training and fix is None:
        sys.exit(2)


def _text(findings: Findings) -> str:
    classes = f"{findings.num_classes} class" + ("es" if findings.num_classes != 1 else "")
    lines = [f"{findings.num_pairs} pairs of image and mask, {classes}."]
    lines += [f"  {one_line(note)}" for note in findings.notes]
    if not findings.problems:
        return "\n".join([*lines, "Nothing is wrong."])
    groups: dict[tuple[bool, str], list[Problem]] = {}
    for problem in findings.problems:
        groups.setdefault((problem.stops_training, problem.kind), []).append(problem)
    for (stops, kind), problems in groups.items():
        lines += ["", f"{kind} ({len(problems)}){', stops training' if stops else ''}"]
        lines += [f"  {one_line(f'{p.file}: {p.what}; {p.mend}')}" for p in problems[:MAX_NAMED]]
        if len(problems) > MAX_NAMED:
            lines.append(f"  ... and {len(problems) - MAX_NAMED} more")
    return "\n".join(lines)
