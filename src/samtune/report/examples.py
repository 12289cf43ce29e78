"""Images embedded in a page."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from samtune.overlay import overlay
from samtune.types import IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from samtune.report.records import Example

MIN_SIDE, MAX_SIDE = 768, 1024
"""Bounds of the longer side of an embedded image, in pixels; contours are drawn at that size."""

JPEG_QUALITY = 85


def embedded(example: Example) -> dict[str, Any]:
    """Return an example for the template: the plain and the drawn image as data URIs, and their size in pixels.

    Raises:
        ShapeError: a label map differs in size from the image.
    """
    height, width = example.image.shape[:2]
    drawable = overlay(
        example.image, example.predicted, example.target
    )  # also checks the sizes, before resizing could hide a mismatch
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
    """Return an image scaled down to at most `MAX_SIDE` pixels; a smaller one unchanged."""
    height, width = image.shape[:2]
    scale = MAX_SIDE / max(height, width)
    if scale >= 1:
        return image
    small = cv2.resize(
        image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    return np.asarray(small, np.uint8)


def data_uri(image: NDArray[np.uint8]) -> str:
    """Return an image, uint8 (H, W, 3) RGB, as the data URI of a JPEG."""
    done, coded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode("ascii")
