"""Run the suite as other processors and other numbers of threads would: python -m tests.isa [--only NAME] [WORDS]

torch, oneDNN and MKL choose their kernels by what the processor offers. A test that asks for more equality than
floating-point numbers have passes on one processor and fails on the next; here the choice is narrowed, and threads are
one, two and three. WORDS go to pytest. Each run's output is kept in isa-check/. Exits with 1 where a run fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from samtune.system.cpu import processor

OUT = Path("isa-check")
ISA = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
VARIANTS: dict[str, dict[str, str]] = {
    "default": {"ATEN_CPU_CAPABILITY": "default"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "1-thread": {"OMP_NUM_THREADS": "1"},
    "2-threads": {"OMP_NUM_THREADS": "2"},
    "3-threads": {"OMP_NUM_THREADS": "3"},
}
"""What is set in the environment; one thread where nothing else is said. The last three are the processor as it is."""

WHAT = "import torch; print(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())"


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes:
        seen: the kernels and the number of threads that torch reports.
        summary: pytest's last line.
        failed: the tests that did not pass.
        code: pytest's exit code.
        time_s: wall time.
    """

    seen: str
    summary: str
    failed: tuple[str, ...]
    code: int
    time_s: float


def description() -> str:
    """Return the processor's name, its widest instructions and its cores, where the system tells them."""
    facts = processor()
    flags = facts.get("flags", "").split()
    widest = next((flag for flag in ("avx512f", "avx2", "avx") if flag in flags), "no AVX")
    return f"{facts.get('model name', 'unknown')} ({widest}, {os.cpu_count()} cores)"


def run(name: str, words: list[str]) -> Result:
    """Run pytest in a variant's environment; its output goes to a file as it comes."""
    plain = {key: value for key, value in os.environ.items() if key not in ISA}
    environment = plain | {"OMP_NUM_THREADS": "1"} | VARIANTS[name]
    seen = subprocess.run([sys.executable, "-c", WHAT], env=environment, capture_output=True, text=True, check=True)
    log, start = OUT / f"{name}.log", time.monotonic()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
    with log.open("w") as stream:
        code = subprocess.run(command, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False).returncode
    lines = log.read_text().splitlines()
    failed = tuple(line.partition(" - ")[0] for line in lines if line.startswith(("FAILED ", "ERROR ")))
    return Result(seen.stdout.strip(), lines[-1] if lines else "", failed, code, time.monotonic() - start)


def main() -> int:
    """Run the variants one after the other, and tell of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=VARIANTS, action="append", help="run this variant alone; may be repeated")
    given, words = parser.parse_known_args()
    OUT.mkdir(exist_ok=True)
    print(f"processor: {description()}", flush=True)
    codes = []
    for name in given.only or VARIANTS:
        result = run(name, words)
        settings = " ".join(f"{key}={value}" for key, value in VARIANTS[name].items())
        print(f"{name}: {result.summary} ({result.time_s:.0f} s; torch says {result.seen}; {settings})", flush=True)
        for test in result.failed:
            print(f"    {test}", flush=True)
        codes.append(result.code)
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
