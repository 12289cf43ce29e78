"""A mended copy of a data set: sound pairs only, masks as PNG ids; the original is never touched."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from samtune.data.dataset import tell
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
from samtune.types import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.images.raw import Header
    from samtune.data.masks import MaskEncoding
    from samtune.types import Pair

MAX_ASPECT_DIFFERENCE = 0.02
"""A mask of another size is resized if its sides are the image's times one factor, up to this share."""


KIND = "mended copy"
"""In the list of what samtune wrote to the folder."""

UNFINISHED = ".samtune-unfinished"
"""In a copy until it is complete; one that was cut off is begun anew."""

LEFT_OUT = ("unpaired", "unreadable", "missing_file", "stem_twice", "ambiguous_pair")


@dataclass
class _Copy:
    """The copy while it is written.

    Attributes:
        out: where it goes.
        encoding: of the masks.
        stems: name of each pair's files below `images/` and `masks/`, without ending.
        seen: content of an image -> its name.
        done: what was changed -> in how many files.
        lines: image and mask of each written pair, below `out`, with its group and split.
    """

    out: OutputFolder
    encoding: MaskEncoding
    stems: dict[Path, str]
    seen: dict[str, str] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    lines: list[tuple[str, str, str, str]] = field(default_factory=list)

    def did(self, what: str) -> None:
        """Count a change."""
        self.done[what] = self.done.get(what, 0) + 1


def mend(images: Path | str, masks: Path | str | None, out: Path | str, options: DataOptions | None = None) -> Findings:
    """Write what is sound, and what can be made sound, to `out`.

    `out/images` gets the images as they are (as PNG where they were turned by EXIF, have more than 8 bit,
    alpha or several pages), `out/masks` single-channel PNG: 0 background, 1..K, 255 ignored; `out/pairs.csv`
    names groups and splits if there are any. Masks of another size are resized to the nearest pixel if the
    shape agrees, and turned if they were drawn before the image's EXIF rotation. Left out: what has no
    partner or cannot be read, masks of another shape, exact copies of an image. Near-duplicates stay. Nothing is
    written outside `out`: paths of a manifest that lead up (`../x.png`) are shortened to what lies below it.

    Args:
        images: as for `find_pairs`.
        masks: as for `find_pairs`.
        out: new or empty; a mended copy that was cut off, by a full disk or a kill, is removed and begun anew.
        options: how masks are read, where the files leave doubt.

    Returns:
        The pairs written; as problems what was left out and why; as notes what was changed.

    Raises:
        DataError: `out` holds anything else or lies within the data; or the masks' encoding, or whether they
            are turned, is in doubt, which only the user can settle by `options`.
        OutputError: the disk refuses.
    """
    out = Path(out)
    _check_out(out, [Path(p) for p in (images, masks) if p is not None and Path(p).is_dir()])
    result = survey(images, masks, options or DataOptions())
    encoding = result.inference.encoding
    if encoding is None:
        raise DataError(tell(result.inference.problems or result.problems))
    asked = [problem for problem in result.problems if problem.kind == "turned_image"]
    if asked:
        raise DataError(tell(asked))
    inputs = [file for pair in result.pairs for file in (pair.image, pair.mask)]
    inputs += [Path(given) for given in (images, masks) if given is not None and Path(given).is_file()]
    folder = _take(out, inputs)
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
        _write_manifest(copy)
    folder.remove(UNFINISHED)
    notes = [f"{len(copy.lines)} pairs written to {out}", encoding.sentence, *result.notes]
    notes += [f"{num} {what}" for what, num in copy.done.items()]
    return Findings(len(copy.lines), encoding.num_classes, tuple(left_out), tuple(notes))


def _check_out(out: Path, sources: list[Path]) -> None:
    for source in sources:
        if out.resolve().is_relative_to(source.resolve()):
            raise DataError(f"{out}: the mended copy must lie outside the data ({source}); name another folder")
    try:
        folder = OutputFolder(out, KIND)
        holds = folder.foreign() or (folder.own() if UNFINISHED not in folder.own() else [])
    except OutputError as error:
        raise DataError(str(error)) from error
    if holds:
        raise DataError(
            f"{out}: the mended copy needs a new or empty folder, but this one has files, such as {holds[0]}; name "
            "another"
        )


def _take(out: Path, inputs: list[Path]) -> OutputFolder:
    """The folder, emptied of what was cut off.

    Raises:
        DataError: what is to be mended lies in it.
    """
    within = [file for file in inputs if file.resolve().is_relative_to(out.resolve())]
    if within:
        raise DataError(f"{out}: the mended copy must lie outside the data ({within[0]}); name another folder")
    folder = OutputFolder(out, KIND, inputs=inputs)
    folder.clear()
    folder.write_text(UNFINISHED, "samtune doctor --fix was cut off; repeat it, or remove this folder.\n")
    return folder


def _stems_below(pairs: Sequence[Pair]) -> dict[Path, str]:
    """A name for each image, its stem without what leads out of the folder; a number is added to equal ones."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for pair in pairs:
        parts = [part for part in PurePosixPath(pair.stem).parts if part not in ("/", "..")]
        wanted = name = "/".join(parts) or "image"
        number = 2
        while name_key(name) in taken:
            name, number = f"{wanted}-{number}", number + 1
        taken.add(name_key(name))
        names[pair.image] = name
    return names


def _as_left_out(problem: Problem) -> Problem:
    return Problem(problem.kind, problem.file, f"was left out: {problem.what}", problem.mend, False)


def _mend_pair(pair: Pair, header: Header, copy: _Copy) -> Problem | None:
    """Write one pair; or say why not."""
    try:
        image = to_rgb(decode(pair.image), pair.image)
        labels = upright(copy.encoding.read(pair.mask), pair.mask_orientation)
    except DataError as error:
        return _as_left_out(unreadable(pair.image, error))
    identity = content_id(image)
    if identity in copy.seen:
        what = f"was left out: it is the same image as {copy.seen[identity]}"
        return Problem("duplicate", str(pair.image), what, "nothing: one of them is there", False)
    hw = (image.shape[0], image.shape[1])
    if labels.shape != hw:
        fitted = _fit(labels, hw, header.orientation, copy)
        if fitted is None:
            what = f"was left out: it is {labels.shape[0]} x {labels.shape[1]}, its image {hw[0]} x {hw[1]}"
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
        copy.did("image(s) saved as upright 8-bit RGB PNG")
    copy.lines.append((image_name, mask_name, pair.group or "", pair.split or ""))
    return None


def _is_plain(header: Header) -> bool:
    plain = header.samples.has_bytes and not header.samples.white_is_zero and header.mode in ("L", "P", "RGB")
    return plain and header.orientation == 1 and header.pages == 1


def _as_png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="png")
    return stream.getvalue()


def _fit(labels: np.ndarray, hw: tuple[int, int], orientation: int, copy: _Copy) -> np.ndarray | None:
    """`labels` at the size of the image, or None where the shapes do not agree."""
    if orientation >= 5 and labels.shape == (hw[1], hw[0]):
        copy.did("mask(s) turned like their images")
        return upright(labels, orientation)
    vertical, horizontal = hw[0] / labels.shape[0], hw[1] / labels.shape[1]
    if abs(vertical / horizontal - 1) > MAX_ASPECT_DIFFERENCE:
        return None
    copy.did("mask(s) resized to their images")
    return resize_labels(labels, hw)


def _write_manifest(copy: _Copy) -> None:
    """`pairs.csv` with groups and splits."""
    copy.out.write_csv("pairs.csv", [("image", "mask", "group", "split"), *copy.lines], is_manifest=True)
