"""docs/methods.md describes every method and loss, and its numbers are those of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from samtune.losses import ONE_CLASS, LossKind
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
    stated = [int(number.replace(",", "")) for number in CELLS[name][2].split(" / ")]
    assert stated == list(TRAINED[name]), "the numbers that test_published_counts holds the code to"
    assert (CELLS[name][3] == "yes") == ROWS[name].touches_encoder


@pytest.mark.parametrize("name", METHODS.own)
def test_every_field_is_named(name: str) -> None:
    paragraph = PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    for field in method_fields(make_method(name)):
        assert f"`{field}`" in paragraph, field


def table(heading: str) -> list[list[str]]:
    """The rows of the first table of a section, cell by cell."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_every_loss_has_a_row_with_its_number_of_classes() -> None:
    rows = {name: row[2] for row in table("The losses") for name in re.findall(r"`(\w+)`", row[0])}
    assert rows == {name: "one" if name in ONE_CLASS else "any" for name in get_args(LossKind)}


def test_the_paper_recipes_are_those_of_the_code() -> None:
    rows = {name: row for row in table("The recipes") for name in re.findall(r"`(\w+)`", row[1])}
    assert set(rows) == set(METHODS)
    for name, (_, _, optimiser, schedule, epochs, batch, loss) in rows.items():
        paper = getattr(METHODS[name], "paper_recipe", None)
        if paper is None:
            assert not optimiser
            continue
        recipe = paper.recipe
        rate, decay = (float(number) for number in re.findall(r"\d+e-\d+", optimiser))
        assert (rate, decay) == (recipe.learning_rate, recipe.weight_decay)
        assert ("everything" in optimiser) == recipe.decay_all
        assert recipe.clip_norm == (1 if "gradient norm at most 1" in optimiser else 0)
        assert schedule.startswith(f"`{recipe.schedule}`")
        assert epochs == str(recipe.epochs) + (f", patience {recipe.patience}" if recipe.patience else "")
        assert batch == str(recipe.batch_size) + (f", in {recipe.accumulate} parts" if recipe.accumulate > 1 else "")
        assert loss.startswith(f"`{recipe.loss}`")
        assert ("mask queries" in loss) == paper.queries
