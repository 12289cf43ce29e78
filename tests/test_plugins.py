"""Packages outside add rows to samtune's tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from samtune import plugins
from samtune.bases import FAMILIES, load_base
from samtune.data.formats.table import FORMATS
from samtune.errors import ConfigError, WeightsError
from samtune.methods import METHODS, make_method
from samtune.methods.seam.registry import stored_method
from samtune.plugins import Table
from samtune.tasks import TASKS, find_task
from tests.toys.toy_base import write_toy
from tests.toys.toy_task import ToyTask

METHOD = """
from dataclasses import dataclass
from samtune.methods.seam.recipes import Recipe

@dataclass(frozen=True)
class Given:
    name = "given"
    source = "this test"
    starts_as_identity = True
    recipe = Recipe()
    size: int = 4
    def attach(self, base, *, num_classes):
        pass

class NoDataclass:
    name = "loose"

@dataclass(frozen=True)
class Lacking:
    name = "lacking"
    source = "this test"
    recipe = Recipe()

@dataclass(frozen=True)
class Lora(Given):
    name = "lora"
"""

FORMAT = """
class Points:
    name = "points"
    expects = "a folder with points.txt"
    def detect(self, images, masks):
        return None
    def read(self, images, masks, options):
        raise AssertionError
"""


def install(folder: Path, package: str, entries: dict[str, dict[str, str]], **modules: str) -> None:
    """Write modules and the metadata of a package as pip leaves them."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    groups = (f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in rows.items()) for group, rows in entries.items())
    (info / "entry_points.txt").write_text("\n".join(groups))
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path for packages, whose rows leave the tables after the test."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    tables: tuple[Table[Any], ...] = (METHODS, FAMILIES, FORMATS, TASKS)
    before = [{**vars(table), "_rows": dict(table._rows)} for table in tables]
    for table in tables:
        vars(table).update(_complete=False, _refusals={}, _packages={})
    plugins.installed.cache_clear()
    yield tmp_path / "site"
    plugins.installed.cache_clear()
    for table, attributes in zip(tables, before, strict=True):
        vars(table).update(attributes)
    for name in ("given_methods", "given_format", "given_other"):
        sys.modules.pop(name, None)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sentences: list[str] = []
    monkeypatch.setattr(plugins, "say", sentences.append)
    return sentences


def test_every_table_takes_rows_of_packages(site: Path, said: list[str], tmp_path: Path) -> None:
    install(
        site,
        "given",
        {
            "samtune.methods": {"given": "given_methods:Given"},
            "samtune.bases": {"toy": "tests.toys.toy_base:ToyFamily"},
            "samtune.formats": {"points": "given_format:Points"},
            "samtune.tasks": {"toy_absence": "tests.toys.toy_task:ToyTask"},
            "console_scripts": {"lora": "nothing:at_all"},
        },
        given_methods=METHOD,
        given_format=FORMAT,
    )
    assert make_method("given", size=3).size == 3  # type: ignore[attr-defined]
    assert [*METHODS] == [*METHODS.own, "given"]
    assert [*FORMATS] == [*FORMATS.own, "points"]
    assert find_task(ToyTask.name).num_maps(2) == 1
    assert load_base(write_toy(tmp_path / "toy")).spec.image_size == 64
    assert not said


def test_own_rows_read_no_metadata(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(plugins, "installed", lambda: pytest.fail("read the entry points"))
        assert "folders" in FORMATS
        assert make_method("lora").name == "lora"


BROKEN = {
    "lora": ("given_methods:Lora", "Expected a new name for the method 'lora', which samtune has already; rename it"),
    "loose": ("given_methods:NoDataclass", "Expected a frozen dataclass, got <class 'given_methods.NoDataclass'>"),
    "lacking": ("given_methods:Lacking", "Expected the members of `Method`, got none named starts_as_identity, attach"),
    "other": ("given_methods:Given", "to be that of its entry point, got 'given'"),
    "absent": ("given_methods:Absent", "AttributeError: "),
    "nowhere": ("given_nowhere:X", "ModuleNotFoundError: No module named 'given_nowhere'"),
    "leaving": ("given_other:X", "SystemExit: 3"),
}


def test_what_cannot_be_used_is_left_out_by_name(site: Path, said: list[str]) -> None:
    rows = {name: target for name, (target, _) in BROKEN.items()}
    install(site, "broken", {"samtune.methods": rows}, given_methods=METHOD, given_other="raise SystemExit(3)")
    install(site, "given", {"samtune.methods": {"given": "given_methods:Given"}})
    install(site, "late", {"samtune.methods": {"given": "given_methods:Given", "lora": "given_methods:Lora"}})
    (site / "unreadable-1.0.dist-info").mkdir()
    (site / "unreadable-1.0.dist-info" / "entry_points.txt").write_bytes(b"[samtune.methods]\n\xff = \n")
    assert [*METHODS] == [*METHODS.own, "given"], "the others are there"
    assert METHODS["lora"].__module__ == "samtune.methods.lora"
    for name, (_, reason) in BROKEN.items():
        (sentence,) = [each for each in said if f"package broken offers the method {name!r} in" in each]
        assert reason in sentence
        assert sentence.endswith("; update or uninstall the package.")
    assert sum("package late" in each for each in said) == 1, "the same object twice is no conflict"
    assert sum("cannot be read" in each for each in said) == 1
    with pytest.raises(ConfigError, match=r"got 'nowhere'; the package broken offers .* No module named"):
        make_method("nowhere")


def test_two_packages_of_one_name(site: Path, said: list[str]) -> None:
    install(site, "first", {"samtune.formats": {"points": "given_format:Points"}}, given_format=FORMAT)
    install(site, "second", {"samtune.formats": {"points": "given_other:Points"}}, given_other=FORMAT)
    assert FORMATS["points"].__class__.__module__ == "given_format"
    assert len(said) == 1
    assert "package second" in said[0]
    assert "which the package first has already" in said[0]


def test_what_is_not_installed_names_the_group(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"got 'elsewhere'; install the package .*group `samtune.methods`\)\.$"):
        stored_method("elsewhere", {})
    with pytest.raises(ConfigError, match=r"got 'elsewhere'; install the package .*group `samtune.tasks`\)\.$"):
        find_task("elsewhere")
    (tmp_path / "config.json").write_text('{"model_type": "elsewhere"}')
    with pytest.raises(WeightsError, match=r"got 'elsewhere', .*; install the package .*group `samtune.bases`\)\.$"):
        load_base(tmp_path)
