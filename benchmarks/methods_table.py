"""Every method by the plain command on the embedded base: parameters, file size, seconds, memory, quality.

    python benchmarks/methods_table.py DATA [--sets a,b] [--methods a,b] [--seeds 0,1,2] [--limit N] [--device cuda]
    python benchmarks/methods_table.py DATA --table

A cell is a set, a row (a method, or stock SAM) and a seed. Each is measured in a process of its own, so that its peak
memory is its own and nothing of one is warm for the next; what is in `results/methods.json` for the same base is not
measured again, and an error is kept there in place of numbers (`--retry` measures those again). Any list may be given
to several processes. A cell of another device than the CPU names it, and counts for quality alone. See README.md for
how quality, seconds and memory are measured.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from results_nano import iou, over_seeds, parsed, parser, read, tell
from sets import IDS, SHOTS, open_set, scored_part

from samtune.bases import load_base
from samtune.bases.sam1.model import Sam1
from samtune.compare.isolation import isolated
from samtune.data import Dataset
from samtune.methods import METHODS
from samtune.predict import Predictor, load_predictor
from samtune.segment import segment
from samtune.system.memory import peak_bytes
from samtune.tasks.areas import decide
from samtune.training import TrainSettings, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

SETS = ("dsb2018_nuclei", "kvasir_seg", "camvid_street")
STOCK = "stock_sam"
RESULTS = Path(__file__).parent / "results" / "methods.json"
MIB = 2**20


def measure(name: str, row: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """One cell, in this process."""
    torch.set_num_threads(given.threads)
    torch.backends.cudnn.allow_tf32 = False  # on by default, it rounds what convolutions multiply to 10 bits
    device = torch.device(given.device)
    # What "auto" takes for the embedded base on a CPU, so that cells of several devices differ in the order of sums.
    changes = {"precision": "fp32"} | given.changes
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        dataset = open_set(name, given.data)
        indices = scored_part(dataset, seed, given.limit)
        if row == STOCK:
            base = load_base("nano").eval()
            return {"iou": iou(dataset, masks(dataset, indices, stock_masks(base))), "num_images": len(indices)}
        settings = TrainSettings(base="nano", method=row, shots=SHOTS, seed=seed, device=given.device, **changes)
        result = train(settings, dataset, scratch / "run")
        held_bytes = peak_bytes(device)
        adapter = scratch / "run" / "specialist" / "adapter_model.safetensors"
        predictor = load_predictor(scratch / "run", device=given.device, precision=changes["precision"], tta="none")
        return {
            **({} if device.type == "cpu" else {"device": torch.cuda.get_device_name(device)}),
            "iou": iou(dataset, masks(dataset, indices, specialist_masks(predictor))),
            "num_images": len(indices),
            "num_train": result.num_train,
            "trainable": result.trainable,
            "adapter_bytes": adapter.stat().st_size,
            "seconds": result.seconds["total"],
            "steps": result.steps,
            "peak_bytes": held_bytes,
            "validation": result.validation["iou_per_image"],
        }


def stock_masks(base: Sam1) -> Callable[[np.ndarray], np.ndarray]:
    """What the base says without a prompt."""

    def predict(image: np.ndarray) -> np.ndarray:
        (planes,) = segment(base, {STOCK: base.decode}, [image])
        return decide(planes[STOCK]).numpy()

    return predict


def specialist_masks(predictor: Predictor) -> Callable[[np.ndarray], np.ndarray]:
    """What a specialist says."""
    return lambda image: predictor.images([image])[0].labels


def masks(
    dataset: Dataset, indices: list[int], predict: Callable[[np.ndarray], np.ndarray]
) -> Iterator[tuple[int, np.ndarray]]:
    """The label maps of some images."""
    for index in indices:
        yield index, predict(dataset.image(index))


def in_a_child(name: str, row: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """The same in a process of its own; an error as {"error": what it says}."""
    outcome = isolated(measure, name, row, seed, given)
    if outcome.error is not None:
        return {"error": f"{type(outcome.error).__name__}: {outcome.error}"}
    cell: dict[str, Any] = outcome.value
    return cell


def wanted(given: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """The cells that were asked for; stock SAM's one mask says nothing of several classes."""
    for seed in given.seeds:
        for name in given.sets:
            for row in given.methods:
                if row != STOCK or name not in IDS:
                    yield name, row, seed


def table(sha: str) -> str:
    """All cells of a base as Markdown: one table for each set."""
    cells: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for key, cell in read(RESULTS).items():
        base, name, row, _ = key.split("/")
        if base == sha:
            cells.setdefault((name, row), []).append(cell)
    parts = []
    for name in SETS:
        rows = [(row, cells[name, row]) for row in (STOCK, *METHODS) if (name, row) in cells]
        if not rows:
            continue
        counts = sorted({cell["num_images"] for _, measured in rows for cell in measured if "iou" in cell})
        scored = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}" if counts else "no"
        lines = [
            f"**{name}**, {scored} images scored",
            "",
            "| method | trained | adapter | seconds | peak memory | IoU |",
            "|---|---|---|---|---|---|",
        ]
        parts.append("\n".join([*lines, *(line(row, measured) for row, measured in rows)]))
    return "\n\n".join(parts)


def line(row: str, measured: list[dict[str, Any]]) -> str:
    """One row: medians of seconds and memory on the CPU, mean and spread of the IoU over seeds."""
    good = [cell for cell in measured if "iou" in cell]
    failed = f"{len(measured) - len(good)} failed" if len(good) < len(measured) else ""
    cells = [f"`{row}`" if row != STOCK else "stock SAM", "", "", "", "", failed]
    trained = [cell for cell in good if "trainable" in cell]
    if trained:
        kib = statistics.median(cell["adapter_bytes"] for cell in trained) / 1024
        cells[1] = f"{trained[0]['trainable']:,}"
        cells[2] = f"{kib:,.0f} KiB" if kib < 1024 else f"{kib / 1024:,.1f} MiB"
    timed = [cell for cell in trained if "device" not in cell]
    if timed:
        cells[3] = f"{statistics.median(cell['seconds'] for cell in timed):,.0f}"
        cells[4] = f"{statistics.median(cell['peak_bytes'] for cell in timed) / MIB:,.0f} MiB"
    if good:
        told = over_seeds([cell["iou"] for cell in good])
        cells[5] = f"{told}, {failed}" if failed else told
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure what is missing, or print the table."""
    options = parser(__doc__, sets=SETS)
    options.add_argument("--methods", type=lambda words: words.split(","), default=[STOCK, *METHODS], metavar="A,B")
    options.add_argument("--limit", type=int, help="score this many images of a set at most; the table says how many")
    options.add_argument("--device", default="cpu", help="to train and predict on; the CPU's seconds are the table's")
    options.add_argument("--retry", action="store_true", help="measure cells again whose last try ended in an error")
    given = parsed(options)
    sha = load_base("nano").sha256[:12]
    if given.table:
        print(table(sha))
        return
    for name, row, seed in wanted(given):
        key = f"{sha}/{name}/{row}/{seed}"
        known = read(RESULTS).get(key)
        if not given.dry and known is not None and not (given.retry and "error" in known):
            continue
        cell = in_a_child(name, row, seed, given)
        tell(key, cell, given, RESULTS)


if __name__ == "__main__":
    main()
