"""Names of rows stand in one module."""

from __future__ import annotations

import ast
from pathlib import Path

import samtune
from samtune.metrics.rows import BASELINES, COLOUR, ROW_NAMES, STOCK, UNET, row_name

ROOT = Path(samtune.__file__).parent
SPELLED = {STOCK, COLOUR, UNET} | {name.phrase for name in ROW_NAMES.values()}
SPELLED |= {name.label for name in ROW_NAMES.values() if " " in name.label}  # "Probe" alone is a class too


def test_every_baseline_has_a_name_and_a_method_is_its_own() -> None:
    assert set(BASELINES) < set(ROW_NAMES)
    assert (row_name("probe").label, row_name("probe").phrase) == ("Probe", "the probe")
    assert (row_name("lora").label, row_name("lora").phrase, row_name("lora").description) == ("lora", "lora", "")


def test_no_other_module_spells_a_row() -> None:
    spelled = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}"
        for path in sorted(ROOT.rglob("*.py"))
        if path != ROOT / "metrics" / "rows.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in SPELLED
    ]
    assert not spelled, "\n" + "\n".join(spelled)
