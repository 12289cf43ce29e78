"""`samtune compare`."""

from __future__ import annotations

import sys
from dataclasses import fields as fields_of
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samtune.cli.options import (
    Base,
    Device,
    Images,
    Json,
    Masks,
    Overwrite,
    Side,
    data_options,
    values_by_method,
    with_mask_options,
)
from samtune.cli.output import emit
from samtune.errors import ConfigError
from samtune.printable import shown

if TYPE_CHECKING:
    from samtune.compare import CompareSettings, Comparison
    from samtune.data import Dataset
    from samtune.report import ComparisonPage


Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder to write; cells already in it are not computed again.")
]
Methods = Annotated[str, typer.Option(metavar="A,B,...", help="Methods, see `samtune methods`.")]
Shots = Annotated[str, typer.Option(metavar="N,M,...", help="Numbers of labelled images, validation included.")]
Seeds = Annotated[int, typer.Option(min=1, help="Number of draws of labelled images for each of them.")]
Updates = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Optimiser steps of every training, the same for all; cheap methods may gain from more. Default: 80.",
    ),
]
Test = Annotated[int | None, typer.Option(min=1, help="Test images, the same for all. Default: half, at most 200.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of every training, or METHOD.FIELD; see `samtune settings`; repeat.",
    ),
]
Suggest = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="List the N images of --unlabelled to label next.")
]
Unlabelled = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of images without masks, for --suggest.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Cells that run at once. Default: on a CPU as many as it has cores and the memory room for, else 1.",
    ),
]


@with_mask_options
def compare(
    images: Images,
    masks: Masks = None,
    *,
    out: Out,
    methods: Methods = "ptsam,decoder_only,lora",
    shots: Shots = "16",
    seeds: Seeds = 3,
    base: Base = None,
    side: Side = None,
    updates: Updates = None,
    test: Test = None,
    set_: Set = None,
    suggest: Suggest = None,
    unlabelled: Unlabelled = None,
    mask_values: Any,
    device: Device = None,
    jobs: Jobs = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare methods on your images with stock SAM, a probe, colour alone and a small U-Net."""
    if (suggest is None) != (unlabelled is None):
        raise ConfigError("Expected --suggest N and --unlabelled DIR together, got one of them; add the other.")
    from samtune.cli.comparison_text import comparison_text
    from samtune.compare import CompareSettings
    from samtune.data import DataOptions, open_dataset

    more, fields = _settings(set_ or [], _words(methods))
    mask_values = {f.name: more.pop(f.name) for f in fields_of(DataOptions) if f.name in more} | mask_values
    settings = CompareSettings(
        methods=_words(methods),
        shots=parse_shots(shots),
        num_seeds=seeds,
        base=base or more.pop("base", CompareSettings.base),
        side=more.pop("side", None) if side is None else side,
        updates=more.pop("updates", CompareSettings.updates) if updates is None else updates,
        num_test=test,
        device=device or more.pop("device", None),
        jobs=jobs,
        method_fields=fields,
        val=more.pop("val", CompareSettings.val),
        more=more,
    )
    source = None if suggest is None or unlabelled is None else (unlabelled, suggest)
    if source is not None:
        _check_unlabelled(source[0], seeds)
    dataset = open_dataset(images, masks, data_options(mask_values))
    title = _title(images, dataset.class_names)
    comparison, content, page = _run(settings, dataset, out, title, source, overwrite=overwrite)
    emit(content, comparison_text(page, content), as_json=as_json)
    if comparison.interrupted:
        sys.exit(130)
    if comparison.failures:
        sys.exit(2)


def _settings(words: list[str], methods: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the words of --set as settings, and hyper-parameters by method; the probe is in every comparison."""
    from samtune.data import DataOptions
    from samtune.methods import METHODS
    from samtune.metrics.rows import BASELINES
    from samtune.training.names import SETTINGS, assign

    rows = [name for name in dict.fromkeys((*methods, *BASELINES)) if name in METHODS or name not in BASELINES]
    values, by_method = values_by_method(words)
    return assign(values, by_method, rows, (*SETTINGS, *(f.name for f in fields_of(DataOptions))))


def _check_unlabelled(folder: Path, seeds: int) -> None:
    """Check that images to label can be suggested from a folder.

    Raises:
        ConfigError: it is no folder, or there is only one draw.
    """
    if seeds < 2:
        raise ConfigError(f"Expected --seeds >= 2 with --suggest, which needs several draws, got {seeds}.")
    if not folder.is_dir():
        raise ConfigError(f"Expected a folder of images as --unlabelled, got {folder}.")


def _run(
    settings: CompareSettings, dataset: Dataset, out: Path, title: str, source: tuple[Path, int] | None,
    *, overwrite: bool,
) -> tuple[Comparison, dict[str, Any], ComparisonPage]:  # fmt: skip
    """Run the comparison and write its page.

    Args:
        settings: of the comparison.
        dataset: annotated images.
        out: folder of the comparison.
        title: heading of the page.
        source: folder of images without masks, and how many of them to suggest; None for no suggestions.
        overwrite: replace files in `out` that samtune did not write.

    Returns:
        The comparison, its JSON content, and its page.
    """
    from samtune.compare import compare as run_comparison
    from samtune.pages import write_comparison_page
    from samtune.training import locked

    with locked(out, "comparison"):
        comparison = run_comparison(settings, dataset, out, overwrite=overwrite)
        suggestions = committee = None
        if source is not None and not comparison.interrupted:
            suggestions, committee = comparison.suggest(*source) or (None, None)
        page, file = write_comparison_page(comparison, title=title, suggestions=suggestions, committee=committee)
    return comparison, comparison.to_json(suggestions) | {"report": str(file)}, page


def _title(images: str, class_names: tuple[str, ...]) -> str:
    """Return the heading of the page: the data set's folder and its classes."""
    folder = Path(images).resolve()
    return f"{folder.parent.name if folder.name == 'images' else folder.name}: {', '.join(class_names)}"


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def parse_shots(text: str) -> tuple[int, ...]:
    """Return the numbers of images in the value of `--shots`, such as "4,8,16".

    Raises:
        ConfigError: a word is no whole number, or there is none.
    """
    words = _words(text)
    if not words or not all(word.isascii() and word.isdigit() and len(word) <= 9 for word in words):
        raise ConfigError(f"Expected numbers of images as --shots, such as 4,8,16, got {shown(text)}.")
    return tuple(int(word) for word in words)
