"""The embedded base: small enough, a plain SAM to transformers, and able to follow prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import SamModel

from samtune.data import make_samples, open_dataset, to_input
from samtune.data.restore import to_original
from samtune.methods import adapt, make_method, trainable
from samtune.sam import Sam, load_base
from samtune.types import Prompt

FOLDER = Path(load_base.__code__.co_filename).parent / "assets" / "nano"


@pytest.fixture(scope="module")
def nano() -> Sam:
    return Sam.from_pretrained("nano")


def test_it_fits_into_the_wheel_and_has_a_card() -> None:
    assert (FOLDER / "model.safetensors").stat().st_size <= 8_000_000
    card = (FOLDER / "README.md").read_text()
    for word in ("procedural", "Apache-2.0", "zero-shot"):
        assert word in card


def test_transformers_loads_it_and_gives_the_same_masks(nano: Sam) -> None:
    library = SamModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
    pixels = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[[40.0, 50.0, 200.0, 180.0]]])
    with torch.no_grad():
        expected = library(pixels, input_boxes=boxes, multimask_output=False).pred_masks
        found, _ = nano.prompt(nano.encode(pixels), Prompt(boxes_xyxy=boxes))
    assert (expected - found).abs().max() <= 1e-4


def test_ptsam_has_its_published_count_on_it() -> None:
    sam = adapt(Sam.from_pretrained("nano"), make_method("ptsam"))
    assert sum(parameter.numel() for parameter in trainable(sam).values()) == 2048


def test_boxes_beat_the_filled_box_on_generated_images(nano: Sam, tmp_path: Path) -> None:
    """One box around the largest polyp of each image; images of another generator than it was trained on."""
    images, masks = make_samples("polyps", tmp_path, num=12, seed=11, size_hw=(200, 256))
    dataset = open_dataset(images, masks)
    prompted, filled = [], []
    for index in range(len(dataset)):
        truth = dataset.labels(index) > 0
        rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
        pixels, geometry = to_input(dataset.image(index), nano.spec)
        scale = geometry.resized_hw[1] / geometry.original_hw[1]
        corners = torch.tensor([[[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]]) * scale
        with torch.no_grad():
            logits, _ = nano.prompt(nano.encode(pixels[None]), Prompt(boxes_xyxy=corners))
        guess = (to_original(logits[0, 0], geometry)[0] > 0).numpy()
        box = np.zeros_like(truth)
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        for scores, mask in ((prompted, guess), (filled, box)):
            scores.append((mask & truth).sum() / (mask | truth).sum())
    assert np.mean(prompted) > np.mean(filled)
