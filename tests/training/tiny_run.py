"""A run on a tiny base and generated images, as a script for tests that kill it or launch several processes.

python -m tests.training.tiny_run FOLDER [--name RUN] [--resume] [--updates N] [--methods NAME ...]

With --methods, one after the other in the same processes, each in a run folder RUN-NAME.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from samtune.data import make_samples, open_dataset
from samtune.training import TrainResult, TrainSettings, train
from tests.tiny import tiny_library


def prepare(folder: Path, *, num: int = 8) -> None:
    """Write the base and the images."""
    tiny_library().save_pretrained(folder / "base")
    make_samples("cells", folder / "data", num=num, seed=3, size_hw=(80, 96))


def run(folder: Path, name: str = "run", *, resume: bool = False, **settings: Any) -> TrainResult:
    """Train on what `prepare` wrote."""
    dataset = open_dataset(folder / "data" / "images", folder / "data" / "masks")
    chosen: dict[str, Any] = {"updates": 30, "views": 2, "checkpoint_every_s": 0.0, "patience": 0, "device": "cpu"}
    chosen |= settings
    return train(TrainSettings(base=str(folder / "base"), **chosen), dataset, folder / name, resume=resume)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="run")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--methods", nargs="+", default=[])
    given = parser.parse_args()
    torch.set_num_threads(1)
    runs = {f"{given.name}-{method}": method for method in given.methods} or {given.name: "ptsam"}
    for name, method in runs.items():
        run(given.folder, name, resume=given.resume, updates=given.updates, method=method)
