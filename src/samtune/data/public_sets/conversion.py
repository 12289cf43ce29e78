"""Conversion of masks that are not label maps (a file per object, outlines, grey levels) into the cache of masks.

Objects become 16-bit ids; where two objects overlap, the later one is on top.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from samtune.data.images.decoding import IMAGE_SUFFIXES, decode, read_header
from samtune.data.masks import cached_mask, stamp
from samtune.errors import DataError
from samtune.progress import track
from samtune.types import Pair, Problem


def merge_object_files(root: Path, layout: str) -> list[Pair]:
    """Return the pairs of `ID/images/ID.png` with `ID/masks/*.png`, one mask file per object.

    Folders without exactly one image, or without masks, are skipped.

    Args:
        root: the folder that holds a folder for each image.
        layout: name of the data set; a folder of the cache.

    Raises:
        DataError: a mask file is damaged or differs in size from its image.
    """
    pairs = []
    folders = [path for path in sorted(root.iterdir()) if (path / "images").is_dir() and (path / "masks").is_dir()]
    for folder in track(folders, "merging masks", len(folders)):
        images = [file for file in sorted((folder / "images").iterdir()) if file.suffix.lower() in IMAGE_SUFFIXES]
        objects = [file for file in sorted((folder / "masks").iterdir()) if file.suffix.lower() in IMAGE_SUFFIXES]
        if len(images) != 1 or not objects:
            continue
        stamps = [stamp(file) for file in objects]
        mask = cached_mask(layout, folder.name, stamps, partial(_merge, images[0], objects))
        pairs.append(Pair(folder.name, images[0], mask))
    return pairs


def draw_coco(images: Path, file: Path, layout: str, split: str | None) -> tuple[list[Pair], list[Problem]]:
    """Return the pairs of a COCO file, with outlines drawn as ids, and a problem for each missing image.

    Args:
        images: the folder that holds the images, at any depth.
        file: the COCO JSON.
        layout: name of the data set; a folder of the cache.
        split: the part of the data set that the file describes.

    Raises:
        DataError: the file is not COCO JSON, or has run lengths that are compressed or of the wrong size.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        entries = content["images"]
        annotations = content["annotations"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file}: expected a COCO file with images and annotations ({error!r}); download it again"
        ) from error
    by_image: dict[Any, list[dict[str, Any]]] = {}
    for annotation in annotations.values() if isinstance(annotations, dict) else annotations:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    by_name = {path.name: path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES}
    source = stamp(file)
    pairs, problems = [], []
    for entry in track(entries, "drawing masks", len(entries)):
        image = by_name.get(Path(entry["file_name"]).name)
        if image is None:
            what = f"is listed in {file.name} but missing in {images.name}/, so it is left out"
            mend = "unpack all images"
            problems.append(Problem("unpaired", entry["file_name"], what, mend, False))
            continue
        size_hw = (int(entry["height"]), int(entry["width"]))
        draw = partial(_draw_objects, by_image.get(entry["id"], []), size_hw, file)
        mask = cached_mask(layout, image.stem, (*source, entry["id"]), draw)
        pairs.append(Pair(image.stem, image, mask, None, split))
    return pairs, problems


def threshold_levels(file: Path, layout: str) -> Path:
    """Return the file of a 0/255 mask made from one whose grey levels count agreeing annotators: 255 above one half.

    Args:
        file: the mask of the download.
        layout: name of the data set; a folder of the cache.

    Raises:
        DataError: the file is damaged.
    """
    return cached_mask(layout, file.stem, stamp(file), lambda: (_brightness(file) > 127) * np.uint8(255))


def _brightness(file: Path) -> np.ndarray:
    """Return the grey, or the brightest colour channel, of an image file (H, W)."""
    pixels = decode(file).pixels
    brightness: np.ndarray = pixels if pixels.ndim == 2 else pixels[..., :3].max(axis=2)
    return brightness


def _merge(image: Path, objects: list[Path]) -> np.ndarray:
    """Return the ids, uint16 (H, W), of the objects in one mask file each."""
    hw = read_header(image).hw
    ids = np.zeros(hw, np.uint16)
    for number, file in enumerate(objects, start=1):
        plane = _brightness(file)
        if plane.shape != hw:
            raise DataError(
                f"{file}: expected {hw[0]} x {hw[1]} (rows x columns) like its image, got {plane.shape[0]} x "
                f"{plane.shape[1]}; replace it"
            )
        ids[plane > 0] = number
    return ids


def _draw_objects(annotations: list[dict[str, Any]], size_hw: tuple[int, int], file: Path) -> np.ndarray:
    """Return the ids, uint16 (H, W), of the COCO annotations of one image."""
    ids = np.zeros(size_hw, np.uint16)
    for number, annotation in enumerate(annotations, start=1):
        shape = annotation.get("segmentation")
        if isinstance(shape, dict):
            ids[_decode_runs(shape, file)] = number
            continue
        rings = [np.rint(np.reshape(ring, (-1, 2))).astype(np.int32) for ring in shape or [] if len(ring) >= 6]
        for ring in rings:
            plane = np.zeros(size_hw, np.uint8)
            cv2.fillPoly(plane, [ring], 1)
            ids[plane > 0] = number
    return ids


def _decode_runs(shape: dict[str, Any], file: Path) -> np.ndarray:
    """Return a COCO run-length mask as bool (H, W); runs go down the columns and start with background."""
    counts = shape.get("counts")
    if not isinstance(counts, list):
        raise DataError(f"{file}: expected run lengths as lists of numbers, got compressed ones; decode them first")
    height, width = shape["size"]
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    if flat.size != height * width:
        raise DataError(
            f"{file}: expected {height * width} pixels in a run-length mask of {height} x {width}, got {flat.size}; "
            "the file is damaged"
        )
    plane: np.ndarray = flat.reshape((width, height)).T
    return plane
