"""Masks that are no plain maps: brought once to one map per image, in the cache; objects to ids, 16 bit.

Of two objects that claim a pixel the later one has it. The cache lies where features lie (`$SAMTUNE_CACHE`, else
`~/.cache/samtune`) and may be deleted at any time.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from samtune.data.images.decoding import IMAGE_SUFFIXES, decode, read_header
from samtune.data.masks import cached_mask
from samtune.errors import DataError
from samtune.progress import track
from samtune.types import Pair, Problem

if TYPE_CHECKING:
    from collections.abc import Callable


def merge_files(root: Path, layout: str) -> list[Pair]:
    """Pairs from `ID/images/ID.png` with `ID/masks/*.png`, one file per object.

    Args:
        root: the folder of the folders.
        layout: names the folder in the cache.

    Raises:
        DataError: a mask file is damaged or has another size than its image.
    """
    pairs = []
    folders = [path for path in sorted(root.iterdir()) if (path / "images").is_dir() and (path / "masks").is_dir()]
    for folder in track(folders, "merging masks", len(folders)):
        images = [file for file in sorted((folder / "images").iterdir()) if file.suffix.lower() in IMAGE_SUFFIXES]
        objects = [file for file in sorted((folder / "masks").iterdir()) if file.suffix.lower() in IMAGE_SUFFIXES]
        if len(images) != 1 or not objects:
            continue
        stamp = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in objects]
        mask = cached_mask(layout, folder.name, (str(folder.resolve()), stamp), _merger(images[0], objects))
        pairs.append(Pair(folder.name, images[0], mask))
    return pairs


def draw_coco(images: Path, file: Path, layout: str, part: str | None) -> tuple[list[Pair], list[Problem]]:
    """Pairs from a COCO file: the outlines of an image drawn as one map of ids.

    Args:
        images: the folder that holds the images, at any depth.
        file: the COCO JSON.
        layout: names the folder in the cache.
        part: the split.

    Raises:
        DataError: the file is no COCO JSON, or has run-length masks that are compressed.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        entries = content["images"]
        annotations = content["annotations"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: must be a COCO file with images and annotations, but is not ({error!r})") from error
    by_image: dict[Any, list[dict[str, Any]]] = {}
    for annotation in annotations.values() if isinstance(annotations, dict) else annotations:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    places = {path.name: path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES}
    stamp = (str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns)
    pairs, problems = [], []
    for entry in track(entries, "drawing masks", len(entries)):
        image = places.get(Path(entry["file_name"]).name)
        if image is None:
            what = f"is named in {file.name} but is not in {images.name}"
            mend = "unpack the images too, or leave it: it is not used"
            problems.append(Problem("unpaired", entry["file_name"], what, mend, False))
            continue
        size_hw = (int(entry["height"]), int(entry["width"]))
        draw = _drawer(by_image.get(entry["id"], []), size_hw, file)
        mask = cached_mask(layout, image.stem, (*stamp, entry["id"]), draw)
        pairs.append(Pair(image.stem, image, mask, None, part))
    return pairs, problems


def cut_levels(file: Path, layout: str) -> Path:
    """The mask of a file whose grey levels say how many annotators agreed: above the middle is 255, the rest 0.

    Raises:
        DataError: the file is damaged.
    """

    def cut() -> np.ndarray:
        pixels = decode(file).pixels
        plane = pixels if pixels.ndim == 2 else pixels[..., :3].max(axis=2)
        mask: np.ndarray = np.where(plane > 127, 255, 0).astype(np.uint8)
        return mask

    stat = file.stat()
    return cached_mask(layout, file.stem, (str(file.resolve()), stat.st_size, stat.st_mtime_ns), cut)


def _merger(image: Path, objects: list[Path]) -> Callable[[], np.ndarray]:
    def merge() -> np.ndarray:
        hw = read_header(image).hw
        ids = np.zeros(hw, np.uint16)
        for number, file in enumerate(objects, start=1):
            pixels = decode(file).pixels
            plane = pixels if pixels.ndim == 2 else pixels[..., :3].max(axis=2)
            if plane.shape != hw:
                raise DataError(f"{file}: must be {hw[0]} x {hw[1]} like its image, but is {plane.shape}; replace it")
            ids[plane > 0] = number
        return ids

    return merge


def _drawer(annotations: list[dict[str, Any]], size_hw: tuple[int, int], file: Path) -> Callable[[], np.ndarray]:
    def draw() -> np.ndarray:
        ids = np.zeros(size_hw, np.uint16)
        for number, annotation in enumerate(annotations, start=1):
            shape = annotation.get("segmentation")
            if isinstance(shape, dict):
                ids[_unrolled(shape, file)] = number
                continue
            rings = [np.rint(np.reshape(ring, (-1, 2))).astype(np.int32) for ring in shape or [] if len(ring) >= 6]
            for ring in rings:
                plane = np.zeros(size_hw, np.uint8)
                cv2.fillPoly(plane, [ring], 1)
                ids[plane > 0] = number
        return ids

    return draw


def _unrolled(shape: dict[str, Any], file: Path) -> np.ndarray:
    """A run-length mask as bool (H, W); runs go down the columns, background first."""
    counts = shape.get("counts")
    if not isinstance(counts, list):
        raise DataError(f"{file}: run-length masks must be lists of numbers, but are compressed; decode them first")
    high, wide = shape["size"]
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    if flat.size != high * wide:
        raise DataError(f"{file}: a run-length mask of {high} x {wide} has {flat.size} pixels; the file is damaged")
    plane: np.ndarray = flat.reshape((wide, high)).T
    return plane
