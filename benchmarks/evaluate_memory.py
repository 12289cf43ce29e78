"""Does `samtune evaluate` need more memory for more images? Peak memory over 100, 500 and 2,000 images of 1024 x 1024.

    python benchmarks/evaluate_memory.py [--counts 100,500,2000] [--side 1024]

Each count is the plain command in a process of its own, over a folder of links to twenty generated images, with a
specialist of `ptsam` on the embedded base; stock SAM and the probe are scored beside it, as always.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import environment, save

from samtune.data import make_samples, open_dataset
from samtune.training import TrainSettings, train

DIFFERENT = 20

CHILD = """
import json, sys
import torch
from samtune.__main__ import main
from samtune.system.memory import peak_bytes
try:
    main()
finally:
    print(json.dumps({"peak_bytes": peak_bytes(torch.device("cpu"))}), file=sys.stderr)
"""


def many(source: Path, folder: Path, count: int) -> tuple[Path, Path]:
    """A folder of `count` images and masks, which are links to those of `source`."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
        files = sorted((source / part).iterdir())
        for number in range(count):
            file = files[number % len(files)]
            os.link(file, folder / part / f"{number:05d}{file.suffix}")
    return folder / "images", folder / "masks"


def peak_of(run: Path, images: Path, masks: Path) -> dict[str, float]:
    """Peak memory in bytes and seconds of `samtune evaluate` in a process of its own."""
    start = time.monotonic()
    words = ["evaluate", str(run), str(images), str(masks), "--device", "cpu", "--json"]
    done = subprocess.run([sys.executable, "-c", CHILD, *words], capture_output=True, text=True, check=True)
    last = json.loads(done.stderr.strip().splitlines()[-1])
    scored = json.loads(done.stdout)["num_images"]
    return last | {"num_images": scored, "seconds": round(time.monotonic() - start, 1)}


def main() -> None:
    """Measure each count, print and write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--counts", default="100,500,2000")
    options.add_argument("--side", type=int, default=1024, help="rows and columns of the images")
    given = options.parse_args()
    machine, rows = environment("cpu"), []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images, masks = make_samples("polyps", folder / "few", num=DIFFERENT, seed=1, size_hw=(given.side, given.side))
        settings = TrainSettings(base="nano", updates=2, views=0, shots=4, device="cpu")
        train(settings, open_dataset(images, masks), folder / "run")
        for count in map(int, given.counts.split(",")):
            row = peak_of(folder / "run", *many(folder / "few", folder / str(count), count))
            print(row, flush=True)
            rows.append(row)
    save("evaluate_memory-cpu", {"settings": vars(given), "machine": machine, "rows": rows})


if __name__ == "__main__":
    main()
