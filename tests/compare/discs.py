"""Annotated discs of growing size."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from samtune.data import Dataset, open_dataset
from tests.data.folders import disc, make_folder


def opened(folder: Path, num: int, *, groups: list[str] | None = None, splits: list[str] | None = None) -> Dataset:
    """Discs of growing size, named by a manifest where groups or splits are given."""
    make_folder(folder, [disc((48, 64), radius=3 + i) * np.uint8(255) for i in range(num)])
    with (folder / "data.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "mask", "group", "split"])
        for i in range(num):
            group, split = (groups or [""] * num)[i], (splits or [""] * num)[i]
            writer.writerow([f"images/{i}.png", f"masks/{i}.png", group, split])
    return open_dataset(folder / "data.csv")
