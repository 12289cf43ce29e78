"""Whether a change of the code left every method's training and predictions as they were.

    python benchmarks/unchanged.py record BEFORE          # on the old code
    python benchmarks/unchanged.py record AFTER           # on the new code, on the same machine
    python benchmarks/unchanged.py compare BEFORE AFTER   # exit code 1 where something differs by more than 1e-6
    python benchmarks/unchanged.py load BEFORE            # the new code loads the old adapters and predicts the same

`record` trains every method (and the forms of `FORMS`) for three updates in float32 on drawn images, on `nano` and on a
tiny random SAM, for one class and for three, and keeps the loss trace, the adapter and the probabilities of each.
A finished case is kept, so an interrupted recording goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
from safetensors.numpy import load_file
from tests.tiny import tiny_library

from samtune import METHODS, Specialist

TOLERANCE = 1e-6
"""Largest difference that counts as none, as a share of the largest value of the recorded tensor."""

FORMS: dict[str, dict[str, object]] = {
    "ptsam": {"ensemble": 2},
    "ptsam_encoder": {"gated": True},
    "conv_lora": {"head": "queries"},
    "lora": {"head": "queries"},
    "decoder_only": {"prompts": "none"},
    "ts_sam": {"paper": True},
    "sam_adapter": {"paper": True},
}
"""A second form of some methods, besides their defaults."""

SMALL_ONLY = frozenset({"ts_sam", "scratch", "full", "lst"})
"""Methods that are recorded on the tiny base alone, since an update on `nano` takes them long."""

UPDATES = 3


def draw_images(folder: Path, num_classes: int) -> tuple[Path, Path]:
    """Write six images of 80 x 96 pixels with ellipses of each class, and their masks of class ids."""
    images, masks = folder / "images", folder / "masks"
    for made in (images, masks):
        made.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(num_classes)
    for number in range(6):
        labels = np.zeros((80, 96), np.uint8)
        image = random.normal(110, 12, (80, 96, 3))
        for label in range(1, num_classes + 1):
            centre = tuple(int(value) for value in random.integers(20, 60, 2))
            ellipse = np.zeros_like(labels)
            cv2.ellipse(ellipse, centre, (15, 10), float(random.integers(0, 180)), 0, 360, 1, -1)
            labels[ellipse > 0] = label
            image[ellipse > 0] += random.normal(0, 60, 3)
        cv2.imwrite(str(images / f"{number}.png"), np.clip(image, 0, 255).astype(np.uint8))
        cv2.imwrite(str(masks / f"{number}.png"), labels)
    return images, masks


def cases() -> list[tuple[str, str, int, dict[str, object]]]:
    """(base, method, number of classes, hyper-parameters) of everything that is recorded."""
    listed: list[tuple[str, str, int, dict[str, object]]] = []
    for base in ("tiny", "nano"):
        for method in METHODS:
            if base == "nano" and method in SMALL_ONLY:
                continue
            listed += [(base, method, num_classes, {}) for num_classes in (1, 3)]
            if method in FORMS:
                listed.append((base, method, 1, FORMS[method]))
    return listed


def name_of(base: str, method: str, num_classes: int, fields: dict[str, object]) -> str:
    """The folder of a case."""
    return "-".join([base, method, str(num_classes), *(f"{key}={value}" for key, value in fields.items())])


def record(out: Path) -> None:
    """Train and predict every case that `out` does not hold yet."""
    base = out / "base"
    if not base.is_dir():
        tiny_library().save_pretrained(base)
    for kind, method, num_classes, fields in cases():
        folder = out / name_of(kind, method, num_classes, fields)
        if (folder / "probabilities.npz").is_file():
            continue
        shutil.rmtree(folder, ignore_errors=True)
        images, masks = draw_images(out / f"data-{num_classes}", num_classes)
        updates = {} if method == "probe" else {"updates": UPDATES, "views": 2}
        specialist = Specialist.fit(
            images, masks, method, run=folder, base=str(base) if kind == "tiny" else "nano", precision="fp32",
            device="cpu", evaluations=UPDATES, **updates, **fields,
        )  # fmt: skip
        _predict(specialist, images, folder / "probabilities.npz")
        print(folder.name, flush=True)


def _predict(specialist: Specialist, images: Path, file: Path) -> None:
    planes = specialist.probabilities(images)
    np.savez_compressed(file, *planes)


def trace_of(folder: Path) -> list[float]:
    """The losses of a recorded case, one an update."""
    file = folder / "history.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    return [row["loss"] for row in rows if "loss" in row]


def tensors_of(folder: Path) -> dict[str, np.ndarray]:
    """Everything that is compared of a recorded case, by name."""
    adapter = load_file(folder / "specialist" / "adapter_model.safetensors")
    planes = np.load(folder / "probabilities.npz")
    found = {f"adapter: {key}": value.astype(np.float64) for key, value in adapter.items()}
    found |= {f"probabilities: {key}": planes[key].astype(np.float64) for key in planes.files}
    return found | {"losses": np.array(trace_of(folder))}


def differences(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, float]:
    """Names whose values differ by more than `TOLERANCE`, with the difference; infinite where a name or shape does."""
    wrong = {}
    for name in sorted(set(one) | set(other)):
        if name not in one or name not in other or one[name].shape != other[name].shape:
            wrong[name] = float("inf")
        elif one[name].size:
            scale = max(float(np.abs(one[name]).max()), 1e-3)
            apart = float(np.abs(one[name] - other[name]).max()) / scale
            if not apart <= TOLERANCE:
                wrong[name] = apart
    return wrong


def compare(before: Path, after: Path) -> int:
    """Print what differs between two recordings, and return how many cases do."""
    num_wrong = 0
    for case in cases():
        name = name_of(*case)
        if not (before / name).is_dir() or not (after / name).is_dir():
            print(f"{name}: recorded on one side only")
            num_wrong += 1
            continue
        wrong = differences(tensors_of(before / name), tensors_of(after / name))
        num_wrong += bool(wrong)
        for what, apart in list(wrong.items())[:3]:
            print(f"{name}: {what} differs by {apart:.2g}")
    print(f"{len(cases())} cases, {num_wrong} differ by more than {TOLERANCE:g}")
    return num_wrong


def load(before: Path) -> int:
    """Predict with the recorded adapters, print what differs from the recorded predictions, and return how many do."""
    num_wrong = 0
    for case in cases():
        folder, base = before / name_of(*case), str(before / "base") if case[0] == "tiny" else "nano"
        specialist = Specialist.load(folder / "specialist", base=base, device="cpu")
        file = before / "again.npz"
        _predict(specialist, before / f"data-{case[2]}" / "images", file)
        one, other = np.load(folder / "probabilities.npz"), np.load(file)
        wrong = differences({key: one[key] for key in one.files}, {key: other[key] for key in other.files})
        file.unlink()
        if wrong:
            num_wrong += 1
            print(f"{folder.name}: predictions differ by {max(wrong.values()):.2g}")
    print(f"{len(cases())} adapters, {num_wrong} predict differently")
    return num_wrong


def main() -> None:
    """Read the command line."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("verb", choices=("record", "compare", "load"))
    given.add_argument("folders", type=Path, nargs="+")
    args = given.parse_args()
    if args.verb == "record":
        record(args.folders[0].resolve())
        return
    sys.exit(bool(compare(*args.folders) if args.verb == "compare" else load(args.folders[0].resolve())))


if __name__ == "__main__":
    main()
