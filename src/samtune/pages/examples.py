"""Choice of the images that a page shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from samtune.report import Standing


def choose_examples(iou_by_image: Mapping[str, float], num: int = 3) -> tuple[tuple[str, Standing], ...]:
    """Return the images to show: the `num` best, the `num` around the median and the `num` worst, each once.

    With fewer than 3 * `num` images all are shown, each under the third of the ranking that it is in.

    Args:
        iou_by_image: image name -> IoU.
        num: number of images of each standing.

    Returns:
        (image name, standing) pairs: the best first, then the median ones, then the worst, lowest IoU first. Ties are
        in the order of the names.
    """
    ranked = sorted(iou_by_image, key=lambda name: (-iou_by_image[name], name))
    third = min(num, math.ceil(len(ranked) / 3))
    worst = ranked[max(third, len(ranked) - third) :]
    between = ranked[third : len(ranked) - len(worst)]
    start = (len(between) - num + 1) // 2 if len(between) > num else 0
    median = between[start : start + num]
    parts: tuple[tuple[Standing, list[str]], ...] = (
        ("best", ranked[:third]),
        ("median", median),
        ("worst", worst[::-1]),
    )
    return tuple((name, standing) for standing, names in parts for name in names)
