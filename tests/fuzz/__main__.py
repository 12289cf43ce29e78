"""`python -m tests.fuzz --minutes 60`: the fuzz tests with new seeds, until the time is over or one fails."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time


def main() -> int:
    """Run rounds of ten times the cases of CI; a failing round names its seed, which repeats it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="of the first round; default: the clock")
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes
    seed = int(time.time()) if given.seed is None else given.seed
    rounds = 0
    while time.monotonic() < end:
        print(f"fuzz: round {rounds + 1}, seed {seed}", flush=True)
        command = [sys.executable, "-m", "pytest", "tests/fuzz", "-x", "--timeout=0", f"--hypothesis-seed={seed}"]
        scale = {"SAMTUNE_FUZZ": os.environ.get("SAMTUNE_FUZZ", "10"), "SAMTUNE_FUZZ_SEED": str(seed)}
        if subprocess.run(command, env=os.environ | scale, check=False).returncode:
            print(f"fuzz: failed; repeat it with python -m tests.fuzz --seed {seed}", flush=True)
            return 1
        seed, rounds = seed + 1, rounds + 1
    print(f"fuzz: {rounds} rounds without a failure", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
