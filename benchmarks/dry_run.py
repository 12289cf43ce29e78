"""How far `samtune train --dry-run` is from the run that follows: time and peak memory, both by the plain command.

    python benchmarks/dry_run.py [--cases a,b]

Each case is the estimate in one process and the whole run in the next, on the same generated images; the store of
features is empty for both, and patience is off, since the estimate tells the time of a run that nothing ends sooner.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import environment, processor_ticks, save, stock_model, stolen_since

from samtune.data import make_samples

CLI = (sys.executable, "-m", "samtune", "train")


@dataclass(frozen=True)
class Case:
    """One command.

    Attributes:
        size: of the base; None for the embedded one.
        num_images: to make.
        options: what the command has besides data, base and folder.
    """

    size: str | None
    num_images: int
    options: str


CASES = {
    "nano ptsam": Case(None, 16, "--method ptsam --updates 200"),
    "nano decoder_only": Case(None, 16, "--method decoder_only --updates 200"),
    "nano lora": Case(None, 16, "--method lora --updates 30"),
    "base ptsam": Case("base", 6, "--method ptsam --updates 60 --set augmentation=flip --set evaluations=3"),
    "base lora": Case("base", 4, "--method lora --updates 4 --batch-size 2 --set evaluations=1"),
    "base lora 512": Case("base", 6, "--method lora --side 512 --updates 6 --set evaluations=2"),
    "base conv_lora 512": Case(
        "base", 6, "--method conv_lora --side 512 --updates 6 --set evaluations=2 --set recompute=true"
    ),
}
"""What is estimated and run; short, so that all of them take about twenty minutes on two cores."""


def run(case: Case, folder: Path, base: str, *more: str) -> dict[str, Any]:
    """One process of the command: what its `--json` says, its largest resident set, and what the host withheld."""
    data = [str(folder / "data" / part) for part in ("images", "masks")]
    options = [*case.options.split(), "--base", base, "--set", "patience=0", "--device", "cpu", "--json", *more]
    answer, told = folder / "answer.json", folder / "told.txt"
    before = processor_ticks()
    with answer.open("wb") as out, told.open("wb") as err:
        child = subprocess.Popen(
            [*CLI, *data, *options], stdout=out, stderr=err, env=os.environ | {"SAMTUNE_CACHE": str(folder / "cache")}
        )
        _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(told.read_text())
    found: dict[str, Any] = json.loads(answer.read_text())
    return found | {"peak_bytes": usage.ru_maxrss * 1024, "stolen": stolen_since(before)}


def measure(name: str, case: Case) -> dict[str, Any]:
    """Estimate a case, then run it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_samples("cells", folder / "data", num=case.num_images, seed=0, size_hw=(768, 1024))
        base = "nano"
        if case.size is not None:
            base = str(folder / "base")
            stock_model(case.size, 1024).save_pretrained(base)
        told = run(case, folder, base, "--dry-run")
        done = run(case, folder, base, "--out", str(folder / "run"), "--no-report")
    expected, peak = told["memory"]["peak_bytes"], done["peak_bytes"]
    row = {
        "estimated_s": told["seconds"], "measured_s": done["seconds"],
        "time_ratio": told["seconds"]["total"] / done["seconds"]["total"],
        "stolen": {"estimate": told["stolen"], "run": done["stolen"]},
        "estimated_peak_bytes": expected, "measured_peak_bytes": peak, "memory_ratio": expected / peak,
    }  # fmt: skip
    print(
        f"{name:26} {told['seconds']['total']:7.1f} s told, {done['seconds']['total']:7.1f} s taken, "
        f"{row['time_ratio']:.2f};  {expected / 1e9:5.2f} GB told, {peak / 1e9:5.2f} GB taken, "
        f"{row['memory_ratio']:.2f};  withheld {told['stolen']}, {done['stolen']}", flush=True,
    )  # fmt: skip
    return row


def main() -> None:
    """Measure each case, print and write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cases", default=",".join(CASES), help="with commas; all")
    given = options.parse_args()
    machine = environment("cpu")
    rows = {name: measure(name, CASES[name]) for name in given.cases.split(",")}
    save("dry_run-cpu", {"settings": vars(given), "machine": machine, "rows": rows})


if __name__ == "__main__":
    main()
