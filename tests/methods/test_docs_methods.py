"""docs/methods.md tells every method, and its numbers are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from samtune.methods import METHODS, make_method, method_fields
from tests.methods.contract import ROWS
from tests.methods.test_published_counts import TRAINED

PAGE = (Path(__file__).parents[2] / "docs" / "methods.md").read_text()
CELLS = {
    row[0].strip(" `"): [cell.strip() for cell in row]
    for row in (line.strip("|").split("|") for line in PAGE.splitlines() if re.match(r"\| `\w+` \|(.*\|){4}", line))
}


def test_every_method_has_a_row_and_a_paragraph_in_the_same_order() -> None:
    assert set(CELLS) == set(METHODS.own)
    assert re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) == [*CELLS]


@pytest.mark.parametrize("name", METHODS.own)
def test_the_numbers_are_those_of_the_code(name: str) -> None:
    told = [int(number.replace(",", "")) for number in CELLS[name][2].split(" / ")]
    assert told == list(TRAINED[name]), "the numbers that test_published_counts holds the code to"
    assert (CELLS[name][3] == "yes") == ROWS[name].touches_encoder


@pytest.mark.parametrize("name", METHODS.own)
def test_every_field_is_named(name: str) -> None:
    paragraph = PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    for field in method_fields(make_method(name)):
        assert f"`{field}`" in paragraph, field
