"""Resizing of images and label maps with aligned pixel centres, so that they stay registered."""

from __future__ import annotations

import cv2
import numpy as np


def resize_image(image: np.ndarray, resized_hw: tuple[int, int]) -> np.ndarray:
    """Resize uint8 (H, W, 3) to `resized_hw`: by area where it shrinks, else bilinearly."""
    if image.shape[:2] == resized_hw:
        return image
    shrinks = resized_hw[0] * resized_hw[1] < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized: np.ndarray = cv2.resize(image, (resized_hw[1], resized_hw[0]), interpolation=interpolation)
    return resized


def resize_labels(labels: np.ndarray, resized_hw: tuple[int, int]) -> np.ndarray:
    """Resize uint8 (H, W) to `resized_hw` by the nearest pixel; thin structures may break."""
    if labels.shape == resized_hw:
        return labels
    size = (resized_hw[1], resized_hw[0])
    resized: np.ndarray = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return resized
