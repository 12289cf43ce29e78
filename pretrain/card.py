"""Measure a model's zero-shot box and point prompts on real sets, as a table for its card.

Every image's longest side is resized to the model's side and the rest is padded with zeros after normalisation.
Objects are the connected components of the mask (the largest few of each image, of 16 pixels or more); the
prompts are each component's exact box and the pixel deepest inside it. IoU is taken at that resolution, without
the padding, and averaged over objects. The model is transformers' own `SamModel`, from its folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import SamModel

SETS = ("dsb2018_nuclei", "weizmann_horses", "kvasir_seg", "crackforest", "rice_leaf_disease")
MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
MIN_AREA = 16
Array = Any


def read(image_path: Path, mask_path: Path, side: int) -> tuple[Tensor, Array]:
    """Read one pair: pixels (3, side, side) normalised and padded, mask (h, w) bool, its longest side `side`."""
    image: Any = cv2.imread(str(image_path), cv2.IMREAD_COLOR)
    mask: Any = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
    image = image[..., ::-1]
    scale = side / max(image.shape[:2])
    width, height = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=how)
    share = cv2.resize((mask > 127).astype(np.float32), (width, height), interpolation=how)
    padded = np.zeros((3, side, side), np.float32)
    padded[:, :height, :width] = ((image - MEAN) / STD).transpose(2, 0, 1)
    return torch.from_numpy(padded), share > 0.5


def objects(mask: Array, most: int) -> list[tuple[Array, Array, Array]]:
    """The largest components of a mask: each its map, its box (x0, y0, x1, y1) and its deepest pixel (x, y)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    order = sorted(range(1, count), key=lambda k: -stats[k, cv2.CC_STAT_AREA])
    found = []
    for k in [k for k in order if stats[k, cv2.CC_STAT_AREA] >= MIN_AREA][:most]:
        one = labels == k
        x, y, width, height = stats[k, :4]
        depth = cv2.distanceTransform(np.pad(one.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        found.append((one, np.array([x, y, x + width, y + height]), np.array([column, row])))
    return found


def iou(guess: Array, truth: Array) -> float:
    """IoU of two bool maps."""
    return float((guess & truth).sum() / max(1, (guess | truth).sum()))


def _masks(model: Any, embedding: Tensor, side: int, **prompt: Any) -> tuple[Array, Array]:
    """Masks (P, M, side, side) bool and predicted IoU (P, M) for one image's prompts."""
    with torch.no_grad():
        out = model(image_embeddings=embedding, **prompt)
    logits = F.interpolate(out.pred_masks[0], (side, side), mode="bilinear", align_corners=False)
    return (logits > 0).numpy(), out.iou_scores[0].numpy()


def measure(model: Any, folder: Path, num_images: int, most: int) -> dict[str, float]:
    """Mean IoU over objects of one set: box, filled box, point (mask of the highest predicted IoU, best of 3)."""
    side = model.config.vision_config.image_size
    paths = sorted((folder / "images").iterdir())
    paths = [paths[i] for i in np.linspace(0, len(paths) - 1, min(num_images, len(paths))).round().astype(int)]
    scores: dict[str, list[float]] = {"box": [], "filled": [], "point": [], "best": [], "single": []}
    for path in paths:
        pixels, mask = read(path, folder / "masks" / f"{path.stem}.png", side)
        found = objects(mask, most)
        if not found:
            continue
        embedding = model.get_image_embeddings(pixels[None])
        boxes = torch.tensor(np.array([f[1] for f in found]), dtype=torch.float32)[None] - 0.5
        points = torch.tensor(np.array([f[2] for f in found]), dtype=torch.float32)[None, :, None]
        boxed, _ = _masks(model, embedding, side, input_boxes=boxes, multimask_output=False)
        alone, _ = _masks(model, embedding, side, input_points=points, multimask_output=False)
        three, guess = _masks(model, embedding, side, input_points=points, multimask_output=True)
        rows, columns = mask.shape
        for k, (truth, (x0, y0, x1, y1), _) in enumerate(found):
            filled = np.zeros_like(truth)
            filled[y0:y1, x0:x1] = True
            each = [iou(m[:rows, :columns], truth) for m in three[k]]
            scores["box"].append(iou(boxed[k, 0, :rows, :columns], truth))
            scores["filled"].append(iou(filled, truth))
            scores["point"].append(each[int(guess[k].argmax())])
            scores["best"].append(max(each))
            scores["single"].append(iou(alone[k, 0, :rows, :columns], truth))
    return {name: float(np.mean(values)) for name, values in scores.items()} | {"num": len(scores["box"])}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="transformers folder")
    parser.add_argument("data", type=Path, help="folder of the sets: <set>/images/*, <set>/masks/<stem>.png")
    parser.add_argument("--images", type=int, default=40, help="images a set, evenly spaced in the sorted list")
    parser.add_argument("--objects", type=int, default=4, help="objects an image, the largest first")
    options = parser.parse_args()
    model = SamModel.from_pretrained(options.model, dtype=torch.float32).eval()
    print("| set | objects | box | filled box | point | point, best of 3 | point, mask 0 |")
    print("|---|---|---|---|---|---|---|")
    for name in SETS:
        row = measure(model, options.data / name, options.images, options.objects)
        cells = [f"{row[k]:.3f}" for k in ("box", "filled", "point", "best", "single")]
        print(f"| {name} | {row['num']} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
