"""Results of made-up cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from samtune.compare import Cell, Results
from samtune.tasks import Areas

NUM_IMAGES = 30


STEMS = tuple(f"image_{i:02d}" for i in range(NUM_IMAGES))


TRAINABLE = {"stock_sam": 0, "probe": 257, "blurred_colour": 25, "unet": 900_000, "small": 2_000, "large": 4_000_000}


def record(cell: Cell, iou: np.ndarray) -> dict[str, Any]:
    return {
        "status": "done",
        "seed": cell.seed,
        "metrics": {"iou_per_image": float(iou.mean())},
        "per_image": dict(zip(STEMS, map(float, iou), strict=True)),
        "counts": {"trainable": TRAINABLE[cell.row], "num_train": cell.shots, "num_val": 0},
        "memory_bytes": {"process_peak": 10**9},
        "seconds": {"total": 10.0, "training": 9.0},
    }


def made(
    levels: dict[str, float], *, shots: tuple[int, ...] = (16,), seeds: int = 3, noise: float = 0.01, slope: float = 0.0
) -> Results:
    """Results with these mean IoUs at the largest number of images; `slope` is lost with each halving of it."""
    rng = np.random.default_rng(0)
    difficulty = 0.1 * rng.standard_normal(NUM_IMAGES)
    difficulty -= difficulty.mean()
    cells, records = [], {}
    for row, level in levels.items():
        stock = row == "stock_sam"
        for n in (0,) if stock else shots:
            lost = 0 if stock else slope * np.log2(shots[-1] / n)
            num = 1 if stock else seeds
            wobble = noise * (rng.standard_normal((num, NUM_IMAGES)) + rng.standard_normal((num, 1)))
            for seed in range(num):
                cell = Cell(row, n, seed)
                cells.append(cell)
                records[cell] = record(cell, level - lost + difficulty + wobble[seed] - wobble.mean())
    return Results(Areas(), tuple(cells), records, STEMS)


FLOORS = {"stock_sam": 0.2, "probe": 0.3, "blurred_colour": 0.25, "unet": 0.35}
