"""Which images a page shows."""

from __future__ import annotations

import pytest

from samtune.pages import choose_examples


def test_examples_are_chosen_from_the_top_the_middle_and_the_bottom() -> None:
    ranking = {f"{i:02d}": 1 - i / 100 for i in range(21)}
    assert choose_examples(ranking) == (
        *((name, "best") for name in ("00", "01", "02")),
        *((name, "median") for name in ("09", "10", "11")),
        *((name, "worst") for name in ("20", "19", "18")),
    )


@pytest.mark.parametrize("num_images", range(12))
def test_few_images_are_each_shown_once(num_images: int) -> None:
    names = [str(i) for i in range(num_images)]
    chosen = choose_examples({name: 0.5 for name in names}, num=3)
    assert len({name for name, _ in chosen}) == len(chosen) == min(9, num_images)
    order = {"best": 0, "median": 1, "worst": 2}
    standings = [order[standing] for _, standing in chosen]
    assert standings == sorted(standings)
