"""A data set: pairs of files, their encoding and statistics; pixels are read on request."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from samtune.data.images.raw import upright
from samtune.data.images.reading import content_id, read_image
from samtune.data.masks import MaskValues
from samtune.data.options import DataOptions
from samtune.data.survey import survey
from samtune.errors import DataError
from samtune.notebook import html_card, one_line_repr
from samtune.printable import one_line
from samtune.progress import say, track
from samtune.types import Pair

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from samtune.data.masks import MaskEncoding
    from samtune.types import Problem

MAX_LISTED = 10
"""Largest number of problems that a message lists; the others are counted."""


@dataclass(frozen=True)
class Dataset:
    """Images with masks, read one by one.

    Attributes:
        pairs: image and mask files, sorted by stem.
        encoding: the rule by which mask files become label maps.
        class_names: K names; label k is `class_names[k - 1]`.
        ignore_label: the value of ignored pixels in the mask files, None without one; in label maps it is always
            types.IGNORE.
        notes: what was inferred, left out or scaled, as sentences.
        label_counts: int64 (N, K + 2), for each pair the pixels of background, classes 1..K, and ignored.
        sizes_hw: rows and columns of each image, upright.
        drawn_on: "shown" or "stored" as in `DataOptions`, stated or inferred; None if no image
            is rotated.
    """

    pairs: tuple[Pair, ...]
    encoding: MaskEncoding
    class_names: tuple[str, ...]
    ignore_label: int | float | None
    notes: tuple[str, ...]
    label_counts: np.ndarray = field(repr=False, compare=False)
    sizes_hw: tuple[tuple[int, int], ...] = field(repr=False)
    drawn_on: str | None = None
    _content_ids: dict[Path, str] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        """Return one line: images, classes, and the encoding of the masks."""
        return one_line_repr("Dataset", self._facts())

    def _repr_html_(self) -> str:
        """Return HTML for notebooks: the same, each class with its share of the pixels, and the notes."""
        content = self.describe()
        shares, images = content["foreground_share"], content["num_with_class"]
        rows = [(name, f"{shares[name]:.1%}", images[name]) for name in self.class_names]
        header = ("class", "share of the pixels", "images")
        return html_card("Dataset", self._facts(), header=header, rows=rows, sentences=self.notes)

    def _facts(self) -> dict[str, object]:
        return {"images": len(self), "classes": list(self.class_names), "masks": self.encoding.kind}

    @property
    def num_classes(self) -> int:
        """K, background not counted."""
        return len(self.class_names)

    @property
    def mask_values(self) -> MaskValues:
        """The values of background and classes in the mask files."""
        return MaskValues.of(self.encoding)

    @property
    def options(self) -> DataOptions:
        """Options with which `open_dataset` reads another folder (validation, test) with the same classes."""
        return replace(self.encoding.options(self.class_names), drawn_on=self.drawn_on)

    def image(self, index: int) -> np.ndarray:
        """Read image `index` as uint8 (H, W, 3) RGB, upright.

        Raises:
            DataError: the file can no longer be read.
        """
        image = read_image(self.pairs[index].image)
        self._content_ids.setdefault(self.pairs[index].image, content_id(image))
        return image

    def labels(self, index: int) -> np.ndarray:
        """Read label map `index` as uint8 (H, W): 0 background, 1..K, types.IGNORE.

        Raises:
            DataError: the file can no longer be read, or holds values that it did not hold when it was opened.
        """
        pair = self.pairs[index]
        return upright(self.encoding.read(pair.mask), pair.mask_orientation)

    def objects(self, index: int) -> np.ndarray | None:
        """Read the object ids of image `index` as int64 (H, W), 0 background; None if masks do not separate objects.

        Raises:
            DataError: the file can no longer be read.
        """
        if self.encoding.kind != "instances":
            return None
        pair = self.pairs[index]
        return upright(self.encoding.objects(pair.mask), pair.mask_orientation)

    def content_id(self, index: int) -> str:
        """Return the sha256 of a decoded image, equal for renamed and losslessly re-encoded copies; computed once."""
        path = self.pairs[index].image
        if path not in self._content_ids:
            self._content_ids[path] = content_id(read_image(path))
        return self._content_ids[path]

    def subset(self, indices: Iterable[int]) -> Dataset:
        """Return the data set of the pairs at `indices`, in that order, with the same classes and encoding."""
        indices = list(indices)
        return replace(
            self,
            pairs=tuple(self.pairs[i] for i in indices),
            label_counts=self.label_counts[indices] if indices else self.label_counts[:0],
            sizes_hw=tuple(self.sizes_hw[i] for i in indices),
        )

    def fingerprint(self) -> str:
        """Return the sha256 of all images, label maps and class names, independent of file names, order and format."""
        entries = []
        for index in track(range(len(self)), "fingerprint of the data"):
            entries.append(self.content_id(index) + content_id(self.labels(index)))
        return hashlib.sha256("\n".join([*sorted(entries), *self.class_names]).encode()).hexdigest()

    def foreground_share(self) -> dict[str, float]:
        """Return class -> share of the pixels that are not ignored, pooled over all images; NaN if all are ignored."""
        sums = self.label_counts.sum(axis=0)
        total = int(sums[:-1].sum())
        return {
            name: float(sums[k] / total) if total else float("nan") for k, name in enumerate(self.class_names, start=1)
        }

    def describe(self) -> dict[str, Any]:
        """Return statistics for reports and model cards, in plain JSON types.

        Keys: num (images), num_classes, class_names, encoding (a sentence), encoding_kind, ignore_label, ignored_share
        (of all pixels), foreground_share (class -> share of the pixels that are not ignored), num_with_class (class ->
        images), num_empty (images without any class), sizes_hw ([[rows, columns, images], ...] by frequency, at most
        10), num_sizes, num_groups, notes.
        """
        sizes = Counter(self.sizes_hw)
        counts = self.label_counts
        total = int(counts.sum())
        return {
            "num": len(self),
            "num_classes": self.num_classes,
            "class_names": list(self.class_names),
            "encoding": self.encoding.sentence,
            "encoding_kind": self.encoding.kind,
            "ignore_label": self.ignore_label,
            "ignored_share": float(counts[:, -1].sum() / total) if total else float("nan"),
            "foreground_share": self.foreground_share(),
            "num_with_class": {name: int((counts[:, k] > 0).sum()) for k, name in enumerate(self.class_names, start=1)},
            "num_empty": int((counts[:, 1:-1].sum(axis=1) == 0).sum()),
            "sizes_hw": [[h, w, num] for (h, w), num in sizes.most_common(10)],
            "num_sizes": len(sizes),
            "num_groups": len({pair.group for pair in self.pairs if pair.group is not None}),
            "notes": list(self.notes),
        }


def open_dataset(
    images: Path | str,
    masks: Path | str | None = None,
    options: DataOptions | None = None,
    *,
    allow_empty: bool = False,
) -> Dataset:
    """Open images with masks. Every mask is decoded once; of most images only the header is read.

    Args:
        images: a folder, a manifest, or one folder that holds both; see `find_pairs`.
        masks: the folder of masks.
        options: how masks are read where the files leave it open; None for no options.
        allow_empty: accept masks without any object, for scoring, if `options` names the classes.

    Raises:
        DataError: no image has a mask, a file is damaged, sizes differ, or the encoding is ambiguous. All problems are
            reported together, the first ten in full.
    """
    result = survey(images, masks, options or DataOptions(), allow_empty=allow_empty)
    stopping = [problem for problem in result.problems if problem.stops_training]
    if stopping:
        raise DataError(problems_text(stopping))
    encoding = result.inference.encoding
    if encoding is None:
        raise DataError(f"{images}: no mask could be read; run samtune doctor on the folder")
    for sentence in (encoding.sentence, *result.notes):
        say(sentence)
    return Dataset(
        pairs=result.pairs,
        encoding=encoding,
        class_names=result.inference.class_names,
        ignore_label=encoding.ignore_label,
        notes=(encoding.sentence, *result.notes),
        label_counts=np.stack([encoding.count(stats) for stats in result.stats]),
        sizes_hw=tuple(header.hw for header in result.headers),
        drawn_on=result.drawn_on,
    )


def problems_text(problems: Sequence[Problem]) -> str:
    """Return problems as one message: a line for each (file: what; mend), ten at most, and how many more."""
    lines = [one_line(f"{problem.file}: {problem.what}; {problem.mend}") for problem in problems[:MAX_LISTED]]
    if len(problems) > MAX_LISTED:
        lines.append(f"... and {len(problems) - MAX_LISTED} more")
    return lines[0] if len(lines) == 1 else f"the data has {len(problems)} problems:\n  " + "\n  ".join(lines)
