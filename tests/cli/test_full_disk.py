"""A full disk under every verb that writes: one sentence, nothing half-written; with room the same command ends well.

The disk is a small tmpfs where this process may mount one, else a limit on the size of files (`EFBIG` in place of
`ENOSPC`). `pytest -s -m "slow or not slow"` prints the
table of all sizes.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from samtune.compare import here
from samtune.data import make_samples
from samtune.files import is_partial
from tests.cli.conftest import Run

SIZES = (0, 1, 2, 3, 4, 6, 8, 11, 14, 18, 24, 32, 42, 56, 75, 100, 130, 180, 240, 320, 420, 600)
"""Room in kB, 22 sizes: from nothing to where all but `evaluate`, whose page is larger, end well."""

SOME = (4, 75)
"""Those that the ordinary suite tries."""

Words = tuple[object, ...]
QUICK: Words = ("--updates", 2, "--set", "views=1", "--set", "tta=none", "--device", "cpu")


@dataclass(frozen=True)
class Disk:
    """Where a command writes.

    Attributes:
        path: of the disk; its folders `out` and `cache` are what commands write to.
        fill: leaves so many bytes free for the time of a block.
    """

    path: Path
    fill: Callable[[int], object]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)]
    mounted = bool(shutil.which("mount")) and not subprocess.run(mount, capture_output=True, check=False).returncode
    try:
        yield Disk(path, lambda room: _filled(path, room) if mounted else _limited(room))
    finally:
        if mounted:
            subprocess.run(["umount", "-l", path], check=True)


@contextmanager
def _filled(path: Path, room: int) -> Iterator[None]:
    """All of the disk but `room` bytes taken by one file."""
    filler = path / "filler"
    free = shutil.disk_usage(path).free
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - room))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def _limited(room: int) -> Iterator[None]:
    """No file of this process, and of those it starts, may grow beyond `room` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    make_samples("cells", folder, num=4, size_hw=(64, 64))
    return folder


def of_train(pairs: Path, base: Path, disk: Path, run: Path) -> Words:
    return "train", pairs / "images", pairs / "masks", "--base", base, "--out", disk / "out", *QUICK


def of_predict(pairs: Path, base: Path, disk: Path, run: Path) -> Words:
    more = ("--probabilities", "--overlay", "--tta", "none", "--device", "cpu")
    return "predict", run, pairs / "images", "--out", disk / "out", *more


def of_evaluate(pairs: Path, base: Path, disk: Path, run: Path) -> Words:
    if not (disk / "out").exists():
        shutil.copytree(run, disk / "out")
    more = ("--per-image", disk / "new" / "scores.csv", "--device", "cpu")
    return "evaluate", disk / "out", pairs / "images", pairs / "masks", *more


def of_compare(pairs: Path, base: Path, disk: Path, run: Path) -> Words:
    more = ("--methods", "ptsam", "--shots", 2, "--seeds", 1, "--test", 2, "--updates", 1, "--device", "cpu")
    return "compare", pairs / "images", pairs / "masks", "--base", base, "--out", disk / "out", *more


def of_doctor(pairs: Path, base: Path, disk: Path, run: Path) -> Words:
    return "doctor", pairs / "images", pairs / "masks", "--fix", disk / "out"


def of_cache(pairs: Path, base: Path, disk: Path, run: Path) -> Words:
    """A run elsewhere, whose features lie on the full disk."""
    return "train", pairs / "images", pairs / "masks", "--base", base, "--out", disk.parent / "elsewhere", *QUICK


VERBS = (of_train, of_predict, of_evaluate, of_compare, of_doctor, of_cache)
QUICK_VERBS = tuple(verb for verb in VERBS if verb is not of_compare)
CASES = [
    *(pytest.param(verb, room) for verb in QUICK_VERBS for room in SOME),
    *(pytest.param(verb, room, marks=pytest.mark.slow)
      for verb in VERBS for room in SIZES if verb is of_compare or room not in SOME),
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(pairs: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    words = of_train(pairs, base, folder.parent, folder)
    environment = os.environ | {"SAMTUNE_CACHE": str(folder.parent / "cache")}
    command = [sys.executable, "-m", "samtune", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return folder.parent / "out"


@pytest.mark.parametrize(("verb", "room"), CASES)
def test_a_full_disk_is_one_sentence_and_the_same_command_ends_well_with_room(
    run: Run, disk: Disk, pairs: Path, base: Path, trained: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest,
    verb: Callable[[Path, Path, Path, Path], Words], room: int,
) -> None:  # fmt: skip
    if verb is of_compare:
        monkeypatch.setattr("samtune.compare.run.compare.__kwdefaults__", {"run": here, "overwrite": False})
        monkeypatch.setattr("samtune.pages.comparison.write_comparison_page.__kwdefaults__", {
            "run": here, "suggestions": None, "committee": None,
        })  # fmt: skip
    cache = disk.path / "cache" if verb is of_cache else disk.path.parent / "cache"
    monkeypatch.setenv("SAMTUNE_CACHE", str(cache))
    words = verb(pairs, base, disk.path, trained)
    with disk.fill(room * 1000):  # type: ignore[attr-defined]
        answer = run(*words)
    if request.config.getoption("capture") == "no":
        with capsys.disabled():
            print(f"{verb.__name__[3:]:9} {room:4} kB  {answer.err.splitlines()[-1] if answer.code else 'ended well'}")
    if answer.code:
        assert answer.code == 2
        assert "Traceback" not in answer.err + answer.out
        [sentence] = [line for line in answer.err.splitlines() if line.startswith("samtune: ")]
        assert sentence.startswith("samtune: Cannot write ") or "free" in sentence
        assert str(cache if verb is of_cache else disk.path) in sentence
        assert ("SAMTUNE_CACHE" in sentence) == (verb is of_cache)
        if verb is of_evaluate:
            assert "iou_per_image" in answer.out
    assert not [path for path in disk.path.rglob("*") if is_partial(path.name)]
    again = run(*words)
    if answer.code or verb not in (of_train, of_doctor, of_cache):  # these refuse what is complete
        assert again.code == 0, again.err
    else:
        assert again.code == 2
