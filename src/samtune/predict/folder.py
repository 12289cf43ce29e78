"""Prediction of folders of images, written as folders of masks.

    OUT/stem.png           the mask, with the values of the masks of training (`data.MaskValues`): 8 or 16 bit grey, or
                           RGB where they were colours; stem.tif for values beyond 16 bit
    OUT/stem_prob.png      16 bit, probability x 65535; several classes: stem_prob_1.png ... stem_prob_K.png
    OUT/stem_overlay.jpg   the segmentation drawn on the image

Sub-folders of an input folder are kept. Inputs whose outputs would share a name keep their extension (`a.jpg.png`).
"""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import tifffile

from samtune.data.images.reading import count_notes, read_with_notes
from samtune.errors import ConfigError, DataError
from samtune.inputs import as_path
from samtune.outputs import OutputFolder
from samtune.overlay import overlay
from samtune.predict.reading import Source, find_images, read_ahead, write_behind
from samtune.progress import say, track

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from samtune.data import MaskValues
    from samtune.predict.predictor import Predictor
    from samtune.tasks import Task
    from samtune.types import Prediction

PROBABILITY_TOP = 65535
"""16-bit value of probability 1."""


@dataclass(frozen=True)
class Written:
    """Result of `predict_folder`.

    Attributes:
        files: written masks, in the order of the inputs.
        skipped: {"file": ..., "why": ...} of each input that could not be read.
        notes: sentences on names that were ambiguous, and on what reading changed in the images.
    """

    files: tuple[Path, ...]
    skipped: tuple[dict[str, str], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Kinds:
    """Kinds of files to write for each image."""

    task: Task
    values: MaskValues
    probabilities: bool
    overlays: bool

    def names(self, stem: str) -> list[str]:
        """Return every file name of a stem."""
        return [self.mask_name(stem), *self.probability_names(stem), *self.overlay_names(stem)]

    def mask_name(self, stem: str) -> str:
        return f"{stem}{self.task.mask_suffix(self.values)}"

    def probability_names(self, stem: str) -> list[str]:
        if not self.probabilities:
            return []
        num_maps = self.task.num_maps(len(self.values.values) - 1)
        if num_maps == 1:
            return [f"{stem}_prob.png"]
        return [f"{stem}_prob_{number}.png" for number in range(1, num_maps + 1)]

    def overlay_names(self, stem: str) -> list[str]:
        return [f"{stem}_overlay.jpg"] if self.overlays else []


def predict_folder(
    predictor: Predictor,
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    probabilities: bool = False,
    overlays: bool = False,
    overwrite: bool = False,
) -> Written:
    """Segment files, folders and patterns, and write a mask for each image.

    While a batch is computed, the next images are read and the previous files are written. Unreadable images are
    skipped and reported at the end. Files of an earlier prediction are replaced, other files only with `overwrite`,
    and inputs and links never.

    Args:
        predictor: the specialist.
        inputs: files, folders, patterns; see `find_images`.
        out: created if missing; not a folder that contains inputs.
        probabilities: also write the probabilities, as 16-bit PNG.
        overlays: also write the segmentation drawn on the image, as JPEG.
        overwrite: replace files in `out` that no earlier prediction wrote.

    Raises:
        ConfigError: `out` contains inputs.
        OutputError: a file in `out` may not be replaced, checked before anything is computed; or cannot be written.
        DataError: an input does not exist, or there is no image at all.
    """
    out = Path(out)
    sources = find_images(inputs, without=_outside(inputs, out))
    _check_out(sources, out)
    kinds = _Kinds(predictor.task, predictor.card.values, probabilities, overlays)
    stems, notes = name_outputs(sources, kinds)
    for note in notes:
        say(note)
    folder = OutputFolder(out, "predictions", inputs=[source.file for source in sources], overwrite=overwrite)
    folder.claim(name for stem in stems.values() for name in kinds.names(stem))
    skipped: list[dict[str, str]] = []
    clauses: list[list[str]] = []
    predicted = _predict(predictor, sources, skipped, clauses)
    writes = (partial(_write, folder, stems[source], image, answer, kinds) for source, image, answer in predicted)
    files = tuple(write_behind(writes, most=predictor.batch_size))
    changes = count_notes(clauses)
    for note in changes:
        say(note)
    return Written(files, tuple(skipped), (*notes, *changes))


def _predict(
    predictor: Predictor, sources: Sequence[Source], skipped: list[dict[str, str]], clauses: list[list[str]]
) -> Iterator[tuple[Source, np.ndarray, Prediction]]:
    """Yield each readable source with its image and prediction.

    Args:
        predictor: the specialist.
        sources: the inputs.
        skipped: receives {"file": ..., "why": ...} of each source that cannot be read.
        clauses: receives what reading changed in each image.
    """
    batches = read_ahead(sources, lambda source: read_with_notes(source.file), predictor.batch_size)
    for batch in track(batches, "Predicting", -(-len(sources) // predictor.batch_size)):
        readable = []
        for source, read in batch:
            if isinstance(read, DataError):
                skipped.append({"file": str(source.file), "why": str(read)})
            else:
                readable.append((source, read[0]))
                clauses.append(read[1])
        predictions = predictor.images([image for _, image in readable])
        for (source, image), prediction in zip(readable, predictions, strict=True):
            yield source, image, prediction


def name_outputs(sources: Sequence[Source], kinds: _Kinds) -> tuple[dict[Source, str], tuple[str, ...]]:
    """Choose a stem for each source so that no two files that will be written share a name.

    The stem is the path below the input folder without extension. While any of a source's files shares a name with
    another's (ignoring case), its stem keeps the extension, then also gets the folder's name, then a number.

    Returns:
        The stems, with "/" between folders, and a sentence if any stem had to be changed.
    """
    levels = dict.fromkeys(sources, 0)
    while True:
        stems = {source: _stem(source, level) for source, level in levels.items()}
        names = Counter(name.lower() for stem in stems.values() for name in kinds.names(stem))
        clashing = [source for source, stem in stems.items() if any(names[n.lower()] > 1 for n in kinds.names(stem))]
        if not clashing:
            break
        for number, source in enumerate(clashing):
            levels[source] = levels[source] + 1 if levels[source] < 2 else levels[source] + 1 + number
    changed = [source for source, level in levels.items() if level]
    if not changed:
        return stems, ()
    example = changed[0]
    return stems, (
        f"Outputs of {len(changed)} inputs would share a name with another, so they get longer names "
        f"({example.inner} becomes {kinds.mask_name(stems[example])}).",
    )


def _stem(source: Source, level: int) -> str:
    if level == 0:
        return source.inner.with_suffix("").as_posix()
    if level == 1:
        return source.inner.as_posix()
    root = source.root or source.file.resolve().parent.name
    whole = f"{root}/{source.inner.as_posix()}" if root else source.inner.as_posix()
    return whole if level == 2 else f"{whole}_{level - 1}"


def _outside(inputs: Sequence[str | Path], out: Path) -> Path | None:
    """Return `out`, whose files are not inputs; None where `out` itself is an input, which `_check_out` refuses."""
    resolved = out.resolve()
    return None if any(as_path(given).resolve() == resolved for given in inputs) else resolved


def _check_out(sources: Sequence[Source], out: Path) -> None:
    resolved = out.resolve()
    for source in sources:
        roots = [source.file.resolve().parent]
        if source.root:
            roots = list(source.file.resolve().parents[: len(source.inner.parts)])
        if resolved in roots:
            raise ConfigError(
                f"Expected a folder without inputs as --out, got {out}, which holds {source.file}; choose another."
            )
    if out.exists() and not out.is_dir():
        raise ConfigError(f"Expected a folder as --out, got the file {out}; choose another --out.")


def _write(out: OutputFolder, stem: str, image: np.ndarray, prediction: Prediction, kinds: _Kinds) -> Path:
    """Write the files of one image, and return the path of its mask."""
    file = _save(out, kinds.mask_name(stem), kinds.task.mask_pixels(prediction.labels, kinds.values))
    for name, plane in zip(kinds.probability_names(stem), prediction.probabilities, strict=False):
        _save(out, name, np.rint(plane * PROBABILITY_TOP).astype(np.uint16))
    for name in kinds.overlay_names(stem):
        _save(out, name, overlay(image, prediction.labels))
    return file


def _save(out: OutputFolder, name: str, pixels: np.ndarray) -> Path:
    """Encode grey or RGB pixels, uint32 as TIFF and others by the extension of the name, and write them."""
    if pixels.dtype == np.uint32:
        content = io.BytesIO()
        tifffile.imwrite(content, pixels, compression="deflate")
        return out.write_bytes(name, content.getvalue())
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, coded = cv2.imencode(Path(name).suffix, pixels)
    assert done
    return out.write_bytes(name, coded.tobytes())
