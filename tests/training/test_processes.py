"""What only real processes show: SIGKILL at random moments, and two processes that share an update."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from samtune.training import RunFolder, read_result
from tests.training.tiny_run import run, run_alone

ROOT = Path(__file__).parents[2]


def start(*args: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    command = [sys.executable, *launcher, "-m", "tests.training.tiny_run", *args]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    try:
        _, errors = process.communicate(timeout=600)  # a busy machine may take minutes for what takes seconds
    finally:
        process.kill()
    assert process.returncode == 0, errors.decode()[-2000:]


@pytest.mark.slow
def test_five_kills_at_random_steps_leave_no_trace(prepared: Path) -> None:
    updates = 150
    run(prepared, "never-killed", updates=updates)
    draw = random.Random(0)
    history = prepared / "killed" / "history.jsonl"
    reached = []
    context = multiprocessing.get_context("forkserver")  # torch is imported once, for all five
    context.set_forkserver_preload(["tests.training.tiny_run"])
    for attempt in range(5):
        process = context.Process(
            target=run_alone,
            args=(dict(os.environ), torch.get_num_threads(), prepared, "killed"),
            kwargs={"updates": updates, "resume": attempt > 0},
        )
        lines = _lines(history) if attempt else 0
        goal = lines + draw.randint(2, 20)
        process.start()
        while _lines(history) < goal and process.is_alive():
            time.sleep(0.002)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before it could be killed"
        reached.append(_lines(history))
    assert all(0 < lines < updates for lines in reached)
    run(prepared, "killed", updates=updates, resume=True)
    for file in ("history.jsonl", "specialist/adapter_model.safetensors"):
        assert (prepared / "killed" / file).read_bytes() == (prepared / "never-killed" / file).read_bytes(), file


@pytest.mark.slow
def test_two_processes_give_the_trace_of_one(prepared: Path) -> None:
    """Of a method on cached features, and of two that train in the encoder; launched once, for a launch is slow."""
    launcher = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
                "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0")  # fmt: skip
    methods = ("ptsam", "lora", "sam_adapter")
    finish(start(str(prepared), "--name", "two", "--updates", "6", "--methods", *methods, launcher=launcher))
    for method in methods:
        alone = run(prepared, f"one-{method}", method=method, updates=6)
        assert alone.num_val == read_result(prepared / f"two-{method}").num_val == 2
        one, two = (RunFolder(prepared / f"{name}-{method}").read_history() for name in ("one", "two"))
        assert len(one) == len(two) == 6
        for row, other in zip(one, two, strict=True):
            assert row.keys() == other.keys()
            for key, value in row.items():
                # Sums of another order may turn a pixel at the threshold, of which a validation image has 7,680.
                turned = 2e-4 if key.startswith("val_") else 1e-5
                limit = 1e-4 if key == "gradient_norm" else turned
                assert other[key] == pytest.approx(value, abs=limit), (method, key)


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.is_file() else 0
