"""How far `samtune train --dry-run` is from the run that follows: time and peak memory, both by the plain command.

    python benchmarks/dry_run.py [--cases a,b] [--tries 4]

Each case is the estimate in one process and the whole run in the next, on the same generated images; the store of
features is empty for both, and patience is off, since the estimate tells the time of a run that nothing ends sooner.

On a shared host the two may see different machines: where more than a twentieth of the processor time was withheld
from either, the pair is void and done again, `--tries` times at most; the last stands. The JSON has what was withheld
of each try, and beside the ratio of the times that of the times without what was withheld. Rows of cases that were
not asked for stay as they are there; machine and settings are those of the last call.
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

from measure import RESULTS, environment, processor_ticks, save, stock_model, stolen_since

from samtune.data import make_samples

WITHHELD = 0.05
"""The most that a host may withhold of a pair that counts, as a share of the processor time that was wanted."""

FILE = RESULTS / "dry_run-cpu.json"
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


def seconds_given(found: dict[str, Any]) -> float:
    """Seconds in all, without those that the host withheld."""
    total: float = found["seconds"]["total"]
    return total * (1 - found["stolen"])


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
        "time_ratio_unwithheld": seconds_given(told) / seconds_given(done),
        "stolen": {"estimate": told["stolen"], "run": done["stolen"]},
        "estimated_peak_bytes": expected, "measured_peak_bytes": peak, "memory_ratio": expected / peak,
    }  # fmt: skip
    print(
        f"{name:26} {told['seconds']['total']:7.1f} s told, {done['seconds']['total']:7.1f} s taken, "
        f"{row['time_ratio']:.2f} ({row['time_ratio_unwithheld']:.2f});  "
        f"{expected / 1e9:5.2f} GB told, {peak / 1e9:5.2f} GB taken, {row['memory_ratio']:.2f};  "
        f"withheld {told['stolen']}, {done['stolen']}", flush=True,
    )  # fmt: skip
    return row


def measure_quietly(name: str, case: Case, tries: int) -> dict[str, Any]:
    """The first pair from which the host withheld little, or the last; "tries" has what it withheld of each."""
    withheld: list[dict[str, float]] = []
    while True:
        row = measure(name, case)
        withheld.append(row["stolen"])
        if len(withheld) == tries or max(row["stolen"].values()) <= WITHHELD:
            return row | {"tries": withheld}


def main() -> None:
    """Measure each case, print and write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cases", default=",".join(CASES), help="with commas; all")
    options.add_argument("--tries", type=int, default=4, help="of a case, at most")
    chosen = options.parse_args()
    machine = environment("cpu")
    rows: dict[str, Any] = json.loads(FILE.read_text())["rows"] if FILE.is_file() else {}
    for name in chosen.cases.split(","):
        rows[name] = measure_quietly(name, CASES[name], chosen.tries)
        rows = {name: rows[name] for name in CASES if name in rows}
        save(FILE.stem, {"settings": vars(chosen), "machine": machine, "rows": rows})


if __name__ == "__main__":
    main()
