"""Sets of images that hang together, against sets that are merged one link at a time."""

from __future__ import annotations

import numpy as np

from samtune.data.images.duplicates import duplicate_groups, linked_sets, thumbnail


def naive_sets(num_items: int, links: list[tuple[int, int]]) -> list[list[int]]:
    sets = [{item} for item in range(num_items)]
    for first, second in links:
        one, other = (next(members for members in sets if item in members) for item in (first, second))
        if one is not other:
            sets.remove(other)
            one |= other
    return sorted(sorted(members) for members in sets)


def test_linked_sets_are_those_of_merging_link_by_link() -> None:
    rng = np.random.default_rng(0)
    for num_items in (1, 2, 7, 30):
        for num_links in (0, 1, num_items // 2, num_items):
            links = rng.integers(0, num_items, (num_links, 2))
            chunks = [links[: num_links // 3].T, links[num_links // 3 :].T]
            assert linked_sets(num_items, chunks) == naive_sets(num_items, [(int(a), int(b)) for a, b in links])
    assert linked_sets(3, []) == [[0], [1], [2]]


def test_copies_are_chained_and_flat_images_match_by_content_alone() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    other = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    flat = np.full((40, 40, 3), 7, np.uint8)
    thumbnails = [thumbnail(one) for one in (image, flat, other, image[..., :], flat, flat)]
    assert duplicate_groups(thumbnails, list("abcdbe")) == [[0, 3], [1, 4]]
    assert duplicate_groups(thumbnails, list("abadbe")) == [[0, 2, 3], [1, 4]], "by content and by looks"
    assert duplicate_groups([], []) == []
