"""Measure how often the test of orientation calls a set upright, in draws of several sizes, without any training.

    python benchmarks/orientation.py DATA [--sets a,b] [--draws 200]

Prints Markdown: over all images of a set the mean difference of `samtune.data.views.orientation` and the share of
images whose difference is above 0, then the share of draws of N images that were called upright. Writes nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sets import open_set

from samtune.data.views.orientation import class_planes, differences_of, orientation_of

SETS = (
    "weizmann_horses", "camvid_street", "isbi2012_em", "dsb2018_nuclei", "kvasir_seg", "crackforest",
    "rice_leaf_disease", "epfl_roads",
)  # fmt: skip
SIZES = (8, 12, 16, 32)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", type=Path)
    options.add_argument("--sets", type=lambda words: words.split(","), default=list(SETS), metavar="A,B")
    options.add_argument("--draws", type=int, default=200)
    arguments = options.parse_args()
    heads = " | ".join(f"of {size}" for size in SIZES)
    print(f"| set | images | mean difference | share above 0 | {heads} |\n{'|---' * (4 + len(SIZES))}|")
    for name in arguments.sets:
        dataset = open_set(name, arguments.data)
        classes = len(dataset.class_names)
        planes = np.stack([class_planes(dataset.labels(index), classes) for index in range(len(dataset))])
        differences = differences_of(planes)
        rng = np.random.default_rng(0)
        shares = []
        for size in SIZES:
            number = arguments.draws if size <= len(planes) else 0
            draws = [rng.choice(len(planes), size, replace=False) for _ in range(number)]
            upright = [orientation_of(planes[draw]).upright for draw in draws]
            shares.append(f"{np.mean(upright):.2f}" if upright else "")
        summary = f"{differences.mean():.3f} | {(differences > 0).mean():.2f}"
        print(f"| {name} | {len(planes)} | {summary} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
