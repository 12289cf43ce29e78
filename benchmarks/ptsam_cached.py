"""PTSAM from files to a saved specialist, features computed once, against the encoder run at every step.

    python benchmarks/ptsam_cached.py [--size base] [--updates 300] [--steps 2] [--augmentation flip | --views 8]

The cached run is measured whole: `samtune.training.train` on 16 generated images, its store empty. The other one,
which is what training scripts for SAM commonly do, is measured on a few steps of the same batch size before the cached
run and behind it, with transformers' own encoder and with ours, and scaled to the same number of updates; measured and
scaled figures are both in the JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from measure import Run, environment, paired, parser, stock_model, summary, write

from samtune.bases import choose_precision, keep_frozen_low, load_base
from samtune.data import make_samples, open_dataset
from samtune.losses import segmentation_loss
from samtune.methods import adapt, make_method, trainable
from samtune.training import TrainSettings, train
from samtune.types import Features

IMAGES, BATCH = 16, 4


def cached(args: argparse.Namespace, base: Path, folder: Path) -> dict[str, Any]:
    """A whole run; wall time by phase."""
    os.environ["SAMTUNE_CACHE"] = str(folder / "cache")
    make_samples("cells", folder / "data", num=IMAGES, seed=0, size_hw=(768, 1024))
    dataset = open_dataset(folder / "data" / "images", folder / "data" / "masks")
    settings = TrainSettings(
        base=str(base), updates=args.updates, batch_size=BATCH, augmentation=args.augmentation, views=args.views,
        val=0.0, device=args.device, patience=0,
    )  # fmt: skip
    start = time.perf_counter()
    result = train(settings, dataset, folder / "run")
    return {
        "whole_s": time.perf_counter() - start, "phases_s": result.seconds, "steps": result.steps,
        "views": json.loads((folder / "run" / "metrics.json").read_text())["plan"]["views"],
    }  # fmt: skip


def step_of(args: argparse.Namespace, base: Path, *, stock: bool) -> Run:
    """One update with the encoder run in it, without a graph for the encoder."""
    model = adapt(load_base(base), make_method("ptsam")).to(args.device)
    library: Any = stock_model(args.size, args.side).to(args.device) if stock else None
    if not stock:
        model.encoder_dtype = choose_precision("auto", torch.device(args.device), model.width)
        keep_frozen_low(model)
    draw = torch.Generator().manual_seed(1)
    pixels = torch.randn(BATCH, 3, args.side, args.side, generator=draw).to(args.device)
    side = args.side // 4  # at the logits' size, as the cached run has it
    labels = (torch.rand(BATCH, side, side, generator=draw) > 0.7).to(args.device, torch.uint8)
    optimiser = torch.optim.AdamW(trainable(model).values(), lr=1e-3)

    def run() -> None:
        with torch.no_grad():
            features = Features(library.vision_encoder(pixels).last_hidden_state) if stock else model.encode(pixels)
        segmentation_loss(model.decode(features), labels, "bce_dice").backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return run


def steps(args: argparse.Namespace, base: Path, *, warm_up: int) -> dict[str, list[float]]:
    """Seconds of single updates with the encoder in them, in turns."""
    runs = {"stock_each_step": step_of(args, base, stock=True), "ours_each_step": step_of(args, base, stock=False)}
    return paired(runs, repeats=args.steps, warm_up=warm_up, device=args.device)


def measure(args: argparse.Namespace) -> None:
    """Both, and their ratio."""
    before = environment(args.device)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        base = folder / "base"
        stock_model(args.size, args.side).save_pretrained(base)
        earlier = steps(args, base, warm_up=1)
        whole = cached(args, base, folder)
        later = steps(args, base, warm_up=0)
    times = {name: earlier[name] + later[name] for name in earlier}
    rows: dict[str, dict[str, Any]] = {}
    for name, found in times.items():
        step = summary(found)
        rows[name] = {
            "measured_step": step, "median_s": step["median_s"] * args.updates, "iqr_s": step["iqr_s"] * args.updates,
            "scaled_from_steps": len(found),
        }  # fmt: skip
    rows["ours_cached"] = {"median_s": whole["whole_s"], "iqr_s": 0.0, "measured_run": whole}
    for row in rows.values():
        row["times_faster"] = rows["stock_each_step"]["median_s"] / row["median_s"]
    kind = args.augmentation or "varied"
    name = f"ptsam_cached-{args.size}-{args.side}-{args.device}-{kind}"
    write(name, {"settings": vars(args), "machine": before, "rows": rows})


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--updates", type=int, default=300)
    options.add_argument("--augmentation", choices=["varied", "flip"], help="of the views; default: the recipe's")
    options.add_argument("--views", type=int, help="augmented views of an image besides itself; default: the recipe's")
    options.add_argument("--steps", type=int, default=2, help="measured steps with the encoder in them, twice")
    measure(options.parse_args())
