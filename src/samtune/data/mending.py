"""`mend`: a repaired copy of a data set, with only valid pairs and with masks as PNG of class ids."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from samtune.data.dataset import problems_text
from samtune.data.doctor import Findings
from samtune.data.images.decoding import decode
from samtune.data.images.raw import upright
from samtune.data.images.reading import content_id, to_rgb
from samtune.data.options import DataOptions
from samtune.data.survey import survey, unreadable
from samtune.data.views.resizing import resize_labels
from samtune.errors import DataError, OutputError
from samtune.outputs import OutputFolder, name_key
from samtune.progress import track
from samtune.text import count
from samtune.types import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.images.raw import Header
    from samtune.data.masks import MaskEncoding
    from samtune.data.survey import Survey
    from samtune.types import Pair

MAX_ASPECT_DIFFERENCE = 0.02
"""Largest relative difference of the aspects of image and mask with which the mask is resized to its image."""

KIND = "mended copy"
"""Name of the copy in the list of files that samtune wrote to a folder."""

UNFINISHED = ".samtune-unfinished"
"""A file that marks an incomplete copy, which the next call removes and starts again."""

LEFT_OUT = ("unpaired", "unreadable", "missing_file", "stem_twice", "ambiguous_pair")
"""Kinds of problems whose files are left out of the copy."""


@dataclass
class _Copy:
    """The state of a copy while it is written.

    Attributes:
        out: the folder of the copy.
        encoding: the encoding of the masks.
        stems: image -> path of its files below `images/` and `masks/`, without ending.
        seen: content id -> name of the image.
        changes: ("image" or "mask", change) -> number of files.
        lines: image, mask, group and split of each written pair; paths are relative to `out`.
    """

    out: OutputFolder
    encoding: MaskEncoding
    stems: dict[Path, str]
    seen: dict[str, str] = field(default_factory=dict)
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    lines: list[tuple[str, str, str, str]] = field(default_factory=list)

    def count_change(self, noun: str, change: str) -> None:
        """Count a change of one file, such as ("mask", "resized to its image")."""
        self.changes[noun, change] += 1


def mend(images: Path | str, masks: Path | str | None, out: Path | str, options: DataOptions | None = None) -> Findings:
    """Write the valid and the repairable pairs of a data set to a new folder.

    `out/images` holds the images as they are, or as PNG if they have an EXIF rotation, more than 8 bit, alpha or
    several pages. `out/masks` holds single-channel PNG: 0 background, 1..K, 255 ignored. `out/pairs.csv` names groups
    and splits if there are any. Masks of another size but equal aspect are resized by the nearest pixel; masks drawn
    before the EXIF rotation of their image are rotated. Unpaired files, unreadable files, masks of another aspect and
    exact copies of an image are left out; near-duplicates are kept. The original files stay unchanged, and nothing is
    written outside `out`: parts of manifest paths that lead out of the folder (`../x.png`) are dropped.

    Args:
        images: as for `find_pairs`.
        masks: as for `find_pairs`.
        out: a new or empty folder. A copy that was interrupted by a full disk or a kill is removed and started again.
        options: how masks are read where the files leave it open.

    Returns:
        The number of written pairs; the files that were left out, as problems; the changes, as notes.

    Raises:
        DataError: `out` holds other files or lies within the data; or the encoding or the orientation of the masks is
            ambiguous, which `options` resolves.
        OutputError: a file cannot be written.
    """
    out = Path(out)
    _check_out(out, [Path(p) for p in (images, masks) if p is not None and Path(p).is_dir()])
    result, encoding = _unambiguous_survey(images, masks, options or DataOptions())
    inputs = [file for pair in result.pairs for file in (pair.image, pair.mask)]
    inputs += [Path(path) for path in (images, masks) if path is not None and Path(path).is_file()]
    folder = _empty_folder(out, inputs)
    copy = _Copy(folder, encoding, _stems_below(result.pairs))
    unclear = {problem.file for problem in result.problems if problem.kind == "stem_twice"}
    left_out = [_as_left_out(problem) for problem in result.problems if problem.kind in LEFT_OUT]
    for pair, header in track(zip(result.pairs, result.headers, strict=True), "mending", len(result.pairs)):
        if str(pair.image) in unclear or str(pair.mask) in unclear:
            continue
        problem = _mend_pair(pair, header, copy)
        if problem is not None:
            left_out.append(problem)
    if any(group or split for _, _, group, split in copy.lines):
        folder.write_csv("pairs.csv", [("image", "mask", "group", "split"), *copy.lines], is_manifest=True)
    folder.remove(UNFINISHED)
    notes = [f"{count(len(copy.lines), 'pair')} written to {out}", encoding.sentence, *result.notes]
    notes += [f"{count(num, noun)} {change}" for (noun, change), num in copy.changes.items()]
    return Findings(len(copy.lines), encoding.num_classes, tuple(left_out), tuple(notes))


def _unambiguous_survey(
    images: Path | str, masks: Path | str | None, options: DataOptions
) -> tuple[Survey, MaskEncoding]:
    """Return the survey of a data set and the encoding of its masks.

    Raises:
        DataError: the encoding or the orientation of the masks is ambiguous.
    """
    result = survey(images, masks, options)
    encoding = result.inference.encoding
    if encoding is None:
        raise DataError(problems_text(result.inference.problems or result.problems))
    ambiguous = [problem for problem in result.problems if problem.kind == "turned_image"]
    if ambiguous:
        raise DataError(problems_text(ambiguous))
    return result, encoding


def _check_out(out: Path, sources: list[Path]) -> None:
    """Check that the folder of the copy is new, empty or an interrupted copy, and outside the data.

    Raises:
        DataError: it is not.
    """
    for source in sources:
        if out.resolve().is_relative_to(source.resolve()):
            raise DataError(f"{out}: lies within the data ({source}); name a folder outside it for the copy")
    try:
        folder = OutputFolder(out, KIND)
        files = folder.foreign() or (folder.own() if UNFINISHED not in folder.own() else [])
    except OutputError as error:
        raise DataError(str(error)) from error
    if files:
        raise DataError(
            f"{out}: expected a new or empty folder for the copy, got one with files such as {files[0]}; name another"
        )


def _empty_folder(out: Path, inputs: list[Path]) -> OutputFolder:
    """Return the folder of the copy, after removing what an interrupted call wrote there.

    Raises:
        DataError: the folder contains files of the data.
    """
    within = [file for file in inputs if file.resolve().is_relative_to(out.resolve())]
    if within:
        raise DataError(f"{out}: contains files of the data ({within[0]}); name another folder for the copy")
    folder = OutputFolder(out, KIND, inputs=inputs)
    folder.clear()
    folder.write_text(UNFINISHED, "samtune doctor --fix was interrupted; repeat it, or remove this folder.\n")
    return folder


def _stems_below(pairs: Sequence[Pair]) -> dict[Path, str]:
    """Return a path for each image: its stem without parts that lead out of the folder; equal ones are numbered."""
    names: dict[Path, str] = {}
    keys: set[str] = set()
    for pair in pairs:
        parts = [part for part in PurePosixPath(pair.stem).parts if part not in ("/", "..")]
        base = name = "/".join(parts) or "image"
        number = 2
        while name_key(name) in keys:
            name, number = f"{base}-{number}", number + 1
        keys.add(name_key(name))
        names[pair.image] = name
    return names


def _as_left_out(problem: Problem) -> Problem:
    """Return the problem of a file that is not in the copy, which therefore no longer stops training."""
    return Problem(problem.kind, problem.file, f"was left out: {problem.what}", problem.mend, False)


def _mend_pair(pair: Pair, header: Header, copy: _Copy) -> Problem | None:
    """Write one pair; return a problem if it is left out."""
    try:
        image = to_rgb(decode(pair.image), pair.image)
        labels = upright(copy.encoding.read(pair.mask), pair.mask_orientation)
    except DataError as error:
        return _as_left_out(unreadable(pair.image, error))
    identity = content_id(image)
    if identity in copy.seen:
        what = f"was left out: it is the same image as {copy.seen[identity]}"
        return Problem("duplicate", str(pair.image), what, "nothing: the copy has one of them", False)
    hw = (image.shape[0], image.shape[1])
    if labels.shape != hw:
        fitted = _fit(labels, hw, header.orientation, copy)
        if fitted is None:
            rows, columns = labels.shape
            what = f"was left out: it is {rows} x {columns} (rows x columns), its image {hw[0]} x {hw[1]}"
            return Problem("size_differs", str(pair.mask), what, "export the mask at its image's size", False)
        labels = fitted
    copy.seen[identity] = pair.image.name
    stem = copy.stems[pair.image]
    mask_name = f"masks/{stem}.png"
    image_name = f"images/{stem}{pair.image.suffix.lower() if _is_plain(header) else '.png'}"
    copy.out.write_bytes(mask_name, _as_png(labels))
    if _is_plain(header):
        with copy.out.whole(image_name) as partial:
            shutil.copyfile(pair.image, partial)
    else:
        copy.out.write_bytes(image_name, _as_png(image))
        copy.count_change("image", "saved as upright 8-bit RGB PNG")
    copy.lines.append((image_name, mask_name, pair.group or "", pair.split or ""))
    return None


def _is_plain(header: Header) -> bool:
    """Return whether an image file can be copied as it is."""
    plain = header.samples.has_bytes and not header.samples.white_is_zero and header.mode in ("L", "P", "RGB")
    return plain and header.orientation == 1 and header.pages == 1


def _as_png(pixels: np.ndarray) -> bytes:
    """Return the content of a PNG file of uint8 (H, W) or (H, W, 3)."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="png")
    return stream.getvalue()


def _fit(labels: np.ndarray, hw: tuple[int, int], orientation: int, copy: _Copy) -> np.ndarray | None:
    """Return labels at the size of their image, None if the aspects differ."""
    if orientation >= 5 and labels.shape == (hw[1], hw[0]):
        copy.count_change("mask", "rotated by the EXIF orientation of the image")
        return upright(labels, orientation)
    vertical, horizontal = hw[0] / labels.shape[0], hw[1] / labels.shape[1]
    if abs(vertical / horizontal - 1) > MAX_ASPECT_DIFFERENCE:
        return None
    copy.count_change("mask", "resized to the size of the image")
    return resize_labels(labels, hw)
