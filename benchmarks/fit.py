"""Does every method train at 1024 x 1024 in 24 GB? One image a part, blocks recomputed; memory counted or measured.

    python benchmarks/fit.py [--size huge] [--side 1024] [--methods a,b] [--device cuda]

Counted as `samtune train --dry-run` counts: a twin of the model without content goes forward and backward. The sum is
the model in float32, what an update of one image has alive at its peak (gradients are in it) and what stays beside the
model: the optimiser's moments, the running average and the best values. `held` is that in tensors; `resident` what a
process on a CPU would hold, whose allocator wastes some.

With `--device cuda` it is not counted but measured: real runs of two updates, in float32 and as `precision=auto` has
it, from files to a saved specialist, and the most that torch had allocated meanwhile. Methods that were measured
before keep their rows.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from measure import RESULTS, SIZES, environment, save, stock_model

from samtune.bases.sam1.model import Sam1
from samtune.data import Dataset, make_samples, open_dataset
from samtune.methods import METHODS, adapt, has_own_loss, make_method, touches_encoder, trainable
from samtune.system.memory import peak_bytes
from samtune.training import Facts, TrainSettings, resolve, train
from samtune.training.memory import count_memory, waste


def count(name: str, base: Sam1) -> dict[str, Any]:
    """One method on a copy of the base, in bytes."""
    model = adapt(copy.deepcopy(base), make_method(name))
    num_bytes = sum(parameter.numel() * 4 for parameter in model.parameters())
    cached = not touches_encoder(model)
    model.encoder.recompute = not cached
    facts = Facts(
        num_images=12, num_classes=1, touches_encoder=not cached, has_own_loss=has_own_loss(model), cell_pixels=4
    )
    plan = resolve(TrainSettings(method=name, augmentation="varied", recompute=not cached), facts)
    learned = sum(parameter.numel() * 4 for parameter in trainable(model).values())
    kept = (3 + bool(plan.ema)) * learned
    memory = count_memory(model, plan, autocast=None)
    if memory is None:
        return {"trained_bytes": learned, "cached": cached}
    update = int(memory.first_bytes / waste(torch.device("cpu"), recompute=not cached))
    return {
        "trained_bytes": learned, "cached": cached,
        "model_bytes": num_bytes, "update_bytes": update, "kept_bytes": kept,
        "held_bytes": num_bytes + update + kept, "resident_bytes": num_bytes + memory.first_bytes + kept,
    }  # fmt: skip


def measure(name: str, base: Path, twin: Sam1, dataset: Dataset, given: argparse.Namespace) -> dict[str, Any]:
    """Two real runs of one method on a GPU: bytes at the peak, and seconds by phase as a run tells them.

    Args:
        name: of the method.
        base: folder of the base.
        twin: the same without content.
        dataset: to train on.
        given: of the command line.
    """
    recompute = touches_encoder(adapt(copy.deepcopy(twin), make_method(name)))
    found: dict[str, Any] = {}
    for precision in ("fp32", "auto"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        with tempfile.TemporaryDirectory() as folder:
            settings = TrainSettings(
                base=str(base), side=given.side, method=name, updates=2, evaluations=1, batch_size=1, views=0,
                recompute=recompute, precision=precision, device=given.device,
            )  # fmt: skip
            result = train(settings, dataset, Path(folder) / "run")
        peak = peak_bytes(torch.device(given.device))
        found[precision] = {"peak_bytes": peak, "seconds": result.seconds}
    return found


def measure_all(given: argparse.Namespace) -> None:
    """Measure each method on a base written for it, print and write."""
    machine, rows = environment(given.device), {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = stock_model(given.size, given.side)
        model.save_pretrained(folder / "base")
        twin = Sam1(model, name=given.size, sha256="").requires_grad_(False).to("meta")
        make_samples("cells", folder / "data", num=4, seed=3, size_hw=(given.side, given.side))
        dataset = open_dataset(folder / "data" / "images", folder / "data" / "masks")
        for name in given.methods.split(","):
            rows[name] = measure(name, folder / "base", twin, dataset, given)
            peaks = ", ".join(f"{key} {row['peak_bytes'] / 1e9:.2f} GB" for key, row in rows[name].items())
            print(f"{name}: {peaks}", flush=True)
            gc.collect()
    name = f"fit-{given.size}-{given.side}-{given.device}"
    known = RESULTS / f"{name}.json"
    earlier = json.loads(known.read_text())["rows"] if known.is_file() else {}
    save(name, {"settings": vars(given), "machine": machine, "rows": earlier | rows})


def main() -> None:
    """Count each method, or measure it, print and write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", choices=list(SIZES), default="huge")
    options.add_argument("--side", type=int, default=1024)
    options.add_argument("--methods", default=",".join(METHODS))
    options.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: measured there, not counted")
    given = options.parse_args()
    if given.device == "cuda":
        measure_all(given)
        return
    machine, rows = environment("cpu"), {}
    base = Sam1(stock_model(given.size, given.side), name=given.size, sha256="").requires_grad_(False)
    for name in given.methods.split(","):
        start = time.monotonic()
        rows[name] = count(name, base)
        print(name, rows[name], f"{time.monotonic() - start:.0f} s", flush=True)
        gc.collect()
    save(f"fit-{given.size}-{given.side}", {"settings": vars(given), "machine": machine, "rows": rows})


if __name__ == "__main__":
    main()
