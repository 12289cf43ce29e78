"""Pre-train `nano`: a SAM of 3.95 million parameters, on procedural scenes only, on two CPU cores.

The schedule follows the wall clock: 128-pixel views, then 192, then whole padded 256-pixel images; a constant
learning rate with a linear fall at the end. The exponential average of the weights is exported every few
minutes as a transformers folder in fp16; `--resume` goes on from the state beside it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from model import GRID, PATCH, check, encode, new_model, position_windows
from muon import optimisers
from objective import Objective, Side
from prompts import cell_shares
from replay import LAYOUTS, Replay, batch, draw_slot
from scenes import texture_bank

PHASES = ((0.66, 128, 4), (0.86, 192, 2), (1.0, 256, 1))  # up to this share: pixels, scenes a step
NUM_HELD_OUT, HELD_OUT_SEED = 16, 999


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/nano"), help="folder of exports, state and log")
    parser.add_argument("--minutes", type=float, default=80, help="wall-clock length of the schedule")
    parser.add_argument("--until", help="HH:MM (local) at which the schedule ends, instead of --minutes")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/state.pt with a new schedule")
    parser.add_argument("--start", type=float, default=0.0, help="share of the schedule to start at")
    parser.add_argument("--lr", type=float, default=8e-4)
    parser.add_argument("--adamw", action="store_true", help="AdamW alone, without Muon")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--period", type=float, default=0.8, help="seconds from one new scene to the next")
    parser.add_argument("--validate-every", type=float, default=300, help="seconds")
    return parser.parse_args()


def _seconds_left(options: argparse.Namespace) -> float:
    if options.until is None:
        return float(options.minutes * 60)
    hour, minute = (int(v) for v in options.until.split(":"))
    now = datetime.datetime.now()
    end = now.replace(hour=hour, minute=minute, second=0)
    return (end - now).total_seconds() % 86400


def learning_rate(share: float, step: int, peak: float) -> float:
    """Warm up over 100 steps, hold, and fall linearly to 2 % over the last 40 % of the time."""
    fall = 1.0 if share < 0.6 else max(0.02, (1 - share) / 0.4)
    return peak * min(1.0, (step + 1) / 100) * fall


@torch.no_grad()
def probe_iou(sam: Any, images: Any) -> float:
    """A ridge regression on one image's neck features, read on another of the same scene: mean IoU of cells."""
    side = images.pixels.shape[-1] // PATCH
    embedding = encode(sam, images.pixels, position_windows(sam, side, side, images.corners)[0])
    scores = []
    for first in range(0, len(embedding), LAYOUTS):
        for k in np.unique(images.categories[first]):
            truth = torch.from_numpy(cell_shares(images.categories[first : first + 2] == k, PATCH)).view(2, -1)
            if k == 0 or truth.sum(1).min() < 1:
                continue
            x = torch.cat([embedding[first : first + 2], torch.ones(2, side * side, 1)], -1)
            gram = x[0].T @ x[0] + 10 * torch.eye(x.shape[-1])
            guess, want = x[1] @ torch.linalg.solve(gram, x[0].T @ truth[0]) > 0.4, truth[1] > 0.5
            scores.append(float((guess & want).sum() / (guess | want).sum().clamp_min(1)))
    return float(np.mean(scores))


class Run:
    """The state of a run and its files."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.step = options, 0
        torch.manual_seed(options.seed)
        self.sam, self.side_heads = new_model(options.seed), Side()
        self.sam.shared_image_embedding.requires_grad_(False)
        named = {n: p for n, p in self.sam.named_parameters() if p.requires_grad}
        self.parameters = named | {f"side.{n}": p for n, p in self.side_heads.named_parameters()}
        masks = {n for n in named if "mask_embed" in n and "no_mask" not in n}
        self.optimisers = optimisers(
            {n: p for n, p in self.parameters.items() if n not in masks}, options.lr, not options.adamw
        )
        self.optimisers.append(torch.optim.AdamW([named[n] for n in sorted(masks)], options.lr, weight_decay=0.0))
        self.average = {n: p.detach().clone() for n, p in named.items()}
        self.objective = Objective(self.sam, self.side_heads)
        options.out.mkdir(parents=True, exist_ok=True)
        if options.resume:
            self._load()
        self.rng = np.random.default_rng([options.seed, self.step])
        textures, rng = texture_bank(HELD_OUT_SEED), np.random.default_rng(HELD_OUT_SEED)
        self.held_out = [draw_slot(rng, textures) for _ in range(NUM_HELD_OUT)]

    def log(self, row: dict[str, Any]) -> None:
        """Append a row to the log and print it."""
        row = {k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()}
        with (self.options.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    def train_step(self, replay: Replay, side: int, scenes: int, lr: float) -> dict[str, float]:
        """One update."""
        pad = 0.4 if side == 256 else 0.1
        images = batch(self.rng, replay.draw(self.rng, scenes), side, pad=pad)
        clicks = self.rng.random() < 0.25
        loss, figures = self.objective(self.rng, images, clicks, guided=not clicks and self.rng.random() < 0.6)
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        figures["norm"] = float(torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), 1.0))
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = lr
            optimiser.step()
        self.step += 1
        keep = min(0.998, (10 + self.step) / (100 + self.step))
        live = [self.parameters[n].detach() for n in self.average]
        torch._foreach_lerp_(list(self.average.values()), live, 1 - keep)
        return figures

    @torch.no_grad()
    def validate(self, side: int = 256) -> dict[str, float]:
        """Measure the averaged weights on held-out scenes, and export them."""
        live = {n: self.parameters[n].detach().clone() for n in self.average}
        for n, value in self.average.items():
            self.parameters[n].copy_(value)
        rows, rng = [], np.random.default_rng(HELD_OUT_SEED)
        for first in range(0, NUM_HELD_OUT, 4):
            images = batch(rng, self.held_out[first : first + 4], side, augment=False)
            figures = self.objective(rng, images, clicks=False, guided=True)[1]
            rows.append(figures | {"probe": probe_iou(self.sam, images)})
        self.export()
        for n, value in live.items():
            self.parameters[n].copy_(value)
        return {k: float(np.mean([r[k] for r in rows])) for k in rows[0]}

    def export(self) -> None:
        """Write the current weights as a transformers folder, and the state for `--resume`."""
        out = self.options.out
        weights = {n: p.detach().half().contiguous() for n, p in self.sam.state_dict().items()}
        weights.pop("prompt_encoder.shared_embedding.positional_embedding", None)  # tied
        save_file(weights, out / "part.safetensors", metadata={"format": "pt"})
        os.chmod(out / "part.safetensors", 0o644)
        os.replace(out / "part.safetensors", out / "model.safetensors")
        self.sam.config.save_pretrained(out)

    def save(self) -> None:
        """Write the state for `--resume`."""
        out = self.options.out
        state = {
            "sam": self.sam.state_dict(), "side": self.side_heads.state_dict(), "average": self.average,
            "optimisers": [o.state_dict() for o in self.optimisers], "step": self.step,
        }  # fmt: skip
        torch.save(state, out / "part.pt")
        os.replace(out / "part.pt", out / "state.pt")

    def _load(self) -> None:
        state = torch.load(self.options.out / "state.pt", weights_only=True)
        self.sam.load_state_dict(state["sam"])
        self.side_heads.load_state_dict(state["side"])
        self.average, self.step = state["average"], state["step"]
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)


def main() -> None:
    """Train until the clock says so."""
    options = arguments()
    replay = Replay(options.seed + int(time.time()) * options.resume, eager=200, period_s=options.period)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    run = Run(options)
    total = _seconds_left(options)
    run.log({"check": check(run.sam), "parameters": sum(p.numel() for p in run.sam.parameters()), "seconds": total})
    while replay.count.value < 50:
        time.sleep(0.2)
    start, marked, checked, first = time.time(), time.time(), 0.0, run.step
    smooth: dict[str, float] = {}
    try:
        while (share := options.start + (1 - options.start) * (time.time() - start) / total) < 1:
            _, side, scenes = next(phase for phase in PHASES if share < phase[0])
            run.objective.balance = 0.25 if run.step < 600 else 0.1
            lr = learning_rate(share, run.step, options.lr)
            for k, v in run.train_step(replay, side, scenes, lr).items():
                smooth[k] = v if not math.isfinite(smooth.get(k, v)) else 0.95 * smooth.get(k, v) + 0.05 * v
            if run.step % 25 == 0:
                now = time.time()
                place = {"step": run.step, "minutes": (now - start) / 60, "side": side, "lr": lr}
                run.log(place | {"s_step": (now - marked) / 25, "scenes": replay.count.value} | smooth)
                marked = now
            if run.step - first == 5 or time.time() - checked > options.validate_every:
                row = {f"val_{k}": v for k, v in run.validate().items()}
                run.save()
                run.log({"step": run.step, "minutes": (time.time() - start) / 60} | row)
                checked = marked = time.time()
        row = {f"val_{k}": v for k, v in run.validate().items()}
        run.save()
        run.log({"step": run.step, "minutes": (time.time() - start) / 60, "final": True} | row)
    finally:
        replay.close()


if __name__ == "__main__":
    assert GRID * PATCH == 256
    main()
