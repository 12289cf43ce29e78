"""A mended copy of a data set: sound pairs only, masks as PNG ids; the original is never touched."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from samtune.data.dataset import tell
from samtune.data.decoding import decode, upright
from samtune.data.doctor import Findings
from samtune.data.images import content_id, to_rgb
from samtune.data.options import DataOptions
from samtune.data.resizing import resize_labels
from samtune.data.survey import survey, unreadable
from samtune.errors import DataError
from samtune.progress import track
from samtune.types import Problem

if TYPE_CHECKING:
    from samtune.data.decoding import Header
    from samtune.data.encodings import MaskEncoding
    from samtune.types import Pair

MAX_ASPECT_DIFFERENCE = 0.02
"""A mask of another size is resized if its sides are the image's times one factor, up to this share."""


LEFT_OUT = ("unpaired", "unreadable", "missing_file", "stem_twice")


def mend(images: Path | str, masks: Path | str | None, out: Path | str, options: DataOptions | None = None) -> Findings:
    """Write what is sound, and what can be made sound, to `out`.

    `out/images` gets the images as they are (as PNG where they were turned by EXIF, have more than 8 bit,
    alpha or several pages), `out/masks` single-channel PNG: 0 background, 1..K, 255 ignored; `out/pairs.csv`
    names groups and splits if there are any. Masks of another size are resized to the nearest pixel if the
    shape agrees, and turned if they were drawn before the image's EXIF rotation. Left out: what has no
    partner or cannot be read, masks of another shape, exact copies of an image. Near-duplicates stay.

    Returns:
        The pairs written; as problems what was left out and why; as notes what was changed.

    Raises:
        DataError: `out` is not empty or lies within the data; or the masks' encoding is in doubt, which only
            the user can settle by `options`.
    """
    out = Path(out)
    _check_out(out, [Path(p) for p in (images, masks) if p is not None and Path(p).is_dir()])
    result = survey(images, masks, options or DataOptions())
    encoding = result.inference.encoding
    if encoding is None:
        raise DataError(tell(result.inference.problems or result.problems))
    unclear = {problem.file for problem in result.problems if problem.kind == "stem_twice"}
    left_out = [_as_left_out(problem) for problem in result.problems if problem.kind in LEFT_OUT]
    done: dict[str, int] = {}
    written: list[Pair] = []
    seen: dict[str, str] = {}
    for pair, header in track(zip(result.pairs, result.headers, strict=True), "mending", len(result.pairs)):
        if str(pair.image) in unclear or str(pair.mask) in unclear:
            continue
        problem = _mend_pair(pair, header, encoding, out, seen, done)
        if problem is None:
            written.append(pair)
        else:
            left_out.append(problem)
    if any(pair.group is not None or pair.split is not None for pair in written):
        _write_manifest(out, written)
    notes = [f"{len(written)} pairs written to {out}", encoding.sentence, *result.notes]
    notes += [f"{num} {what}" for what, num in done.items()]
    return Findings(len(written), encoding.num_classes, tuple(left_out), tuple(notes))


def _check_out(out: Path, sources: list[Path]) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: the mended copy needs a new or empty folder, but this one has files; name another")
    for source in sources:
        if out.resolve().is_relative_to(source.resolve()):
            raise DataError(f"{out}: the mended copy must lie outside the data ({source}); name another folder")


def _as_left_out(problem: Problem) -> Problem:
    return Problem(problem.kind, problem.file, f"was left out: {problem.what}", problem.mend, False)


def _mend_pair(
    pair: Pair, header: Header, encoding: MaskEncoding, out: Path, seen: dict[str, str], done: dict[str, int]
) -> Problem | None:
    """Write one pair; or say why not."""
    try:
        image = to_rgb(decode(pair.image), pair.image)
        labels = encoding.read(pair.mask)
    except DataError as error:
        return _as_left_out(unreadable(pair.image, error))
    identity = content_id(image)
    if identity in seen:
        what = f"was left out: it is the same image as {seen[identity]}"
        return Problem("duplicate", str(pair.image), what, "nothing: one of them is there", False)
    hw = (image.shape[0], image.shape[1])
    if labels.shape != hw:
        fitted = _fit(labels, hw, header.orientation, done)
        if fitted is None:
            what = f"was left out: it is {labels.shape[0]} x {labels.shape[1]}, its image {hw[0]} x {hw[1]}"
            return Problem("size_differs", str(pair.mask), what, "export the mask at its image's size", False)
        labels = fitted
    seen[identity] = pair.image.name
    mask_path = _mask_path(out, pair)
    mask_path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(mask_path)
    image_path = out / "images" / f"{pair.stem}{pair.image.suffix.lower() if _is_plain(header) else '.png'}"
    image_path.parent.mkdir(parents=True, exist_ok=True)
    if _is_plain(header):
        shutil.copyfile(pair.image, image_path)
    else:
        Image.fromarray(image).save(image_path)
        _did(done, "image(s) saved as upright 8-bit RGB PNG")
    return None


def _is_plain(header: Header) -> bool:
    return header.orientation == 1 and header.pages == 1 and header.mode in ("1", "L", "P", "RGB")


def _mask_path(out: Path, pair: Pair) -> Path:
    return out / "masks" / f"{pair.stem}.png"


def _did(done: dict[str, int], what: str) -> None:
    done[what] = done.get(what, 0) + 1


def _fit(labels: np.ndarray, hw: tuple[int, int], orientation: int, done: dict[str, int]) -> np.ndarray | None:
    """`labels` at the size of the image, or None where the shapes do not agree."""
    if orientation >= 5 and labels.shape == (hw[1], hw[0]):
        _did(done, "mask(s) turned like their images")
        return upright(labels, orientation)
    vertical, horizontal = hw[0] / labels.shape[0], hw[1] / labels.shape[1]
    if abs(vertical / horizontal - 1) > MAX_ASPECT_DIFFERENCE:
        return None
    _did(done, "mask(s) resized to their images")
    return resize_labels(labels, hw)


def _write_manifest(out: Path, pairs: list[Pair]) -> None:
    """`pairs.csv` with groups and splits; the images' endings are looked up, for some became PNG."""
    with (out / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "mask", "group", "split"])
        for pair in pairs:
            kept = out / "images" / f"{pair.stem}{pair.image.suffix.lower()}"
            image = kept if kept.is_file() else kept.parent / f"{Path(pair.stem).name}.png"
            cells = [path.relative_to(out).as_posix() for path in (image, _mask_path(out, pair))]
            writer.writerow([*cells, pair.group or "", pair.split or ""])
