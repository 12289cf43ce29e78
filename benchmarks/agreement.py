"""Do masks change when the encoder computes in bfloat16? On real images, with the embedded base.

    python benchmarks/agreement.py DATA [--images 4] [--device cpu]

DATA holds one folder per set with `images/` and `masks/`. Of each of the five sets of `results_nano.py` a few images,
evenly drawn, are encoded in float32 and in bfloat16, and prompted with the box of their foreground, so that the
decoder has something to answer. Compared are the masks at the image's own size (IoU) and the embeddings (norm of the
difference over the norm). Writes `results/speed/agreement-DEVICE.json`.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import environment, save
from results_nano import SETS

from samtune.bases import keep_frozen_low, load_base
from samtune.bases.sam1.model import Sam1
from samtune.data import open_dataset, to_input
from samtune.segment import to_original
from samtune.tasks.areas import decide
from samtune.types import Prompt


def base(dtype: torch.dtype, device: str) -> Sam1:
    """`nano` whose encoder computes in a type."""
    base = load_base("nano").to(device).eval()
    base.encoder_dtype = dtype
    keep_frozen_low(base)
    return base


@torch.inference_mode()
def compare(folder: Path, num_images: int, device: str, exact: Sam1, low: Sam1) -> list[dict[str, Any]]:
    """One record per image of a set that has foreground."""
    dataset = open_dataset(folder / "images", folder / "masks")
    found = []
    for index in np.linspace(0, len(dataset) - 1, num_images).astype(int).tolist():
        labels, image = dataset.labels(index), dataset.image(index)
        rows, columns = np.nonzero(labels == 1)
        if not len(rows):
            continue
        pixels, geometry = to_input(image, exact.spec)
        corners = np.array([columns.min(), rows.min(), columns.max(), rows.max()], dtype=np.float32)
        corners *= np.tile(np.array(geometry.resized_hw[::-1]) / labels.shape[::-1], 2).astype(np.float32)
        prompt = Prompt(boxes_xyxy=torch.from_numpy(corners)[None, None].to(device))
        features = [base.encode(pixels[None].to(device)) for base in (exact, low)]
        masks = [decide(to_original(exact.prompt(f, prompt)[0][0, 0], geometry)).bool() for f in features]
        either = int((masks[0] | masks[1]).sum())
        right, other = (f.embedding for f in features)
        found.append(
            {
                "set": folder.name,
                "image": dataset.pairs[index].stem,
                "iou": int((masks[0] & masks[1]).sum()) / either if either else 1.0,
                "embedding": float((other - right).norm() / right.norm()),
            }
        )
    return found


def main() -> None:
    """Compare, print and write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", type=Path)
    options.add_argument("--images", type=int, default=4, help="of each set")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = options.parse_args()
    exact, low = base(torch.float32, given.device), base(torch.bfloat16, given.device)
    images = [record for name in SETS for record in compare(given.data / name, given.images, given.device, exact, low)]
    content = {
        "machine": environment(given.device),
        "num_images": len(images),
        "iou_mean": statistics.fmean(record["iou"] for record in images),
        "iou_least": min(record["iou"] for record in images),
        "embedding_largest": max(record["embedding"] for record in images),
        "images": images,
    }
    print({key: content[key] for key in ("num_images", "iou_mean", "iou_least", "embedding_largest")})
    save(f"agreement-{given.device}", content)


if __name__ == "__main__":
    main()
