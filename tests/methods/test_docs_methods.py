"""docs/methods.md tells every method, and its numbers are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from samtune.methods import METHODS, adapt, make_method, method_fields, trainable
from samtune.sam import build
from tests.methods.contract import ROWS

PAGE = (Path(__file__).parents[2] / "docs" / "methods.md").read_text()
CELLS = {
    row[0].strip(" `"): [cell.strip() for cell in row]
    for row in (line.strip("|").split("|") for line in PAGE.splitlines() if re.match(r"\| `\w+` \|(.*\|){4}", line))
}


def test_every_method_has_a_row_and_a_paragraph_in_the_same_order() -> None:
    assert set(CELLS) == set(METHODS)
    assert re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) == [*CELLS]


@pytest.mark.parametrize("name", METHODS)
def test_the_numbers_are_those_of_the_code(name: str) -> None:
    told = [int(number.replace(",", "")) for number in CELLS[name][2].split(" / ")]
    counted = [
        sum(p.numel() for p in trainable(adapt(build(f"facebook/sam-vit-{size}"), make_method(name))).values())
        for size in ("base", "large", "huge")
    ]
    assert told == counted
    assert (CELLS[name][3] == "yes") == ROWS[name].touches_encoder


@pytest.mark.parametrize("name", METHODS)
def test_every_field_is_named(name: str) -> None:
    paragraph = PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    for field in method_fields(make_method(name)):
        assert f"`{field}`" in paragraph, field
