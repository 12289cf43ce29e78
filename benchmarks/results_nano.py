"""Quality of the methods on the embedded base, on real image sets: 16 images, several seeds.

    python benchmarks/results_nano.py DATA [--sets a,b] [--methods ptsam,decoder_only,...] [--seeds 0,1,2,3,4]
    python benchmarks/results_nano.py DATA --table

DATA holds one folder per set with `images/` and `masks/`. A cell (set, seed, row) that is in `results/nano.json` for
the same base is not run again; rows that know nothing of SAM hold for every base. See README.md for how quality is
measured.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from samtune.compare import COLOUR_SPEC, UNET_SPEC, colour_planes, fit_colour, train_unet
from samtune.data import Dataset, open_dataset, split, to_input
from samtune.data.restore import decide, to_original
from samtune.methods import Probe, load_specialist, touches_encoder
from samtune.metrics import SegmentationScores
from samtune.sam import Sam
from samtune.training import TrainSettings, train
from samtune.types import Features

if TYPE_CHECKING:
    from collections.abc import Callable

    from samtune.types import Geometry

SETS = ("dsb2018_nuclei", "weizmann_horses", "kvasir_seg", "crackforest", "rice_leaf_disease")
METHODS = ("ptsam", "decoder_only", "lora", "ptsam_encoder")
WITHOUT_SAM = ("blurred_colour", "unet")
FLOORS = ("stock_sam", "probe", *WITHOUT_SAM)
RESULTS = Path(__file__).parent / "results" / "nano.json"


class Frozen:
    """A set with the frozen features of all its images, computed once."""

    def __init__(self, name: str, folder: Path, sam: Sam) -> None:
        self.name, self.sam = name, sam
        self.dataset: Dataset = open_dataset(folder / name / "images", folder / name / "masks")
        self.features: list[tuple[Features, Geometry]] = []
        for index in range(len(self.dataset)):
            pixels, geometry = to_input(self.dataset.image(index), sam.spec)
            with torch.inference_mode():
                self.features.append((sam.encode(pixels[None]), geometry))

    def score(self, indices: tuple[int, ...], predict: Callable[[int], np.ndarray]) -> float:
        """Mean IoU per image at native resolution over some images."""
        scores = SegmentationScores(self.dataset.class_names)
        for index in indices:
            scores.add(self.dataset.pairs[index].stem, predict(index), self.dataset.labels(index))
        return scores.result().iou_per_image

    def decode(self, index: int, decode: Callable[[Features], torch.Tensor]) -> np.ndarray:
        """A label map from the frozen features."""
        features, geometry = self.features[index]
        with torch.inference_mode():
            return decide(to_original(decode(features)[0], geometry)).numpy()


def measure(frozen: Frozen, row: str, seed: int, changes: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Train one row on one draw of 16 images and score it on all others; the cells by row, a run's probe among them."""
    dataset, start = frozen.dataset, time.monotonic()
    parts = split(dataset, shots=16, val=0.25, seed=seed)
    if row == "stock_sam":
        return {row: {"iou": frozen.score(parts.test, lambda i: frozen.decode(i, frozen.sam.decode))}}
    if row in WITHOUT_SAM:
        train_ids = parts.train + parts.val  # they choose nothing by validation, so they may learn from all 16
        predict = _blurred_colour(dataset, train_ids) if row == "blurred_colour" else _unet(dataset, train_ids, seed)
        seconds = time.monotonic() - start
        return {row: {"iou": frozen.score(parts.test, lambda i: predict(dataset.image(i))), "seconds": seconds}}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        method = "ptsam" if row == "probe" else row
        settings = TrainSettings(base="nano", method=method, shots=16, seed=seed, device="cpu", **changes)
        result = train(settings, dataset, run)
        probe = Probe.load(run / "probe.safetensors")
        cells = {"probe": {"iou": frozen.score(parts.test, lambda i: frozen.decode(i, probe.logits))}}
        sam, _ = load_specialist(run)
        if not touches_encoder(sam):
            value = frozen.score(parts.test, lambda i: frozen.decode(i, sam.decode))
        else:
            value = frozen.score(parts.test, lambda i: encode_and_decode(sam, dataset.image(i)))
        cells[method] = {
            "iou": value,
            "seconds": result.seconds["total"],
            "validation": result.validation["iou_per_image"],
        }
    return cells


def _blurred_colour(dataset: Dataset, train_ids: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
    probe = fit_colour(dataset, train_ids)

    def predict(image: np.ndarray) -> np.ndarray:
        pixels, geometry = to_input(image, COLOUR_SPEC)
        logits = probe.logits(Features(colour_planes(pixels)[None]))[0]
        return decide(to_original(logits, geometry)).numpy()

    return predict


def _unet(dataset: Dataset, train_ids: tuple[int, ...], seed: int) -> Callable[[np.ndarray], np.ndarray]:
    model = train_unet(dataset, train_ids, seed=seed)

    def predict(image: np.ndarray) -> np.ndarray:
        pixels, geometry = to_input(image, UNET_SPEC)
        with torch.inference_mode():
            return decide(to_original(model(pixels[None])[0], geometry)).numpy()

    return predict


def encode_and_decode(sam: Sam, image: np.ndarray) -> np.ndarray:
    """A label map from a model whose encoder is not the base's."""
    pixels, geometry = to_input(image, sam.spec)
    with torch.inference_mode():
        return decide(to_original(sam.decode(sam.encode(pixels[None]))[0], geometry)).numpy()


def cell_key(base_sha256: str, name: str, row: str, seed: int) -> str:
    """Where a cell is kept: the base it was measured on, the set, the row and the seed."""
    return f"{'none' if row in WITHOUT_SAM else base_sha256[:12]}/{name}/{row}/{seed}"


def read(results: Path = RESULTS) -> dict[str, Any]:
    """All cells measured so far."""
    return json.loads(results.read_text()) if results.is_file() else {}  # type: ignore[no-any-return]


def keep(key: str, cell: dict[str, Any], results: Path = RESULTS) -> None:
    """Add a cell; several processes may do so at once."""
    results.parent.mkdir(exist_ok=True)
    with (results.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        partial = results.with_suffix(".partial")
        partial.write_text(json.dumps(read(results) | {key: cell}, indent=1, sort_keys=True) + "\n")
        partial.replace(results)


def table(base: str) -> str:
    """The results as a Markdown table: mean and spread over seeds, and how many seeds."""
    cells: dict[tuple[str, str], list[float]] = {}
    for key, cell in read().items():
        sha, name, row, _ = key.split("/")
        if sha == "none" or base.startswith(sha):
            cells.setdefault((row, name), []).append(cell["iou"])
    lines = ["| row | " + " | ".join(SETS) + " |", "|---" * (len(SETS) + 1) + "|"]
    for row in (*FLOORS, *METHODS):
        shown = []
        for name in SETS:
            values = cells.get((row, name), [])
            spread = (
                f"{statistics.mean(values):.3f} ± {statistics.pstdev(values):.3f} ({len(values)})" if values else ""
            )
            shown.append(spread)
        if any(shown):
            lines.append(f"| {row} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--methods", default=",".join((*FLOORS, *METHODS)))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a training setting, as JSON")
    parser.add_argument("--try", dest="dry", action="store_true", help="print the cells, keep none")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    sam = Sam.from_pretrained("nano")
    if given.table:
        print(table(sam.base_sha256))
        return
    changes = {key: json.loads(value) for key, value in (item.split("=", 1) for item in given.set)}
    for name in given.sets.split(","):
        frozen = None
        for seed in map(int, given.seeds.split(",")):
            for row in given.methods.split(","):
                if cell_key(sam.base_sha256, name, row, seed) in read() and not given.dry:
                    continue
                frozen = frozen or Frozen(name, given.data, sam)
                for measured, cell in measure(frozen, row, seed, changes).items():
                    key = cell_key(sam.base_sha256, name, measured, seed)
                    print(key, json.dumps(cell), flush=True)
                    if not given.dry:
                        keep(key, cell)


if __name__ == "__main__":
    main()
