"""Binary masks with noise are one class, above a threshold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from samtune.data import DataOptions, inspect
from samtune.errors import DataError
from tests.data.drawn import HW, assert_reads, blobs, blurred, jpeg, lines, open_masks, resized
from tests.data.masks.noise import DRAWN, NOISE, above, outlined, seen_by


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("drawn", DRAWN)
def test_noisy_binary_masks_are_one_class(drawn: str, noise: str, tmp_path: Path) -> None:
    masks = seen_by(drawn, noise)
    dataset = open_masks(tmp_path, masks)
    assert_reads(dataset, above(masks), 1)
    assert "values above 127 are foreground" in dataset.encoding.sentence
    kinds = [problem.kind for problem in inspect(tmp_path / "images", tmp_path / "masks").problems]
    assert kinds.count("blurred_mask") == 1


FORMATS: dict[str, tuple[Callable[[np.ndarray], np.ndarray | Image.Image], str]] = {
    "8-bit TIFF": (lambda a: a, ".tif"),
    "16-bit TIFF": (lambda a: a.astype(np.uint16) * np.uint16(257), ".tif"),
    "16-bit PNG": (lambda a: a.astype(np.uint16) * np.uint16(257), ".png"),
    "16-bit blurred": (lambda a: cv2.GaussianBlur(a.astype(np.uint16) * np.uint16(257), (0, 0), 1), ".tif"),
    "float 0..1": (lambda a: a.astype(np.float32) / np.float32(255), ".tif"),
    "float 0..255": (lambda a: a.astype(np.float32) - np.float32(0.25) * (a > 0), ".tif"),
    "RGB": (lambda a: np.dstack([a, a, a]), ".png"),
    "BMP": (lambda a: a, ".bmp"),
    "grey palette": (lambda a: Image.fromarray(a).convert("P"), ".png"),
    "adaptive grey palette": (lambda a: Image.fromarray(a).quantize(32), ".png"),
    "0/200": (lambda a: (a.astype(np.float64) * 200 / 255).round().astype(np.uint8), ".png"),
    "0/10": (lambda a: (a.astype(np.float64) * 10 / 255).round().astype(np.uint8), ".png"),
}


@pytest.mark.parametrize(
    ("form", "noise"),
    [
        (form, noise)
        for form in FORMATS
        for noise in ("jpeg 90", "bilinear x 0.5", "bicubic x 2")
        if (form, noise) != ("0/10", "jpeg 90")  # the noise of JPEG rounds to nothing
    ],
)
def test_noise_is_detected_in_every_format(form: str, noise: str, tmp_path: Path) -> None:
    convert, suffix = FORMATS[form]
    masks = [convert(mask) for mask in seen_by("areas", noise)]
    dataset = open_masks(tmp_path, masks, suffix=suffix)
    plain = [np.asarray(m.convert("L") if isinstance(m, Image.Image) else m) for m in masks]
    plain = [mask[..., 0] if mask.ndim == 3 else mask for mask in plain]
    top = {"0/200": 200, "0/10": 10, "float 0..1": 1}.get(form, 65535 if plain[0].dtype == np.uint16 else 255)
    half = 0.5 if form == "float 0..1" else (top - 1) // 2
    rounded = [np.round(m) if form == "float 0..255" else m for m in plain]
    assert_reads(dataset, above(rounded, half), 1)


@pytest.mark.parametrize("noise", ["jpeg 90", "bilinear x 0.5", "lanczos x 0.5", "blur 1.5"])
def test_one_noisy_file_among_clean_ones(noise: str, tmp_path: Path) -> None:
    masks = seen_by("areas", noise)[:1]
    hw = masks[0].shape
    masks += [cv2.resize(blobs(seed), hw[::-1], interpolation=cv2.INTER_NEAREST) * np.uint8(255) for seed in (5, 6)]
    masks += [np.zeros(hw, np.uint8)]
    dataset = open_masks(tmp_path, masks)
    assert_reads(dataset, above(masks), 1)
    assert "1 of 4" in dataset.encoding.sentence


AMBIGUOUS: dict[str, tuple[Callable[[int], np.ndarray], DataOptions, str]] = {
    "128 only along the edge of 255": (outlined(255, 128, 1), DataOptions(), "--threshold 127` for one class"),
    "a wide blur": (lambda seed: blurred(3)(blobs(seed, 1, (3, 5)) * np.uint8(255)), DataOptions(), "--threshold 85"),
    "lines of one pixel, halved": (lambda seed: resized("BOX", 0.5)(lines(seed, 1) * np.uint8(255)), DataOptions(),
                                   "--threshold 127"),
    "lines of one pixel, blurred": (lambda seed: blurred(0.7)(lines(seed, 1) * np.uint8(255)), DataOptions(),
                                    "a blurred mask or a grey image"),
    "an image for a mask": (lambda seed: np.random.default_rng(seed).integers(0, 250, HW), DataOptions(),
                            "a grey image"),
    "noisy, but three classes are expected": (lambda seed: jpeg(90)(blobs(seed) * np.uint8(255)),
                                           DataOptions(num_classes=3), "one class .* but 3 are expected"),
}  # fmt: skip


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_may_be_noise_or_drawn_is_refused(name: str, tmp_path: Path) -> None:
    draw, options, message = AMBIGUOUS[name]
    with pytest.raises(DataError, match=message):
        open_masks(tmp_path, [np.array(draw(seed), np.uint8) for seed in range(2)], options)


def test_the_threshold_that_the_message_names_works(tmp_path: Path) -> None:
    masks = [np.array(blurred(0.7)(lines(seed, 1) * np.uint8(255))) for seed in range(2)]
    dataset = open_masks(tmp_path, masks, DataOptions(threshold=60))
    assert_reads(dataset, above(masks, 60), 1)
    assert dataset.options.threshold == 60
    halves = [outlined(255, 128, 1)(seed).astype(np.uint8) for seed in range(2)]
    assert_reads(open_masks(tmp_path, halves, DataOptions(threshold=127)), above(halves), 1)
    truths = [np.searchsorted([0, 128, 255], mask) for mask in halves]
    assert_reads(open_masks(tmp_path, halves, DataOptions(ids=(128, 255))), truths, 2)


def test_a_threshold_between_0_and_1_holds_for_a_further_folder(tmp_path: Path) -> None:
    masks = [blobs(seed) * np.float32(0.4) for seed in range(2)]
    for threshold in (0.3, 0.35, 64 / 255):
        dataset = open_masks(tmp_path / "a", masks, DataOptions(threshold=threshold), ".tif")
        again = open_masks(tmp_path / "b", masks, dataset.options, ".tif")
        assert again.encoding.threshold == dataset.encoding.threshold == int(threshold * 255 + 1e-9)
    dataset = open_masks(tmp_path / "a", masks, suffix=".tif")
    assert_reads(dataset, [blobs(seed) for seed in range(2)], 1)
    assert "above 0.2 (half of the largest value)" in dataset.encoding.sentence
