"""The facts of each public data set are complete."""

from __future__ import annotations

from samtune.data.public_sets import CHECK_LICENCE, LAYOUTS
from tests.data.public_sets.trees import TREES


def test_every_layout_has_a_tree() -> None:
    assert {name for name, _ in TREES} == set(LAYOUTS)


def test_facts_are_stated_or_marked_as_missing() -> None:
    for layout in LAYOUTS.values():
        assert layout.source
        assert layout.licence
        assert layout.protocol
        assert all(1 in nums or len(set(nums)) == 1 for nums in ((len(p.images), len(p.masks)) for p in layout.parts))
    assert CHECK_LICENCE in {layout.licence for layout in LAYOUTS.values()}
