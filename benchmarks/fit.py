"""Does every method train at 1024 x 1024 in 24 GB? Memory counted, not computed: one image a part, blocks recomputed.

    python benchmarks/fit.py [--size huge] [--side 1024] [--methods a,b]

Counted as `samtune train --dry-run` counts: a twin of the model without content goes forward and backward. The sum is
the model in float32, what an update of one image has alive at its peak (gradients are in it) and what stays beside the
model: the optimiser's moments, the running average and the best values. `held` is that in tensors; `resident` what a
process on a CPU would hold, whose allocator wastes some.
"""

from __future__ import annotations

import argparse
import copy
import gc
import time
from typing import Any

import torch
from measure import SIZES, environment, save, stock_model

from samtune.methods import METHODS, adapt, make_method, touches_encoder, trainable
from samtune.sam import Sam
from samtune.training import TrainSettings, plan_run
from samtune.training.memory import waste
from samtune.training.micro_batch import count_memory


def count(name: str, base: Sam) -> dict[str, Any]:
    """One method on a copy of the base, in bytes."""
    method, sam = make_method(name), copy.deepcopy(base)
    sam = adapt(sam, method)
    model = sum(parameter.numel() * 4 for parameter in sam.parameters())
    cached = not touches_encoder(sam)
    sam.vision_encoder.recompute = not cached
    plan = plan_run(
        TrainSettings(method=name), method.recipe, num_images=12, num_classes=1, cached=cached, num_processes=1,
        cell_pixels=4,
    )  # fmt: skip
    learned = sum(parameter.numel() * 4 for parameter in trainable(sam).values())
    kept = (3 + bool(plan.ema)) * learned
    memory = count_memory(sam, plan, cached=cached, autocast=None)
    if memory is None:
        return {"trained_bytes": learned, "cached": cached}
    update = int(memory.first_bytes / waste(torch.device("cpu"), recompute=not cached))
    return {
        "trained_bytes": learned, "cached": cached, "model_bytes": model, "update_bytes": update, "kept_bytes": kept,
        "held_bytes": model + update + kept, "resident_bytes": model + memory.first_bytes + kept,
    }  # fmt: skip


def main() -> None:
    """Count each method, print and write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", choices=list(SIZES), default="huge")
    options.add_argument("--side", type=int, default=1024)
    options.add_argument("--methods", default=",".join(METHODS))
    given = options.parse_args()
    machine, rows = environment("cpu"), {}
    base = Sam(stock_model(given.size, given.side), base_name=given.size, base_sha256="").requires_grad_(False)
    for name in given.methods.split(","):
        start = time.monotonic()
        rows[name] = count(name, base)
        print(name, rows[name], f"{time.monotonic() - start:.0f} s", flush=True)
        gc.collect()
    save(f"fit-{given.size}-{given.side}", {"settings": vars(given), "machine": machine, "rows": rows})


if __name__ == "__main__":
    main()
