"""Inside `data`, imports point down: images, then masks, then public data sets, then formats."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import samtune.data

ROOT = Path(samtune.data.__file__).parent

ALLOWED: dict[str, set[str]] = {
    "images": set(),
    "masks": {"images", "options"},
    "public_sets": {"images", "masks", "options"},
    "formats": {"images", "masks", "public_sets", "options"},
}
"""What each folder may import of `samtune.data`, besides itself."""


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_point_down(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("samtune.data"):
                part = (node.module or "").split(".")[2:3]
                assert part, f"{path}:{node.lineno}: import from the module, not from samtune.data"
                assert part[0] in ALLOWED[folder] | {folder}, f"{path}:{node.lineno}: {folder} imports {part[0]}"
