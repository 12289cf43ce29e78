"""A run on a tiny base and generated images, for tests that kill it; as a script for those that launch processes.

python -m tests.training.tiny_run FOLDER [--name RUN] [--updates N] [--methods NAME ...]

Trains the methods one after the other in the same processes, each in a run folder RUN-NAME.
"""

from __future__ import annotations

import argparse
import os
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


def run_alone(environment: dict[str, str], threads: int, folder: Path, name: str, **settings: Any) -> None:
    """The same in a process of its own, which may have been started before its parent's environment was as it is.

    With as many threads as its parent: sums are taken in another order with others.
    """
    os.environ.update(environment)
    torch.set_num_threads(threads)
    run(folder, name, **settings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="run")
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--methods", nargs="+", default=["ptsam"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    for method in given.methods:
        run(given.folder, f"{given.name}-{method}", updates=given.updates, method=method)
