"""Ctrl-C, SIGTERM and SIGKILL at any moment, then `--resume`: the bytes of an undisturbed run.

python -m tests.training.test_interruption FOLDER [--runs 30]    the same 60 runs as the slow test, with figures
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from samtune.adapters import load_specialist
from samtune.segment import full_size
from samtune.specialist import Specialist
from samtune.training import RunFolder, interruptible, read_result, result
from samtune.training import run as run_module
from samtune.training import trainer as trainer_module
from samtune.training import validation as validation_module
from samtune.training.interruption import Interrupted, check
from samtune.training.trainer import Trainer
from samtune.training.updater import Updater
from tests.training.tiny_run import prepare, run

SAME = ("history.jsonl", "metrics.csv", "probe.safetensors", "specialist/adapter_model.safetensors")


def assert_same(whole: Path, other: Path) -> None:
    for file in SAME:
        assert (whole / file).read_bytes() == (other / file).read_bytes(), file
    one, two = read_result(whole), read_result(other)
    assert (one.stopped, one.steps, one.validation) == (two.stopped, two.steps, two.validation)
    assert not (other / "last").exists()
    assert not (other / "samtune.lock").exists()


def at_call(number: int, real: Callable[..., Any], signals: int = 1) -> Callable[..., Any]:
    """A function that gets Ctrl-C in its call of a number, before it does its work."""
    calls = [0]

    @functools.wraps(real)
    def interrupted(*given: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            for press in range(signals):
                time.sleep(0.3 * press)  # two presses, and not one that is forwarded
                signal.raise_signal(signal.SIGINT)
        return real(*given, **named)

    return interrupted


MOMENTS: dict[str, tuple[Any, str, int]] = {
    "before the base is loaded": (run_module, "base_and_plan", 1),
    "features are encoded": (run_module, "encode_views", 1),
    "the probe is fitted": (run_module, "fit_probe", 1),
    "the method is attached": (run_module, "adapt_base", 1),
    "before the first update": (Trainer, "run", 1),
    "in the first update": (Trainer, "update", 1),
    "in an update": (Updater, "backward", 6),
    "the average is updated": (Updater, "update_average", 5),
    "in the first evaluation": (validation_module, "full_size", 2),
    "in an evaluation": (validation_module, "full_size", 5),
    "in the last evaluation": (validation_module, "full_size", 7),
    "a checkpoint is written": (trainer_module, "write_state", 3),
    "the history is written": (RunFolder, "append_history", 4),
}
"""When Ctrl-C comes: the call of a number of a function; the run has 8 updates, and 4 evaluations of 2 images."""

NOTHING_YET = list(MOMENTS)[:5]


@pytest.mark.parametrize(
    "settings",
    [pytest.param({"ema": 0.9}, id="ptsam-ema"), pytest.param({"method": "lora"}, id="lora", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_and_resume_give_the_bytes_of_an_undisturbed_run(
    prepared: Path, undisturbed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, moment: str,
    settings: dict[str, Any],
) -> None:  # fmt: skip
    settings = {"updates": 8, "evaluations": 4} | settings
    if moment == "the average is updated" and "ema" not in settings:
        pytest.skip("without a running average")
    whole = undisturbed(**settings)
    own = prepared / "own"
    shutil.rmtree(own, ignore_errors=True)
    owner, name, number = MOMENTS[moment]
    with monkeypatch.context() as patch:
        patch.setenv("SAMTUNE_CACHE", str(prepared / f"cache of {moment}"))
        patch.setattr(owner, name, at_call(number, getattr(owner, name)))
        if moment in NOTHING_YET:
            with pytest.raises(KeyboardInterrupt):
                run(prepared, "own", **settings)
            assert not (own / "specialist").exists()
            assert not (own / "metrics.json").exists()
        else:
            result = run(prepared, "own", **settings)
            assert result.stopped == "interrupted"
            assert load_specialist(own)[1].metrics == result.validation
            assert (own / "last").is_dir()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not (own / "samtune.lock").exists()
    assert run(prepared, "own", resume=True, **settings).stopped == "finished"
    assert_same(whole, own)


@pytest.fixture(scope="session")
def undisturbed(prepared: Path) -> Callable[..., Path]:
    """The folder of an undisturbed run with these settings, trained once."""
    known: dict[str, Path] = {}

    def make(**settings: Any) -> Path:
        key = repr(sorted(settings.items()))
        if key not in known:
            known[key] = prepared / f"undisturbed-{len(known)}"
            run(prepared, known[key].name, **settings)
        return known[key]

    return make


@pytest.mark.parametrize("function", ["save", "write_json"])
def test_ctrl_c_while_the_result_is_written_comes_after_it(
    prepared: Path, undisturbed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    """The run is finished by then; and the signal is not lost, so that what comes after it in a program stops."""
    settings: dict[str, Any] = {"updates": 8, "evaluations": 4, "ema": 0.9}
    shutil.rmtree(prepared / "own", ignore_errors=True)
    with monkeypatch.context() as patch:
        patch.setattr(result, function, at_call(1, getattr(result, function)))
        with pytest.raises(KeyboardInterrupt):
            run(prepared, "own", **settings)
    assert_same(undisturbed(**settings), prepared / "own")


def test_a_second_ctrl_c_stops_at_once_and_leaves_what_can_be_resumed(
    prepared: Path, undisturbed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"updates": 8, "evaluations": 4, "ema": 0.9}
    shutil.rmtree(prepared / "own", ignore_errors=True)
    for owner, name, number in ((Updater, "backward", 3), (Trainer, "evaluate", 1), (Trainer, "checkpoint", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, at_call(number, getattr(owner, name), signals=2))
            with pytest.raises(KeyboardInterrupt):
                run(prepared, "own", resume=True, **settings)
    run(prepared, "own", resume=True, **settings)
    assert_same(undisturbed(**settings), prepared / "own")


@pytest.mark.parametrize("number", [1, 3])
def test_ctrl_c_where_patience_ends_the_run(prepared: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    settings: dict[str, Any] = {"updates": 40, "evaluations": 40, "patience": 2, "method": "decoder_only",
                                "learning_rate": 3e-2}  # fmt: skip
    for name in ("patient", "own"):
        shutil.rmtree(prepared / name, ignore_errors=True)
    whole = run(prepared, "patient", **settings)
    assert whole.stopped == "early"
    last = whole.steps  # of evaluations, one after each update
    with monkeypatch.context() as patch:
        patch.setattr(validation_module, "full_size", at_call(2 * last - 4 + number, full_size))
        assert run(prepared, "own", **settings).stopped == "interrupted"
    run(prepared, "own", resume=True, **settings)
    assert_same(prepared / "patient", prepared / "own")


def test_sigterm_is_honoured_like_ctrl_c(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update = Trainer.update

    def terminated(self: Trainer, step: int) -> None:
        if step == 2:
            signal.raise_signal(signal.SIGTERM)
        update(self, step)

    monkeypatch.setattr(Trainer, "update", terminated)
    shutil.rmtree(prepared / "own", ignore_errors=True)
    result = run(prepared, "own", updates=8)
    assert (result.stopped, result.steps) == ("interrupted", 3)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_in_a_thread_nothing_is_installed(prepared: Path) -> None:
    seen: list[Any] = []

    def work() -> None:
        with interruptible():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_handlers_of_others_and_ignored_signals_stay() -> None:
    def own(number: int, frame: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGINT, own), signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGINT) is own
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_a_signal_that_nothing_stops_for_is_sent_again() -> None:
    done = []

    def work() -> None:
        with interruptible():
            signal.raise_signal(signal.SIGINT)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done
    with interruptible():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted):
            check()
        check()  # honoured once


def test_fit_raises_and_says_where_the_best_is(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = prepared / "data"
    settings: dict[str, Any] = {"base": str(prepared / "base"), "updates": 6, "views": 1, "device": "cpu"}
    monkeypatch.setattr(Trainer, "update", at_call(3, Trainer.update))
    with pytest.raises(KeyboardInterrupt, match="best model so far is in"):
        Specialist.fit(data / "images", data / "masks", run=tmp_path / "run", **settings)
    assert Specialist.load(tmp_path / "run").card.num_images == 6
    monkeypatch.undo()
    monkeypatch.setattr(Trainer, "update", at_call(1, Trainer.update))
    with pytest.raises(KeyboardInterrupt, match="Nothing is kept"):
        Specialist.fit(data / "images", data / "masks", **settings)


# From here on: real processes, real signals, random moments.

CASES: list[dict[str, Any]] = [
    {"method": "ptsam", "ema": 0.9},
    {"method": "ptsam", "ema": 0.0},
    {"method": "decoder_only", "ema": 0.9},
    {"method": "lora", "ema": 0.9},
    {"method": "sam_adapter", "ema": 0.0},
    {"method": "conv_lora", "ema": 0.9},
]
"""Of methods on cached features, and of those that train in the encoder."""

UPDATES = 24


def train_in_process(environment: dict[str, str], words: list[str], log: Path) -> None:
    """`samtune` with these words, in a process that imported everything already."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
    with log.open("a") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        from samtune.cli import main

        main(words)


def start(folder: Path, out: Path, cache: Path, case: dict[str, Any]) -> Any:
    """Start a run as a user would: anew, or with --resume where it has begun."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "tests.training.tiny_run", "samtune.cli.train_verb", "samtune.pages"])
    words = ["train", "--out", str(out), "--no-report"]
    if (out / "config.toml").is_file():
        words += ["--resume"]
    else:
        words += [
            str(folder / "data" / "images"), str(folder / "data" / "masks"), "--base", str(folder / "base"),
            "--updates", str(UPDATES), "--device", "cpu", "--method", case["method"], "--set", f"ema={case['ema']}",
            "--set", "views=2", "--set", "patience=0", "--set", "evaluations=8",
            "--set", f"checkpoint_every_s={case.get('checkpoint_every_s', 0.1)}",
        ]  # fmt: skip
    environment = {"SAMTUNE_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    process = context.Process(target=train_in_process, args=(environment, words, folder / "log.txt"))
    process.start()
    return process


def finish(process: Any, folder: Path) -> int:
    process.join(300)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode  # type: ignore[no-any-return]


class Disturber:
    """Runs that are cut off at random moments of their life and resumed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lives: dict[str, float] = {}
        self.reached: Counter[str] = Counter()
        self.codes: Counter[int] = Counter()

    def whole(self, case: dict[str, Any]) -> Path:
        """The undisturbed run of a case; its life is measured."""
        out = self.folder / f"whole-{case['method']}-{case['ema']}"
        if not out.exists():
            before = time.monotonic()
            code = finish(start(self.folder, out, self.folder / f"cache-{out.name}", case), self.folder)
            self.lives[out.name] = time.monotonic() - before
            assert code == 0, (self.folder / "log.txt").read_text()[-2000:]
        return out

    def check(self, number: int, kind: signal.Signals, draw: random.Random) -> None:
        """One run, disturbed once or twice, then resumed until it is finished, and compared."""
        case = CASES[number % len(CASES)]
        whole = self.whole(case)
        out = self.folder / f"{kind.name}-{number}"
        cache = self.folder / (f"cache-{out.name}" if number % 2 else f"cache-{whole.name}")  # cold and warm
        times = draw.choice([1, 1, 2])
        life = 1.0
        while times:
            process = start(self.folder, out, cache, case | {"checkpoint_every_s": draw.choice([0.0, 0.1, 5.0])})
            process.join(life * draw.random() * self.lives[whole.name])
            if process.is_alive():
                os.kill(process.pid, kind)
            code = finish(process, self.folder)
            if code == 0:  # it was finished before the signal came: try again, earlier
                shutil.rmtree(out)
                life *= 0.8
                continue
            self.codes[code] += 1
            self.reached[_phase(out)] += 1
            times -= 1
        for _ in range(3):
            code = finish(start(self.folder, out, cache, case), self.folder)
            if code == 0:
                break
        assert code == 0, (self.folder / "log.txt").read_text()[-2000:]
        assert_same(whole, out)
        shutil.rmtree(out)


def _phase(out: Path) -> str:
    """How far a run got, by what it left."""
    for file, words in (
        ("metrics.json", "kept the best so far"), ("specialist", "writing the specialist"), ("last", "updating"),
        ("history.jsonl", "before the first checkpoint"), ("probe.safetensors", "attaching the method"),
        ("split.json", "encoding"), ("config.toml", "beginning"), (".", "claiming the folder"),
    ):  # fmt: skip
        if (out / file).exists():
            return words
    return "starting up"


KINDS = {"SIGKILL": "killed", "SIGINT": "interrupted"}


def many(folder: Path, runs: int, seed: int = 0, kinds: Sequence[str] = tuple(KINDS)) -> str:
    """So many runs of each kind of signal; figures in words."""
    prepare(folder)
    draw, disturber, begin = random.Random(seed), Disturber(folder), time.monotonic()
    for kind in kinds:
        for number in range(runs):
            disturber.check(number, signal.Signals[kind], draw)
    reached = ", ".join(f"{count} {words}" for words, count in disturber.reached.most_common())
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(disturber.codes.items()))
    return (
        f"{' and '.join(f'{runs} {KINDS[kind]}' for kind in kinds)} runs resumed to the bytes of undisturbed ones, in "
        f"{time.monotonic() - begin:.0f} s; reached: {reached}; exit codes {codes}."
    )


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("runs", [30 if os.environ.get("SAMTUNE_ALL") else 3])
def test_random_moments(tmp_path: Path, runs: int) -> None:
    print(many(tmp_path, runs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signals", nargs="+", choices=KINDS, default=list(KINDS))
    given = parser.parse_args()
    target = given.folder or Path(tempfile.mkdtemp(prefix="samtune-interruption-"))
    target.mkdir(parents=True, exist_ok=True)
    print(many(target, given.runs, given.seed, given.signals))
    sys.exit(0)
