"""The command line is a contract: a change here is a change of the product."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest
import typer.main

from samtune.cli import app
from tests.cli.conftest import Run

MASKS = [
    "--background", "--classes", "--colour", "--colour-tolerance", "--colours", "--drawn-on", "--ids", "--ignore-label",
    "--instances", "--no-instances", "--threshold",
]  # fmt: skip

SURFACE = {
    "demo": ["--base", "--json", "--kind", "--out", "--seed"],
    "train": [
        *MASKS, "--accumulate", "--base", "--batch-size", "--config", "--device", "--dry-run", "--json", "--method",
        "--no-report", "--out", "--recipe", "--report", "--resume", "--seed", "--set", "--shots", "--side", "--updates",
        "--val", "--val-images", "--val-masks", "images", "masks",
    ],
    "predict": [
        "--base", "--batch-size", "--device", "--json", "--out", "--overlay", "--overwrite", "--probabilities",
        "--tta", "inputs", "specialist",
    ],
    "evaluate": [
        *MASKS, "--base", "--batch-size", "--device", "--json", "--no-report", "--overwrite", "--per-image",
        "--protocol", "--at", "--report", "--spacing", "--tta", "--unseen", "images", "masks", "specialist",
    ],
    "compare": [
        *MASKS, "--base", "--device", "--jobs", "--json", "--methods", "--out", "--overwrite", "--seeds", "--set",
        "--shots", "--side", "--suggest", "--test", "--unlabelled", "--updates", "images", "masks",
    ],
    "doctor": [*MASKS, "--fix", "--json", "--side", "images", "masks"],
    "methods": ["--base", "--classes", "--json"],
    "settings": ["--json", "--method"],
    "info": ["--json", "specialist"],
    "data": [],
    "cache": ["--json"],
    "reproduce": [
        "--base", "--data", "--device", "--dry-run", "--json", "--methods", "--out", "--overwrite", "--seeds", "--set",
        "paper",
    ],
}  # fmt: skip
"""Verb -> its options and arguments."""


def test_the_surface_is_frozen() -> None:
    group = typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        words = [word for p in command.params for word in (*p.opts, *p.secondary_opts)]
        found[name] = sorted(words)
    assert found == {name: sorted(words) for name, words in SURFACE.items()}


@pytest.mark.skipif(os.name != "posix", reason="asks for the processor time of a child")
def test_help_answers_under_a_second() -> None:
    """By the processor time of the whole command, which other work on the machine does not lengthen as it does the
    wall time."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "samtune", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 1, times


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom samtune.cli import main\n"
        "try:\n    main(['train', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'numpy', 'scipy', 'cv2', 'matplotlib', 'rich', 'PIL', 'jinja2'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_every_verb_has_help(run: Run) -> None:
    for name in SURFACE:
        answer = run(name, "--help")
        assert answer.code == 0
        assert f"Usage: samtune {name}" in answer.out


def test_version_and_wrong_words(run: Run) -> None:
    assert run("--version").out.strip().count(".") == 2
    wrong = run("predict", "a", "b", "--oot", "c")
    assert wrong.code == 2
    assert "--out" in wrong.err
    assert run("trian").code == 2
