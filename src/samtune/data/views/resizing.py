"""Images and label maps at another size, pixel centres aligned so that both stay on each other."""

from __future__ import annotations

import cv2
import numpy as np


def resize_image(image: np.ndarray, resized_hw: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3) to `resized_hw`: area average when it shrinks, bilinear when it grows."""
    if image.shape[:2] == resized_hw:
        return image
    shrinks = resized_hw[0] * resized_hw[1] < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized: np.ndarray = cv2.resize(image, (resized_hw[1], resized_hw[0]), interpolation=how)
    return resized


def resize_labels(labels: np.ndarray, resized_hw: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W) to `resized_hw` by the nearest pixel centre; thin structures may break."""
    if labels.shape == resized_hw:
        return labels
    size = (resized_hw[1], resized_hw[0])
    resized: np.ndarray = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return resized
