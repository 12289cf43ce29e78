"""Images on a page: which ones to show, and how they are embedded."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from samtune.overlay import overlay
from samtune.types import IGNORE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Standing = Literal["best", "median", "worst"]

MIN_SIDE, MAX_SIDE = 768, 1024
"""Examples are embedded with their longer side within these, in pixels; contours are drawn at that size."""

JPEG_QUALITY = 85


@dataclass(frozen=True, eq=False)
class Example:
    """One image to show.

    Attributes:
        name: the image's name.
        image: uint8 (H, W, 3) RGB.
        target: uint8 (H, W) annotated label map.
        predicted: uint8 (H, W) predicted label map.
        iou: the image's IoU, 0..1.
        standing: which of best, median and worst it stands for.
    """

    name: str
    image: NDArray[np.uint8]
    target: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    iou: float
    standing: Standing


def choose_examples(iou_by_image: Mapping[str, float], num: int = 3) -> tuple[tuple[str, Standing], ...]:
    """Choose the images to show: the `num` best, the `num` around the median and the `num` worst, each once.

    With fewer than 3 `num` images all are shown, and each stands for the third of the ranking it is in.

    Args:
        iou_by_image: image name -> IoU.
        num: how many of each.

    Returns:
        (image name, standing): the best from the top, the middle, then the worst from the bottom up; ties by
        name.
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


def embedded(example: Example) -> dict[str, Any]:
    """Return what the template needs of an example: its two pictures as data URIs, and their size.

    Raises:
        ShapeError: a label map does not have the image's size.
    """
    height, width = example.image.shape[:2]
    drawable = overlay(example.image, example.predicted, example.target)  # refuses what does not fit
    longest = max(height, width)
    scale = min(max(longest, MIN_SIDE), MAX_SIDE) / longest
    if scale != 1:
        size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        image = cv2.resize(example.image, size_wh, interpolation=smooth)
        maps = [
            cv2.resize(labels, size_wh, interpolation=cv2.INTER_NEAREST)
            for labels in (example.predicted, example.target)
        ]
        drawable = overlay(image, *maps)
    else:
        image = example.image
    return {
        "name": example.name,
        "iou": example.iou,
        "standing": example.standing,
        "width": image.shape[1],
        "height": image.shape[0],
        "original_hw": (height, width),
        "ignored": bool((example.target == IGNORE).any()),
        "plain": data_uri(image),
        "drawn": data_uri(drawable),
    }


def shown(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale an image down to what is embedded; smaller ones stay as they are."""
    height, width = image.shape[:2]
    scale = MAX_SIDE / max(height, width)
    if scale >= 1:
        return image
    small = cv2.resize(
        image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    return np.asarray(small, np.uint8)


def data_uri(image: NDArray[np.uint8]) -> str:
    """An image as it stands in a page: JPEG, base64."""
    done, coded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode("ascii")
