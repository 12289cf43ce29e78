from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import SamModel

import schedule
import train
from model import check, new_model
from schedule import Plan
from tests.pretrain.conftest import PRETRAIN

NEW_RUN = ["--work", "1.25", "--slots", "4", "--parts", "1", "--warm-up", "2", "--keep", "0.5", "--clicks", "0.5"]
SITTING = ["--bf16", "off", "--score-every", "inf", "--held-out", "0", "--save-every", "0"]
SMALL = "import schedule; schedule.SIDES, schedule.SCENES = (64, 64, 64), (1, 1, 1)\n"
KILLED = (
    SMALL
    + """
import os, signal, sys, train
step = train.Trainer.train_step
def dying(self, *arguments):
    if self.step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *arguments)
train.Trainer.train_step = dying
train.main()
"""
)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(schedule, "SIDES", (64, 64, 64))
    monkeypatch.setattr(schedule, "SCENES", (1, 1, 1))
    threads = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # `train.main` takes it: as the killed process, and in the background
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)  # `train.main` sets it


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
    train.main()


def state(folder: Path) -> dict[str, object]:
    loaded: dict[str, object] = torch.load(folder / "state.pt", weights_only=True)
    return loaded


def assert_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(monkeypatch, "--state", whole, *NEW_RUN, *SITTING)
    arguments = ["--state", str(broken), *NEW_RUN, *SITTING]
    environment = os.environ | {"PYTHONPATH": str(PRETRAIN), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], env=environment, capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    assert state(broken)["step"] == 3
    run(monkeypatch, "--state", broken, *SITTING)
    ours, theirs = state(broken), state(whole)
    assert ours["step"] == theirs["step"] == 5
    for part in ("sam", "side", "average"):
        assert_equal(ours[part], theirs[part])  # type: ignore[arg-type]

    run(monkeypatch, "--state", whole, "--export", tmp_path / "nano")
    exported = SamModel.from_pretrained(tmp_path / "nano", dtype=torch.float32)
    assert check(exported) < 1e-4
    assert (tmp_path / "nano" / "model.safetensors").stat().st_size < 8e6
    average = theirs["average"]
    assert isinstance(average, dict)
    halves = load_file(tmp_path / "nano" / "model.safetensors")
    assert all(torch.equal(halves[name], value.half()) for name, value in average.items())

    branch = tmp_path / "branch"
    run(monkeypatch, "--state", branch, "--decay-from", whole, "--decay", "0.5", *SITTING)
    assert state(branch)["step"] == 7
    plan = schedule.load_plan(branch / "plan.json")
    assert plan.rate(plan.work - 0.5, 100) == pytest.approx(plan.lr)
    assert plan.rate(plan.work - 0.25, 100) == pytest.approx(plan.lr / 2)

    started = tmp_path / "started"
    run(monkeypatch, "--state", started, "--from", tmp_path / "nano", "--position", "0.8", *NEW_RUN, *SITTING)
    assert state(started)["step"] == 1
    assert state(started)["work"] == pytest.approx(1.25)


def test_a_pause_saves_and_waits_until_its_file_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pause").touch()
    steps: list[object] = []

    def go_on(_: float) -> None:
        steps.append(state(tmp_path)["step"])
        if len(steps) == 2:
            (tmp_path / "pause").unlink()

    monkeypatch.setattr("train.time.sleep", go_on)
    run(monkeypatch, "--state", tmp_path, *NEW_RUN, *SITTING, "--stop-after", "0.1")
    assert steps == [0, 0]
    assert state(tmp_path)["step"] == 1


def test_the_rate_follows_the_work() -> None:
    plan = Plan(work=100, fall=0.2, lr=1.0, warm_up=10)
    rates = [plan.rate(work, step) for work, step in ((0, 0), (0, 4), (10, 10), (79, 99), (90, 99), (100, 99))]
    assert rates == pytest.approx([0.1, 0.5, 1, 1, 0.5, 0.02])


def test_a_second_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SystemExit, match="under way"):
            run(monkeypatch, "--state", tmp_path, *NEW_RUN, *SITTING)


def test_scores_of_a_model_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from scoring import score

    base = new_model(0).requires_grad_(False)
    for mlp in base.mask_decoder.output_hypernetworks_mlps:
        mlp.proj_out.weight.zero_()
        mlp.proj_out.bias.zero_()
    row = score(base, train.held_out_scenes(None, 1))
    assert row["box"] < 0.02 < row["filled"]
    assert {f"{k}_f" for k in ("point", "box", "category", "cross", "guided")} <= row.keys()
    assert all(np.isfinite(v) for v in row.values())
