"""How the speed benchmarks measure: paired turns, synchronised clocks, peak memory in a child process. See README.md.

A benchmark is a table of contenders: name -> a function that builds it and returns what to time. `main` times them in
turns (A B A B) in one process, measures each one's peak memory in a child process of its own, and writes JSON.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import SamConfig, SamModel, SamVisionConfig

from samtune.bases import published
from samtune.system.cpu import MATRIX_UNIT, VECTOR_UNIT, processor
from samtune.system.memory import held_bytes, peak_bytes

SPREAD = 0.02
"""Standard deviation of random weights."""

RESULTS = Path(__file__).parent / "results" / "speed"
SIZES = {name.rpartition("-")[2]: family.sizes[name].get("vision_config", {}) for name, family in published().items()}

Run = Callable[[], Any]
Contender = Callable[[argparse.Namespace], Run]


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options every speed benchmark has."""
    given = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--size", choices=list(SIZES), default="base")
    given.add_argument("--side", type=int, default=1024, help="pixels, a multiple of 16")
    given.add_argument("--batch", type=int, default=1)
    given.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given.add_argument("--repeats", type=int, default=5)
    given.add_argument("--warm-up", type=int, default=1)
    given.add_argument("--only", default="", help="contenders to measure, with commas; all that this machine can run")
    given.add_argument("--no-memory", action="store_true", help="leave out the child processes")
    given.add_argument("--child", default="", help=argparse.SUPPRESS)
    return given


def stock_model(size: str, side: int, seed: int = 0) -> Any:
    """The library's `SamModel` of a size, with random weights, relative positions included.

    The library's own first values are 1e-10 wide, with which all results would be nought and agree with anything.
    """
    torch.manual_seed(seed)
    vision = SamVisionConfig(**SIZES[size], image_size=side, initializer_range=SPREAD)
    config = SamConfig(vision_config=vision.to_dict(), initializer_range=SPREAD)
    config.prompt_encoder_config.image_size = side
    config.prompt_encoder_config.image_embedding_size = side // 16
    model = SamModel(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "rel_pos" in name:
            parameter.normal_(std=0.05)
    return model


def pixels_of(args: argparse.Namespace, channels: int = 3) -> torch.Tensor:
    """Random input of the asked for size."""
    draw = torch.Generator().manual_seed(1)
    return torch.randn(args.batch, channels, args.side, args.side, generator=draw).to(args.device)


def seconds_of(run: Run, device: str) -> float:
    """Wall time of one call, all work of the device included."""
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - start


def paired(runs: dict[str, Run], *, repeats: int, warm_up: int, device: str) -> dict[str, list[float]]:
    """Time contenders in turns, A B A B, after as many unmeasured turns as `warm_up`."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(warm_up + repeats):
        for name, run in runs.items():
            taken = seconds_of(run, device)
            if turn >= warm_up:
                times[name].append(taken)
            print(f"{name}: {taken:.3f} s{'' if turn >= warm_up else ' (warm-up)'}", file=sys.stderr)
    return times


def summary(times: list[float]) -> dict[str, Any]:
    """Median, interquartile range and all times in seconds."""
    low, _, high = statistics.quantiles(times, n=4) if len(times) > 1 else (times[0],) * 3
    return {"median_s": statistics.median(times), "iqr_s": high - low, "all_s": times}


def peak_memory(run: Run, device: str) -> dict[str, int]:
    """Peak memory of one call, what was there before it (the model) included; a process of its own is wanted.

    On a CPU the resident set of the process, whose high-water mark Linux sets back on request; on a GPU what torch
    allocated.
    """
    gc.collect()
    place = torch.device(device)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")
    before = held_bytes(place)
    run()
    _wait(device)
    return {"before_bytes": before, "peak_bytes": peak_bytes(place)}


def environment(device: str) -> dict[str, Any]:
    """Everything needed to doubt a figure."""
    cpu = processor()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("torch", "transformers", "samtune")},
        "cpu": cpu.get("model name", platform.processor()),
        "bf16_units": sorted({MATRIX_UNIT, VECTOR_UNIT} & set(cpu.get("flags", "").split())),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": os.getloadavg()[0],
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
    }


def main(
    name: str, contenders: dict[str, Contender], args: argparse.Namespace, extra: Callable[[], dict[str, Any]] = dict
) -> None:
    """Measure, print and write `results/speed/NAME-SIZE-SIDE-DEVICE.json`.

    Args:
        name: of the benchmark.
        contenders: the first is what the others are compared with.
        args: of `parser`.
        extra: what it returns goes into the JSON as it is; called at last, so that its work is not in the load before.
    """
    if args.child:
        run = contenders[args.child](args)
        print(json.dumps(peak_memory(run, args.device)))
        return
    chosen = {key: contenders[key] for key in (args.only.split(",") if args.only else contenders)}
    before = environment(args.device)
    runs = {key: build(args) for key, build in chosen.items()}
    times = paired(runs, repeats=args.repeats, warm_up=args.warm_up, device=args.device)
    del runs
    gc.collect()
    rows: dict[str, dict[str, Any]] = {key: summary(found) for key, found in times.items()}
    for key in () if args.no_memory else rows:
        rows[key] |= _in_a_child(key)
    first = next(iter(rows.values()))
    for row in rows.values():
        row["times_faster"] = first["median_s"] / row["median_s"]
    given = {key: value for key, value in vars(args).items() if key not in ("child", "only")}
    write(
        f"{name}-{args.size}-{args.side}-{args.device}", {"settings": given, "machine": before, "rows": rows} | extra()
    )


def write(name: str, content: dict[str, Any]) -> None:
    """Print the rows and write the JSON."""
    for key, row in content["rows"].items():
        peak = f"{row['peak_bytes'] / 1e9:8.2f} GB" if "peak_bytes" in row else ""
        print(f"{key:28} {row['median_s']:9.3f} s  iqr {row['iqr_s']:7.3f} {peak}  x{row['times_faster']:.2f}")
    save(name, content)


def save(name: str, content: dict[str, Any]) -> None:
    """Write `results/speed/NAME.json`, with what the host withheld meanwhile, and say where it lies."""
    content["machine"]["stolen"] = stolen_since(_START)
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(content, indent=1) + "\n")
    print(file)


def _in_a_child(contender: str) -> dict[str, int]:
    """The peak memory of one contender, in a process that holds nothing else."""
    command = [sys.executable, *sys.argv, "--child", contender]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def processor_ticks() -> tuple[int, int]:
    """Processor time that this machine has used so far, and that its host gave to others though it was wanted here.

    Both 0 where Linux does not tell.
    """
    file = Path("/proc/stat")
    if not file.is_file():
        return 0, 0
    user, nice, system, _, _, irq, softirq, steal = map(int, file.read_text().split(maxsplit=9)[1:9])
    return user + nice + system + irq + softirq, steal


def stolen_since(start: tuple[int, int]) -> float:
    """The share of the wanted processor time that the host withheld since `start`, of `processor_ticks`."""
    used, stolen = (now - then for now, then in zip(processor_ticks(), start, strict=True))
    return round(stolen / max(1, used + stolen), 3)


_START = processor_ticks()


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
