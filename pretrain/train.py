"""Pre-train `nano`: a SAM of 3.95 million parameters, on drawn scenes, in the background and in many sittings.

All of a run is in its `--state` folder: `plan.json` (fixed when it is created), `state.pt` (every ten minutes, in one
step), `log.jsonl`. Started again, a run goes on where its last state was written, with the same scenes, views and
prompts, so that a run that was killed ends, on the same machine, with the weights of one that was not. It waits while
`pause` lies in the folder, ends early and in good order on SIGTERM, and refuses to run twice.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import math
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from feed import Feeder, Pool, draw_slot
from materials import Bank
from model import check, new_model
from muon import optimisers
from objective import Objective, Side, Weights
from schedule import Plan, load_plan
from scoring import SEED, score

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feed import Batch

NUM_HELD_OUT = 24
MORE = (("border", Plan.border), ("clicks", Plan.clicks))
TIED = "prompt_encoder.shared_embedding.positional_embedding"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, help="folder of the run: created, or gone on with")
    parser.add_argument("--assets", type=Path, help="folder that assets.py wrote; without it scenes are drawn only")
    parser.add_argument("--export", type=Path, help="write STATE's averaged weights here in fp16, and end")
    parser.add_argument("--score", type=Path, nargs="+", help="score these transformers folders on held-out scenes")
    parser.add_argument("--from", dest="origin", type=Path, help="transformers folder that a new run starts from")
    parser.add_argument("--position", type=float, default=0.0, help="share of the work that --from has behind it")
    parser.add_argument("--decay-from", type=Path, help="state folder whose run a new one branches off from")
    parser.add_argument("--decay", type=float, default=20_000, help="units of work in which a branch ends")
    for name, default in (("seed", 0), ("warm-up", 200), ("parts", 2), ("slots", 300), ("scale", 1)):
        parser.add_argument(f"--{name}", type=int, default=default, help="of a new run; see schedule.Plan")
    for name, amount in (("work", Plan.work), ("fall", Plan.fall), ("lr", Plan.lr), ("keep", Plan.keep), *MORE):
        parser.add_argument(f"--{name}", type=float, default=amount, help="of a new run; see schedule.Plan")
    parser.add_argument("--held-out", type=int, default=NUM_HELD_OUT, help="scenes that are scored")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", choices=("auto", "on", "off"), default="auto", help="auto: where the hardware has it")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw ahead; 0: none, and reproducible")
    parser.add_argument("--stop-after", type=float, default=math.inf, help="end this sitting after so much new work")
    parser.add_argument("--save-every", type=float, default=600, help="seconds")
    parser.add_argument("--score-every", type=float, default=3600, help="seconds of CPU time; inf: at the end alone")
    options = parser.parse_args()
    if (options.state is None) == (options.score is None):
        parser.error("Expected either --state or --score.")
    return options


def has_bf16(device: str) -> bool:
    """Whether a device multiplies bfloat16 matrices in hardware."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def load_weights(sam: Any, folder: Path) -> None:
    """Load a transformers folder's weights into a float32 model."""
    weights = load_file(folder / "model.safetensors")
    weights.setdefault(TIED, weights["shared_image_embedding.positional_embedding"])
    sam.load_state_dict({name: value.float() for name, value in weights.items()})


def export(sam: Any, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write weights as a transformers folder in fp16."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = sam.state_dict() | weights
    halves = {n: p.detach().cpu().half().contiguous() for n, p in whole.items() if n != TIED}
    save_file(halves, folder / "part.safetensors", metadata={"format": "pt"})
    os.chmod(folder / "part.safetensors", 0o644)
    os.replace(folder / "part.safetensors", folder / "model.safetensors")
    sam.config.save_pretrained(folder)


def held_out_scenes(assets: Path | None, num: int) -> list[Any]:
    """Scenes of other shapes, textures, assets and themes than training's, the same ones every time."""
    bank = Bank(SEED, assets, held_out=True)
    return [draw_slot(np.random.default_rng([SEED, k]), bank) for k in range(num)]


class Trainer:
    """The model, its optimisers and averages, and where the run stands."""

    def __init__(self, plan: Plan, device: str, bf16: bool) -> None:
        self.plan, self.device, self.bf16 = plan, torch.device(device), bf16
        self.step, self.work, self.cpu_s = 0, plan.start, 0.0
        torch.manual_seed(plan.seed)
        self.sam, self.side_heads = new_model(plan.seed), Side()
        self.sam.to(self.device), self.side_heads.to(self.device)
        self.sam.shared_image_embedding.requires_grad_(False)
        self.named = {n: p for n, p in self.sam.named_parameters() if p.requires_grad}
        self.parameters = self.named | {f"side.{n}": p for n, p in self.side_heads.named_parameters()}
        masks = {n for n in self.named if "mask_embed" in n and "no_mask" not in n}
        self.optimisers = optimisers(
            {n: p for n, p in self.parameters.items() if n not in masks}, plan.lr, True, half=bf16
        )
        own = [self.named[n] for n in sorted(masks)]
        self.optimisers.append(torch.optim.AdamW(own, plan.lr, betas=(0.9, 0.98), weight_decay=0.0))
        self.objective = Objective(self.sam, self.side_heads, Weights(border=plan.border, share_clicks=plan.clicks))
        self.rng = np.random.default_rng([plan.seed, 1])
        self.start_average()

    def start_average(self) -> None:
        """Set the average to the weights as they are."""
        self.average = {n: p.detach().clone() for n, p in self.named.items()}

    def train_step(self, batches: list[Batch], work: float) -> dict[str, float]:
        """One update on the parts of a step; `work` is what they count for."""
        rate = self.plan.rate(self.work, self.step)
        rows: list[dict[str, float]] = []
        for batch in batches:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                loss, figures = self.objective(self.rng, batch)
            (loss / len(batches)).backward()  # type: ignore[no-untyped-call]
            rows.append(figures)
        names = {n for row in rows for n in row}
        totals = {n: float(np.mean([row[n] for row in rows if n in row])) for n in sorted(names)}
        totals["norm"] = float(torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), 1.0))
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
            optimiser.zero_grad()
        self.step, self.work = self.step + 1, self.work + work
        keep = min(self.plan.keep, (10 + self.step) / (100 + self.step))
        live = [p.detach() for p in self.named.values()]
        torch._foreach_lerp_([self.average[n] for n in self.named], live, 1 - keep)
        return totals | {"lr": rate}

    def scored(self, slots: list[Any]) -> dict[str, float]:
        """Score the averaged weights."""
        live = {n: p.detach().clone() for n, p in self.named.items()}
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(self.average[name])
            row = score(self.sam, slots)
            for name, parameter in self.named.items():
                parameter.copy_(live[name])
        return row

    def state(self) -> dict[str, Any]:
        """All that `load` needs."""
        return {
            "sam": self.sam.state_dict(), "side": self.side_heads.state_dict(), "average": self.average,
            "optimisers": [o.state_dict() for o in self.optimisers], "step": self.step, "work": self.work,
            "cpu_s": self.cpu_s, "chance": json.dumps(self.rng.bit_generator.state),
        }  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.sam.load_state_dict(state["sam"])
        self.side_heads.load_state_dict(state["side"])
        self.average = {n: v.to(self.device) for n, v in state["average"].items()}
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
            for group in optimiser.param_groups:
                if "half" in group:  # what this machine is good at, not the last one
                    group["half"] = self.bf16
        self.step, self.work, self.cpu_s = state["step"], state["work"], state["cpu_s"]
        self.rng.bit_generator.state = json.loads(state["chance"])


def create(options: argparse.Namespace) -> Plan:
    """Write the plan of a new run, or of one that branches off another to end soon."""
    if options.decay_from:
        shutil.copy(options.decay_from / "state.pt", options.state / "state.pt")
        done = float(torch.load(options.state / "state.pt", weights_only=True)["work"])
        work = done + options.decay
        plan = replace(load_plan(options.decay_from / "plan.json"), work=work, fall=options.decay / work)
    else:
        names = ("seed", "work", "fall", "lr", "warm_up", "parts", "slots", "scale", "keep", "border", "clicks")
        plan = Plan(**{n: getattr(options, n) for n in names}, start=options.position * options.work)
    plan.save(options.state / "plan.json")
    return plan


class Sitting:
    """One sitting of a run: from its last state until its end, a signal, or `--stop-after`."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.folder, self.stopped = options, options.state, False
        new = not (self.folder / "plan.json").exists()
        plan = create(options) if new else load_plan(self.folder / "plan.json")
        bf16 = has_bf16(options.device) if options.bf16 == "auto" else options.bf16 == "on"
        self.trainer = Trainer(plan, options.device, bf16)
        bank = Bank(plan.seed, options.assets)
        self.parts = np.random.default_rng([plan.seed, 2])
        self.feeder = Feeder(bank, plan.seed, plan.slots if not options.workers else 1)
        if (self.folder / "state.pt").exists():
            state = torch.load(self.folder / "state.pt", weights_only=True, map_location="cpu")
            self.trainer.load(state)
            self.parts.bit_generator.state = json.loads(state["parts"])
            if not options.workers:
                self.feeder.load(json.loads(state["feeder"]))
        elif options.origin:
            load_weights(self.trainer.sam, options.origin)
            self.trainer.start_average()
        self.pool = None
        if options.workers:
            seed, slots = plan.seed + 1000 * (self.trainer.step + 1), max(8, plan.slots // options.workers)
            self.pool = Pool(bank, seed, slots, options.workers, self._requests())
        self.held_out: list[Any] = []
        self.log({"sitting": time.strftime("%Y-%m-%d %H:%M"), "bf16": bf16, "device": options.device, "new": new})

    def _requests(self) -> Iterator[tuple[int, int, int, float]]:
        while True:
            yield self.trainer.plan.draw_part(self.parts, self.trainer.work)

    def log(self, row: dict[str, Any]) -> None:
        """Append a row, with where the run stands."""
        trainer = self.trainer
        place = {"step": trainer.step, "work": round(trainer.work, 1), "core_h": round(trainer.cpu_s / 3600, 4)}
        row = place | {k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    def save(self) -> None:
        """Write the state, in one step."""
        chance = {"parts": json.dumps(self.parts.bit_generator.state), "feeder": json.dumps(self.feeder.state())}
        with (self.folder / "part.pt").open("wb") as file:
            torch.save(self.trainer.state() | chance, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.folder / "part.pt", self.folder / "state.pt")

    def score(self) -> None:
        """Score the averaged weights on held-out scenes and log it."""
        if not self.options.held_out:
            return
        if not self.held_out:
            self.held_out = held_out_scenes(self.options.assets, self.options.held_out)
        self.log({f"held_{k}": v for k, v in self.trainer.scored(self.held_out).items()})

    def _batches(self) -> tuple[list[Batch], float]:
        plan, batches, work = self.trainer.plan, [], 0.0
        for _ in range(plan.parts):
            if self.pool:
                batches.append(self.pool.next())
            else:
                batches.append(self.feeder.next(*plan.draw_part(self.parts, self.trainer.work)))
            work += len(batches[-1].pixels) * (batches[-1].pixels.shape[1] / 256) ** 2
        return batches, work

    def run(self) -> None:
        """Train until the end of the sitting."""
        trainer, options = self.trainer, self.options
        first_work, saved = trainer.work, time.monotonic()
        clock, scored_at = time.process_time(), trainer.cpu_s
        smooth: dict[str, float] = {}
        if trainer.step == 0 and math.isfinite(options.score_every):
            self.score()
            self.save()
        while trainer.work < min(trainer.plan.work, first_work + options.stop_after) and not self.stopped:
            if (self.folder / "pause").exists():
                self.save()
                saved = time.monotonic()
                while (self.folder / "pause").exists() and not self.stopped:
                    time.sleep(2)
            figures = trainer.train_step(*self._batches())
            trainer.cpu_s, clock = trainer.cpu_s + time.process_time() - clock, time.process_time()
            for name, value in figures.items():
                smooth[name] = 0.95 * smooth.get(name, value) + 0.05 * value
            if trainer.step % 50 == 0:
                self.log(smooth)
            if time.monotonic() - saved > options.save_every:
                self.save()
                saved = time.monotonic()
            if trainer.cpu_s - scored_at > options.score_every:
                self.score()
                scored_at = trainer.cpu_s
        if trainer.work >= trainer.plan.work:
            self.score()
        self.save()
        if self.pool:
            self.pool.close()


def score_folders(folders: list[Path], assets: Path | None, num: int) -> None:
    """Print the held-out scores of transformers folders, a JSON row each."""
    slots = held_out_scenes(assets, num)
    for folder in folders:
        sam = new_model(0).requires_grad_(False)
        load_weights(sam, folder)
        row = {k: round(v, 4) for k, v in score(sam, slots).items()}
        print(json.dumps({"model": str(folder)} | row), flush=True)


def main() -> None:
    """Score, export, or train."""
    options = arguments()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_flush_denormal(True)
    if options.score:
        score_folders(options.score, options.assets, options.held_out)
        return
    options.state.mkdir(parents=True, exist_ok=True)
    if options.export:
        state = torch.load(options.state / "state.pt", weights_only=True, map_location="cpu")
        export(new_model(0), state["average"], options.export)
        return
    with (options.state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"A run of {options.state} is under way already.") from None
        (options.state / "pid").write_text(f"{os.getpid()}\n")
        sitting = Sitting(options)
        signal.signal(signal.SIGTERM, lambda *_: setattr(sitting, "stopped", True))
        if sitting.trainer.step == 0:
            sitting.log({"check": check(sitting.trainer.sam)} if options.device == "cpu" else {})
        sitting.run()


if __name__ == "__main__":
    main()
