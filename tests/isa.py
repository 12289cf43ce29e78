"""Run the whole suite with the kernels of other processors and with 1, 2 and 3 threads.

    python -m tests.isa [--only NAME] [--without-slow] [ARGUMENTS OF PYTEST]

torch, oneDNN and MKL choose their kernels by what the processor offers. A test that expects more equality than
floating-point numbers have passes on one processor and fails on the next; here the choice is narrowed. The output of
each run is kept in isa-check/. Exits with 1 where a run fails.
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
"""Environment variables of each run, with one thread unless set; the last three use the processor as it is."""

KERNELS = "import torch; print(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())"


@dataclass(frozen=True)
class Result:
    """Result of a run of the suite.

    Attributes:
        kernels: the instruction set and the number of threads that torch reports.
        summary: pytest's last line.
        failed: names of the tests that did not pass.
        code: pytest's exit code.
        time_s: wall time.
    """

    kernels: str
    summary: str
    failed: tuple[str, ...]
    code: int
    time_s: float


def description() -> str:
    """Return the processor's name, its widest instructions and its cores, as far as the system tells them."""
    facts = processor()
    flags = facts.get("flags", "").split()
    widest = next((flag for flag in ("avx512f", "avx2", "avx") if flag in flags), "no AVX")
    return f"{facts.get('model name', 'unknown')} ({widest}, {os.cpu_count()} cores)"


def run(name: str, arguments: list[str]) -> Result:
    """Run pytest in the environment of a variant; its output goes to isa-check/NAME.log as it comes."""
    plain = {key: value for key, value in os.environ.items() if key not in ISA}
    environment = plain | {"OMP_NUM_THREADS": "1"} | VARIANTS[name]
    kernels = subprocess.run(
        [sys.executable, "-c", KERNELS], env=environment, capture_output=True, text=True, check=True
    )
    log, start = OUT / f"{name}.log", time.monotonic()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    with log.open("w") as stream:
        code = subprocess.run(command, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False).returncode
    lines = log.read_text().splitlines()
    failed = tuple(line.partition(" - ")[0] for line in lines if line.startswith(("FAILED ", "ERROR ")))
    return Result(kernels.stdout.strip(), lines[-1] if lines else "", failed, code, time.monotonic() - start)


def main() -> int:
    """Run the variants one after the other and print the result of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=VARIANTS, action="append", help="run this variant alone; may be repeated")
    parser.add_argument("--without-slow", action="store_true", help="leave out tests marked slow")
    options, arguments = parser.parse_known_args()
    if options.without_slow:
        arguments += ["-m", "not slow"]
    OUT.mkdir(exist_ok=True)
    print(f"processor: {description()}", flush=True)
    codes = []
    for name in options.only or VARIANTS:
        result = run(name, arguments)
        settings = " ".join(f"{key}={value}" for key, value in VARIANTS[name].items())
        print(f"{name}: {result.summary} ({result.time_s:.0f} s; torch says {result.kernels}; {settings})", flush=True)
        for test in result.failed:
            print(f"    {test}", flush=True)
        codes.append(result.code)
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
