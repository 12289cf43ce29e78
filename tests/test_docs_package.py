"""The page on adding a method, followed to the letter: pip installs the package, it trains and keeps the contract."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from samtune.adapters import load_specialist
from samtune.data import make_samples
from samtune.errors import WeightsError
from samtune.methods import METHODS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "adding-a-method.md").read_text()

VERBS = """
import json, sys
from samtune.cli import main

for arguments in json.loads(sys.argv[1]):
    try:
        main([*arguments, "--json"])
    except SystemExit as end:
        if end.code:
            raise
"""


class Package:
    """A package as the page describes it, installed by pip into a folder.

    Args:
        folder: for the package and what it installs.
    """

    def __init__(self, folder: Path) -> None:
        self.source, self.site, self.folder = folder / "package", folder / "site", folder
        self.source.mkdir()
        method, row = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        (project,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
        (self.source / "mlp_adapter.py").write_text(method)
        (self.source / "contract_mlp_adapter.py").write_text(row)
        (self.source / "pyproject.toml").write_text(project)
        pip = ("-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(self.site))
        self.python(*pip, "--disable-pip-version-check", "--quiet", str(self.source))

    def python(self, *arguments: str, path: tuple[Path, ...] = ()) -> str:
        """Run Python with the package and this samtune on its path, in the root of the checkout."""
        folders = [str(each) for each in (*path, self.site, ROOT / "src", ROOT)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders), "SAMTUNE_CACHE": str(self.folder / "cache")}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def samtune(self, *verbs: list[str]) -> list[Any]:
        """Run verbs in one process and return the JSON of each."""
        rest, answers = self.python("-c", VERBS, json.dumps(verbs)).strip(), []
        while rest:
            answer, end = json.JSONDecoder().raw_decode(rest)
            answers.append(answer)
            rest = rest[end:].lstrip()
        return answers


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return Package(tmp_path_factory.mktemp("page"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_method_is_listed_trains_and_predicts(package: Package) -> None:
    data, run, out = (str(package.folder / name) for name in ("data", "run", "predicted"))
    make_samples("cells", Path(data), num=4, seed=0)
    settings = ["--method", "mlp_adapter", "--base", "nano", "--set", "method.rank=2", "--set", "updates=2"]
    listed, narrow, _, _ = package.samtune(
        ["methods", "--base", "nano"],
        ["methods", "--base", "nano", "--classes", "3"],
        ["train", f"{data}/images", f"{data}/masks", "--out", run, *settings],
        ["predict", run, f"{data}/images", "--out", out],
    )
    assert [row["name"] for row in listed["methods"]] == [*METHODS.own, "mlp_adapter"]
    assert listed["methods"][-1]["touches_encoder"]
    assert [row["name"] for row in narrow["refused"]] == ["mlp_adapter"]
    assert len([*Path(out).rglob("*.png")]) == 4
    with pytest.raises(WeightsError, match=r"install the package .* \(entry-point group `samtune.methods`\)\.$"):
        load_specialist(Path(run) / "specialist")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_method_keeps_the_contract(package: Package) -> None:
    command = re.search(r"python (-m pytest .*)", PAGE)
    assert command is not None
    answer = package.python(*command[1].split(), "-vv", "-p", "no:cacheprovider", path=(package.source,))
    assert " 14 passed, " in answer
