"""The documentation names only files, folders, modules and options that exist."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import typer

from samtune.cli.application import app

ROOT = Path(__file__).parents[1]
HISTORY = {"CHANGELOG.md", "docs/log.md"}
"""Pages that name what has been removed since."""
PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        ROOT / "benchmarks/README.md",
        ROOT / "pretrain/README.md",
    ]
)
CURRENT = [page for page in PAGES if page not in HISTORY]
EXAMPLES = {"bases/NAME/", "methods/mlp_adapter.py", "src/samtune/methods/mlp_adapter.py"}
"""Files that a page tells the reader to make."""


def anchor_of(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", (ROOT / page).read_text()):
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in map(anchor_of, headings), target


@pytest.mark.parametrize("page", CURRENT)
def test_files_and_folders_exist(page: str) -> None:
    folders = [ROOT, ROOT / "src", ROOT / "src/samtune", (ROOT / page).parent]
    for code in re.findall(r"`([^`\n]+)`", (ROOT / page).read_text()):
        for path in re.findall(r"(?<![\w./~-])[a-z_]+(?:/[\w-]+)*(?:/[\w.-]+\.(?:py|md)|/(?=$))", code):
            known = any((folder / path).exists() for folder in folders)
            start = path.split("/")[0]
            ours = any((folder / start).is_dir() for folder in folders)
            assert known or not ours or path in EXAMPLES, path


@cache
def options() -> frozenset[str]:
    """Return the options of all commands, and those of the scripts and tools that the pages name."""
    commands = [typer.main.get_command(app)]
    names: set[str] = {"--help"}
    while commands:
        command = commands.pop()
        commands += getattr(command, "commands", {}).values()
        for parameter in command.params:
            names |= {*parameter.opts, *parameter.secondary_opts}
    for file in [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("pretrain/*.py"), *ROOT.glob("tests/fuzz/*.py")]:
        names |= set(re.findall(r'"(--[a-z][a-z0-9-]+)"', file.read_text()))
    return frozenset(names | {"--strict", "--strip-components", "--scale", "--slots"})


@pytest.mark.parametrize("page", CURRENT)
def test_options_exist(page: str) -> None:
    lines = [line for line in (ROOT / page).read_text().splitlines() if not re.search(r"-->|<--", line)]  # diagrams
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", "\n".join(lines)))
    assert not named - options()


def test_the_map_of_folders_is_complete() -> None:
    parts = {folder.parent.name for folder in (ROOT / "src/samtune").glob("*/__init__.py")}
    readme = (ROOT / "README.md").read_text()
    assert set(re.findall(r"^  (\w+)/ ", readme, re.MULTILINE)) == parts
