"""The embedded base: small enough, a plain SAM to transformers, and able to follow prompts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from transformers import SamModel

from samtune.bases import load_base
from samtune.bases.sam1.model import Sam1
from samtune.data import Dataset, make_samples, open_dataset, to_input
from samtune.methods import adapt, make_method, trainable
from samtune.segment import to_original
from samtune.types import Prompt

FOLDER = Path(load_base.__code__.co_filename).parent / "assets" / "nano"


@pytest.fixture(scope="module")
def nano() -> Sam1:
    base = load_base("nano")
    assert isinstance(base, Sam1)
    return base


def test_it_fits_into_the_wheel_and_has_a_card() -> None:
    assert (FOLDER / "model.safetensors").stat().st_size <= 8_000_000
    card = (FOLDER / "README.md").read_text()
    for word in ("procedural", "Apache-2.0", "zero-shot"):
        assert word in card


def test_transformers_loads_it_and_gives_the_same_masks(nano: Sam1) -> None:
    library = SamModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
    pixels = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[[40.0, 50.0, 200.0, 180.0]]])
    with torch.no_grad():
        expected = library(pixels, input_boxes=boxes, multimask_output=False).pred_masks
        found, _ = nano.prompt(nano.encode(pixels), Prompt(boxes_xyxy=boxes))
    assert (expected - found).abs().max() <= 1e-4


def test_ptsam_has_its_published_count_on_it() -> None:
    model = adapt(load_base("nano"), make_method("ptsam"))
    assert sum(parameter.numel() for parameter in trainable(model).values()) == 2048


def box_scores(nano: Sam1, dataset: Dataset, indices: range) -> tuple[float, float]:
    """Mean IoU of the masks of exact boxes around each image's largest object, and of the filled boxes."""
    prompted: list[float] = []
    filled: list[float] = []
    for index in indices:
        truth = dataset.labels(index) == 1
        count, parts, stats, _ = cv2.connectedComponentsWithStats(truth.astype(np.uint8))
        if count == 1:
            continue
        largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        x, y, width, height = (int(v) for v in stats[largest, :4])
        truth, box = parts == largest, np.zeros_like(truth)
        box[y : y + height, x : x + width] = True
        pixels, geometry = to_input(dataset.image(index), nano.spec)
        scale = geometry.resized_hw[1] / geometry.original_hw[1]
        corners = torch.tensor([[[x, y, x + width, y + height]]]) * scale - 0.5
        with torch.no_grad():
            logits, _ = nano.prompt(nano.encode(pixels[None]), Prompt(boxes_xyxy=corners))
        guess = (to_original(logits[0, 0], geometry)[0] > 0).numpy()
        for scores, mask in ((prompted, guess), (filled, box)):
            scores.append(float((mask & truth).sum() / (mask | truth).sum()))
    return float(np.mean(prompted)), float(np.mean(filled))


def test_a_box_around_a_crack_gives_the_crack(nano: Sam1, tmp_path: Path) -> None:
    """Images of another generator than it was trained on; a filled box says nothing about a thin object."""
    images, masks = make_samples("cracks", tmp_path, num=12, seed=11, size_hw=(200, 256))
    prompted, filled = box_scores(nano, open_dataset(images, masks), range(12))
    assert prompted > 2 * filled


@pytest.mark.data
@pytest.mark.slow
def test_boxes_beat_the_filled_box_on_four_of_five_real_sets(nano: Sam1, real_sets: Path) -> None:
    better = []
    for name in ("dsb2018_nuclei", "weizmann_horses", "kvasir_seg", "crackforest", "rice_leaf_disease"):
        dataset = open_dataset(real_sets / name / "images", real_sets / name / "masks")
        prompted, filled = box_scores(nano, dataset, range(0, len(dataset), max(1, len(dataset) // 16)))
        better.append(prompted > filled)
    assert sum(better) >= 4
