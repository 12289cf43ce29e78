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

import torch
from sets import SHOTS, VAL, open_set

from samtune.adapters import load_specialist
from samtune.bases import load_base
from samtune.bases.sam1.model import Sam1
from samtune.compare import COLOUR_SPEC, UNET_SPEC, colour_planes, fit_colour, train_unet
from samtune.compare.scoring import from_images, score
from samtune.data import Dataset, split
from samtune.files import write_text
from samtune.methods import Probe, touches_encoder
from samtune.segment import PixelEncoder, encode, full_size, prepare
from samtune.tasks import Areas
from samtune.training import TrainSettings, train
from samtune.types import Features

TASK = Areas()

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np

    from samtune.segment import Decoder
    from samtune.types import Geometry

SETS = ("dsb2018_nuclei", "weizmann_horses", "kvasir_seg", "crackforest", "rice_leaf_disease")
METHODS = ("ptsam", "decoder_only", "lora", "ptsam_encoder")
WITHOUT_SAM = ("blurred_colour", "unet")
FLOORS = ("stock_sam", "probe", *WITHOUT_SAM)
RESULTS = Path(__file__).parent / "results" / "nano.json"


class Frozen:
    """A set with the frozen features of all its images, computed once."""

    def __init__(self, name: str, folder: Path, base: Sam1) -> None:
        self.name, self.base = name, base
        self.dataset = open_set(name, folder)
        self.features: list[tuple[Features, Geometry]] = []
        for index in range(len(self.dataset)):
            inputs = prepare([self.dataset.image(index)], base.spec)
            with torch.inference_mode():
                self.features.append((encode(base, inputs), inputs.geometries[0]))

    def decoded(
        self, indices: Iterable[int], decode: Callable[[Features], torch.Tensor]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Label maps from the frozen features."""
        for index in indices:
            features, geometry = self.features[index]
            with torch.inference_mode():
                (logits,) = full_size(decode(features), (geometry,))
            yield index, TASK.decide(logits, 0.5)


def iou(dataset: Dataset, predicted: Iterable[tuple[int, np.ndarray]]) -> float:
    """Mean IoU per image of label maps, at native resolution."""
    return float(score(dataset, TASK, predicted)["metrics"][TASK.headline.key])


def measure(frozen: Frozen, row: str, seed: int, changes: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Train one row on one draw of 16 images and score it on all others; the cells by row, a run's probe among them."""
    dataset, start = frozen.dataset, time.monotonic()
    parts = split(dataset, shots=SHOTS, val=VAL, seed=seed)
    if row == "stock_sam":
        return {row: {"iou": iou(dataset, frozen.decoded(parts.test, frozen.base.decode))}}
    if row in WITHOUT_SAM:
        train_ids = parts.train + parts.val  # they choose nothing by validation, so they may learn from all 16
        if row == "blurred_colour":
            decode, spec = _colour(dataset, train_ids), COLOUR_SPEC
        else:
            decode, spec = _unet(dataset, train_ids, seed), UNET_SPEC
        seconds = time.monotonic() - start
        predicted = from_images(dataset, parts.test, TASK, PixelEncoder(spec), decode, threshold=0.5)
        return {row: {"iou": iou(dataset, predicted), "seconds": seconds}}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        method = "ptsam" if row == "probe" else row
        settings = TrainSettings(base="nano", method=method, shots=SHOTS, seed=seed, device="cpu", **changes)
        result = train(settings, dataset, run)
        probe = Probe.load(run / "probe.safetensors")
        cells = {"probe": {"iou": iou(dataset, frozen.decoded(parts.test, probe.logits))}}
        model, _ = load_specialist(run)
        cells[method] = {
            "iou": iou(dataset, predicted_by(model, frozen, parts.test)),
            "seconds": result.seconds["total"],
            "validation": result.validation["iou_per_image"],
        }
    return cells


def predicted_by(model: Sam1, frozen: Frozen, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Label maps of a specialist: from the frozen features where it leaves the encoder alone."""
    if touches_encoder(model):
        return from_images(frozen.dataset, indices, TASK, model, model.decode, threshold=0.5)
    return frozen.decoded(indices, model.decode)


def _colour(dataset: Dataset, train_ids: tuple[int, ...]) -> Decoder:
    """The colour floor, fitted: prepared pixels to logits."""
    probe = fit_colour(dataset, train_ids, TASK)
    return lambda features: probe.logits(Features(colour_planes(features.embedding[0])[None]))


def _unet(dataset: Dataset, train_ids: tuple[int, ...], seed: int) -> Decoder:
    """The U-Net floor, trained: prepared pixels to logits."""
    model = train_unet(dataset, train_ids, TASK, seed=seed)
    return lambda features: model(features.embedding)


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
        write_text(results, json.dumps(read(results) | {key: cell}, indent=1, sort_keys=True) + "\n")


def tell(key: str, cell: dict[str, Any], given: argparse.Namespace, results: Path = RESULTS) -> None:
    """Print a cell, and keep it unless this is a trial."""
    print(key, json.dumps(cell), flush=True)
    if not given.dry:
        keep(key, cell, results)


def over_seeds(values: Sequence[float], *, sign: str = "") -> str:
    """Mean, standard deviation where there are several, and how many; nothing where there is none.

    Args:
        values: of one row on one set.
        sign: "+" for differences, whose plus is told.
    """
    if not values:
        return ""
    spread = f" ± {statistics.pstdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.3f}{spread} ({len(values)})"


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
            shown.append(over_seeds(cells.get((row, name), [])))
        if any(shown):
            lines.append(f"| {row} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def parser(
    description: str | None, *, sets: Sequence[str] = SETS, seeds: Sequence[int] = (0, 1, 2)
) -> argparse.ArgumentParser:
    """The options that every benchmark of quality has."""
    given = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("data", type=Path)
    given.add_argument("--sets", type=_words, default=list(sets), metavar="A,B")
    given.add_argument("--seeds", type=_numbers, default=list(seeds), metavar="0,1")
    given.add_argument("--threads", type=int, default=torch.get_num_threads())
    given.add_argument(
        "--set", dest="changes", type=_change, action="append", default=[], metavar="FIELD=VALUE",
        help="a training setting, as JSON",
    )  # fmt: skip
    given.add_argument("--try", dest="dry", action="store_true", help="print the cells, keep none")
    given.add_argument("--table", action="store_true", help="print the table of what was measured")
    return given


def parsed(options: argparse.ArgumentParser) -> argparse.Namespace:
    """The words of the command line; a cell that is kept is one of plain settings."""
    given = options.parse_args()
    if given.changes and not given.dry:
        options.error("--set measures another thing than the table tells, so it needs --try.")
    given.changes = dict(given.changes)
    return given


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _change(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, json.loads(value)


def main() -> None:
    """Measure what is missing, or write the table."""
    options = parser(__doc__, seeds=range(5))
    options.add_argument("--methods", type=_words, default=[*FLOORS, *METHODS], metavar="A,B")
    given = parsed(options)
    torch.set_num_threads(given.threads)
    base = load_base("nano")
    if given.table:
        print(table(base.sha256))
        return
    for name in given.sets:
        frozen = None
        for seed in given.seeds:
            for row in given.methods:
                if cell_key(base.sha256, name, row, seed) in read() and not given.dry:
                    continue
                frozen = frozen or Frozen(name, given.data, base)
                for measured, cell in measure(frozen, row, seed, given.changes).items():
                    tell(cell_key(base.sha256, name, measured, seed), cell, given)


if __name__ == "__main__":
    main()
