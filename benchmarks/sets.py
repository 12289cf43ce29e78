"""The image sets of the quality benchmarks: how they are opened, what a run may see of them, and what is scored."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path

from samtune.data import DataOptions, Dataset, open_dataset, split

SHOTS, VAL = 16, 0.25
"""Annotated images of a run, and the share of them that it validates on."""

IDS = {"camvid_street": DataOptions(ids=tuple(range(1, 11)), ignore_label=11)}
"""Sets whose masks hold class ids: sky (0) is the background of the ten classes, 11 is void."""


def open_set(name: str, folder: Path) -> Dataset:
    """A set; where it has a split of its own, 16 images are drawn from its training part.

    Args:
        name: folder of the set.
        folder: that holds the sets.
    """
    images, masks, named = (folder / name / part for part in ("images", "masks", "split.json"))
    options = IDS.get(name)
    if options is None or not named.is_file():
        return open_dataset(images, masks, options)
    # Frames of a video: neighbours look alike, so the set's own split says which may be scored.
    parts = {stem: part for part, stems in json.loads(named.read_text()).items() for stem in stems}
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / f"{name}.csv"
        with file.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(("image", "mask", "split"))
            for image in sorted(images.iterdir()):
                part = "train" if parts[image.stem] == "train" else "test"
                writer.writerow((image.resolve(), (masks / f"{image.stem}.png").resolve(), part))
        return open_dataset(file, None, options)


def scored_part(dataset: Dataset, seed: int, limit: int | None = None) -> list[int]:
    """The images that no run with this seed sees; without its own training part, where the set names one.

    Args:
        dataset: of `open_set`.
        seed: of the run.
        limit: so many of them at most, evenly drawn; None for all.
    """
    unseen = split(dataset, shots=SHOTS, val=VAL, seed=seed).test
    chosen = [index for index in unseen if dataset.pairs[index].split != "train"]
    step = 1 if limit is None else max(1, len(chosen) // limit)
    return chosen[::step][:limit]
