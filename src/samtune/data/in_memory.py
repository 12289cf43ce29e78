"""Annotated images handed in from Python, written as files that `open_dataset` reads."""

from __future__ import annotations

import csv
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from samtune.data.images.arrays import as_rgb
from samtune.data.images.reading import count_notes
from samtune.errors import DataError, ShapeError
from samtune.files import reported
from samtune.inputs import as_path
from samtune.progress import say

if TYPE_CHECKING:
    from contextlib import ExitStack


def as_paths(images: Any, masks: Any, temporary: ExitStack) -> tuple[str | Path, str | Path | None]:
    """Return what `open_dataset` takes: paths unchanged, lists as files in a temporary folder.

    Args:
        images: a folder or a manifest; or a list of files, arrays as in `as_rgb` and PIL images; or an array
            (N, H, W, C).
        masks: a folder, or None; or a list of as many files, arrays (H, W), bool or integers 0..255, and PIL images;
            or an array (N, H, W).
        temporary: removes the folder when it is closed.

    Raises:
        ShapeError: images and masks differ in number or are not of these types.
        DataError: an image has NaN or infinite samples, or a file does not exist.
    """
    if isinstance(images, str | os.PathLike):
        if masks is not None and not isinstance(masks, str | os.PathLike):
            raise ShapeError(
                "Expected images and masks both as paths or both as lists, got a path only for the images."
            )
        return as_path(os.fspath(images)), None if masks is None else as_path(os.fspath(masks))
    if masks is None or isinstance(masks, str | os.PathLike):
        raise ShapeError(
            "Expected images and masks both as paths or both as lists, got "
            f"{'None' if images is None else type(images).__name__} for the images and "
            f"{'no masks' if masks is None else 'a path for the masks'}."
        )
    images, masks = _items(images, "images", 4), _items(masks, "masks", 3)
    if len(images) != len(masks):
        raise ShapeError(f"Expected one mask per image, got {len(images)} images and {len(masks)} masks.")
    if not images:
        raise ShapeError("Expected at least one image with its mask, got empty lists.")
    root = Path(temporary.enter_context(tempfile.TemporaryDirectory(prefix="samtune-arrays-")))
    return _write_pairs(images, masks, root)


def _items(values: Any, name: str, ndim: int) -> list[Any]:
    """Return the elements of a list, or of a stack with `ndim` axes."""
    if (isinstance(values, np.ndarray) and values.ndim == ndim) or isinstance(values, list | tuple):
        return list(values)
    got = f"an array {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
    raise ShapeError(f"Expected {name} as a path, a list or an array of {ndim} axes, got {got}; pass a list.")


def _write_pairs(images: list[Any], masks: list[Any], root: Path) -> tuple[Path, Path | None]:
    """Write arrays as PNG; return their two folders, or a manifest where some images or masks are files already."""
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    rows, clauses = [], []
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        name, size_hw = f"{number:06d}.png", None
        image_file, mask_file = root / "images" / name, root / "masks" / name
        if isinstance(image, str | os.PathLike):
            image_file = _existing(image, f"image {number}")
        else:
            rgb, notes = as_rgb(image, f"image {number}")
            clauses.append(notes)
            size_hw = rgb.shape[:2]
            _write(image_file, np.ascontiguousarray(rgb[..., ::-1]))
        if isinstance(mask, str | os.PathLike):
            mask_file = _existing(mask, f"mask {number}")
        else:
            _write(mask_file, _as_ids(mask, size_hw, number))
        rows.append((image_file, mask_file))
    for sentence in count_notes(clauses):
        say(f"{sentence}.")
    if all(file.is_relative_to(root) for row in rows for file in row):
        return root / "images", root / "masks"
    manifest = root / "images.csv"
    with manifest.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        csv.writer(stream).writerows([("image", "mask"), *rows])
    return manifest, None


def _existing(path: str | os.PathLike[str], name: str) -> Path:
    """Return the absolute path of a file.

    Raises:
        DataError: there is none.
    """
    file = as_path(Path(path))
    if not file.is_file():
        raise DataError(f"Expected a file as {name}, got {path!s}, which is not a file; check the path.")
    return file.absolute()


def _as_ids(mask: Any, image_hw: tuple[int, ...] | None, number: int) -> np.ndarray:
    """Return a mask as uint8 ids.

    Args:
        mask: array (H, W) or PIL image, whose palette indices are ids.
        image_hw: rows and columns of its image; None where the image is a file.
        number: position in the list.

    Raises:
        ShapeError: the shape is not that of the image, the type is neither bool nor integer, or values exceed 0..255.
    """
    if isinstance(mask, Image.Image):
        mask = np.asarray(ImageOps.exif_transpose(mask))
    if not isinstance(mask, np.ndarray):
        got = "None" if mask is None else type(mask).__name__
        raise ShapeError(f"Expected mask {number} as a path, an array or a PIL image, got {got}.")
    if mask.ndim != 2 or mask.size == 0 or image_hw not in (None, mask.shape) or mask.dtype.kind not in "biu":
        of_image = "(H, W)" if image_hw is None else f"of its image's shape {tuple(image_hw)}"
        raise ShapeError(
            f"Expected mask {number} as a bool or integer array {of_image}, got {mask.dtype} {mask.shape}."
        )
    if mask.dtype == bool:
        return mask.astype(np.uint8) * np.uint8(255)
    if mask.min() < 0 or mask.max() > 255:
        raise ShapeError(f"Expected values 0..255 in mask {number}, got {mask.min()}..{mask.max()}.")
    return mask.astype(np.uint8)


def _write(file: Path, pixels: np.ndarray) -> None:
    done, coded = cv2.imencode(".png", pixels)
    assert done
    with reported(file.parent, file.name):
        file.write_bytes(coded.tobytes())
