"""Match masks to images by their names: equal stems first, then the readings of `naming`.

A mask belongs to the image for which the least is removed from both names. If that holds for two images, nothing is
guessed: the result has a problem that shows the patterns of the names.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from samtune.data.formats import naming
from samtune.data.formats.naming import image_readings, mask_readings, nfc, without_number
from samtune.types import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OTHER_CASE, OTHER_FOLDER = 1, 10
"""Costs added to the ranks of readings if names differ in case, or lie in differently named folders."""


@dataclass(frozen=True)
class Named:
    """A file and its path below the folder that was listed.

    Attributes:
        file: the file.
        folder: its sub-folder, with "/" between parts; "" at the top.
    """

    file: Path
    folder: str

    @staticmethod
    def below(root: Path, files: Iterable[Path]) -> list[Named]:
        """Return the files with their sub-folders below `root`."""
        folders = ((file, file.relative_to(root).parent.as_posix()) for file in files)
        return [Named(file, "" if folder == "." else folder) for file, folder in folders]

    @property
    def inner(self) -> str:
        """The path below the listed folder."""
        return f"{self.folder}/{self.file.name}" if self.folder else self.file.name

    @property
    def path(self) -> str:
        """`inner` without the ending."""
        return self.inner[: -len(self.file.suffix)] if self.file.suffix else self.inner

    @property
    def from_above(self) -> str:
        """The path with the listed folder in front, as a manifest beside that folder names it."""
        root = self.file.parents[len(self.folder.split("/")) if self.folder else 0]
        return f"{root.name}/{self.inner}"


@dataclass(frozen=True)
class Hit:
    """A mask that matches an image, and the readings by which it does.

    Attributes:
        mask: the mask.
        patterns: patterns of the image's and of the mask's name, with "*" for the part they share.
        number: the object's number; None if the name has none.
        cost: sum of both ranks and of the costs above; 0 for equal stems in equal folders.
    """

    mask: Named
    patterns: tuple[str, str]
    number: str | None
    cost: int


@dataclass(frozen=True)
class Matches:
    """The masks of each image.

    Attributes:
        hits: image -> its masks, in the order of the images; an empty list for an image without a mask.
        unpaired: masks without an image.
        ambiguous: images that share a possible mask with another image.
        problems: masks with several possible images.
        notes: the naming rules that were applied, one sentence each.
    """

    hits: dict[Named, list[Hit]]
    unpaired: list[Named]
    ambiguous: set[Named]
    problems: list[Problem]
    notes: list[str]


@dataclass
class _Index:
    """Images by every key of their readings; each entry is (index of the image, rank, pattern)."""

    exact: dict[str, list[tuple[int, int, str]]] = field(default_factory=lambda: defaultdict(list))
    folded: dict[str, list[tuple[int, int, str]]] = field(default_factory=lambda: defaultdict(list))
    by_name: dict[str, list[tuple[int, int, str]]] = field(default_factory=lambda: defaultdict(list))
    series: set[str] = field(default_factory=set)
    folders: list[str] = field(default_factory=list)

    @staticmethod
    def of(images: Sequence[Named]) -> _Index:
        index = _Index()
        for number, image in enumerate(images):
            index.folders.append(nfc(image.folder))
            for reading in image_readings(image.folder, image.file.stem, image.file.suffix):
                entry = (number, reading.rank, reading.pattern)
                index.exact[reading.key].append(entry)
                index.folded[reading.key.casefold()].append(entry)
                index.by_name[reading.key.rpartition("/")[2].casefold()].append(entry)
            shorter = without_number(image.file.stem)
            if shorter is not None:
                index.series.add(nfc(f"{image.folder}/{shorter}").lstrip("/"))
        return index

    def find(self, mask: Named) -> list[tuple[int, Hit]]:
        """Return the images of lowest cost for a mask: several if it is ambiguous, none if it has no image."""
        readings = mask_readings(mask.folder, mask.file.stem)
        for table, key_of, extra in (
            (self.exact, lambda key: key, 0),
            (self.folded, str.casefold, OTHER_CASE),
            (self.by_name, lambda key: key.rpartition("/")[2].casefold(), OTHER_FOLDER),
        ):
            hits: dict[int, Hit] = {}
            for reading in readings:
                if reading.rank == naming.NUMBER and reading.key in self.series:
                    continue  # the images are a numbered series: `x_3` is not the third object of `x`
                if extra == OTHER_FOLDER and reading.key == nfc(mask.folder):
                    continue  # a folder of objects belongs to an image of its own name only beside that image
                for image, rank, pattern in table.get(key_of(reading.key), ()):
                    far = extra == OTHER_FOLDER and not _related(self.folders[image], nfc(mask.folder))
                    hit = Hit(mask, (pattern, reading.pattern), reading.number, rank + reading.rank + extra + far)
                    if image not in hits or hit.cost < hits[image].cost:
                        hits[image] = hit
            if hits:
                least = min(hit.cost for hit in hits.values())
                return [(image, hits[image]) for image in sorted(hits) if hits[image].cost == least]
        return []


def _related(image: str, mask: str) -> bool:
    """Return whether the folder of a mask begins or ends with the image's folder: `train/cat` with `train`."""
    return bool(image) and (mask.startswith(f"{image}/") or mask.endswith(f"/{image}"))


def match(images: Sequence[Named], masks: Sequence[Named]) -> Matches:
    """Return the masks of each image, matched by name."""
    by_path: dict[str, list[int]] = defaultdict(list)
    for number, image in enumerate(images):
        by_path[nfc(image.path)].append(number)
    index: _Index | None = None
    hits: dict[Named, list[Hit]] = {image: [] for image in images}
    unpaired: list[Named] = []
    ambiguous: set[Named] = set()
    problems: list[Problem] = []
    for mask in masks:
        same = by_path.get(nfc(mask.path))
        if same is not None:
            candidates = [(number, Hit(mask, ("*", "*"), None, 0)) for number in same]
        else:
            index = index or _Index.of(images)
            candidates = index.find(mask)
        if not candidates:
            unpaired.append(mask)
        elif len(candidates) == 1:
            hits[images[candidates[0][0]]].append(candidates[0][1])
        else:
            ambiguous.update(images[image] for image, _ in candidates)
            several = [images[image].inner for image, _ in candidates]
            what = f"can be the mask of {len(several)} images: {', '.join(several[:4])}"
            mend = f"rename it like its image, or name the pairs in a CSV manifest ({manifest_lines(images, masks)})"
            problems.append(Problem("ambiguous_pair", str(mask.file), what, mend, True))
    if not any(hits.values()) and not ambiguous:
        extended = _by_common_affix(images, masks)
        if extended:
            hits, unpaired = extended, []
    problems += _shifted(hits, unpaired, images, masks)
    return Matches(hits, unpaired, ambiguous, problems, _notes(hits))


def _shifted(
    hits: dict[Named, list[Hit]], unpaired: Sequence[Named], images: Sequence[Named], masks: Sequence[Named]
) -> list[Problem]:
    """Return a problem if two numbered series of equal length overlap in part: `image0..3` and `mask1..4`.

    Such files may be paired by their numbers or by their order.
    """
    unmatched = [image for image, image_hits in hits.items() if not image_hits]
    pairs = [(image, hit) for image, image_hits in hits.items() for hit in image_hits]
    by_number = all(
        "*" not in hit.patterns and _last_digits(image) and _last_digits(image) == _last_digits(hit.mask)
        for image, hit in pairs
    )
    if not pairs or not by_number or not unmatched or len(unmatched) != len(unpaired) or len(images) != len(masks):
        return []
    what = (
        f"the images are named like {describe_names(images)}, the masks like {describe_names(masks)}: they share "
        f"{len(pairs)} numbers; {unmatched[0].inner} and {unpaired[0].inner} are left over, so the files may be paired "
        "by number or by order"
    )
    mend = f"name each mask like its image, or write a CSV with a line for each pair ({manifest_lines(images, masks)})"
    return [Problem("ambiguous_pair", str(unpaired[0].file), what, mend, True)]


def _last_digits(named: Named) -> str:
    """Return the digits at the end of a name; "" if there are none."""
    stem = nfc(named.file.stem)
    return stem[len(stem.rstrip("0123456789")) :]


def _by_common_affix(images: Sequence[Named], masks: Sequence[Named]) -> dict[Named, list[Hit]] | None:
    """Return pairs if all stems of one kind are those of the other with the same letters added; else None."""
    if len(images) != len(masks) or len(masks) < 2:
        return None
    for longer, shorter in ((masks, images), (images, masks)):
        stems = {nfc(named.file.stem): named for named in shorter}
        first = nfc(longer[0].file.stem)
        fits = {}
        for stem in stems:
            before, separator, after = first.partition(stem)
            if not separator or first == stem:
                continue
            if before[-1:].isalnum() or after[:1].isalnum():
                continue
            inner = [nfc(named.file.stem) for named in longer]
            cores = [
                name[len(before) : len(name) - len(after)]
                for name in inner
                if name.startswith(before) and name.endswith(after)
            ]
            if len(cores) == len(longer) == len(stems) and set(cores) == set(stems):
                fits[before, after] = [stems[core] for core in cores]
        if len(fits) == 1:
            (before, after), others = next(iter(fits.items()))
            pattern = f"{before}*{after}"
            if longer is masks:
                pairs = [(image, mask, ("*", pattern)) for mask, image in zip(masks, others, strict=True)]
            else:
                pairs = [(image, mask, (pattern, "*")) for image, mask in zip(images, others, strict=True)]
            return {image: [Hit(mask, patterns, None, OTHER_FOLDER)] for image, mask, patterns in pairs}
    return None


def _notes(hits: dict[Named, list[Hit]]) -> list[str]:
    """Return a sentence for each rule that was applied, other than equal stems in equal folders."""
    rules: dict[str, list[str]] = defaultdict(list)
    for image, image_hits in hits.items():
        for hit in image_hits:
            example = f"{hit.mask.inner} for {image.inner}"
            if hit.patterns != ("*", "*") or hit.number is not None:
                number = "" if hit.number is None else " and a number"
                left, right = (f"`{pattern}`" for pattern in hit.patterns)
                rules[f"{{}} mask(s) paired by the names {left} and {right}{number}"].append(example)
            elif hit.cost >= OTHER_FOLDER:
                rules["{} mask(s) paired by the file name alone, across differently named folders"].append(example)
            elif nfc(hit.mask.file.stem) == nfc(image.file.name):
                rules["{} mask(s) paired by the whole name of the image, its ending included"].append(example)
            elif hit.cost:
                rules["{} mask(s) paired by names that differ in the case of letters"].append(example)
            elif image.file.stem != hit.mask.file.stem:
                rules["{} mask(s) paired by names that differ in how Unicode composes letters"].append(example)
    return [f"{rule.format(len(image_hits))} (such as {image_hits[0]})" for rule, image_hits in rules.items()]


def select_masks(files: Sequence[Named]) -> set[Named]:
    """Return the masks in a folder of images and masks: the files with a word for masks in their names.

    If names of images contain such a word too (`object_1`, `object_1_mask`), a name that another one extends is an
    image.
    """
    keys = {reading.key for one in files for reading in image_readings(one.folder, one.file.stem, one.file.suffix)}
    masks, candidates, extended = set(), [], set()
    for one in files:
        if not naming.has_mask_word(one.file.stem):
            continue
        readings = [r for r in mask_readings(one.folder, one.file.stem) if r.rank > naming.FULL_NAME]
        reached = {reading.key for reading in readings if reading.pattern != "*"} & keys
        if reached:
            masks.add(one)
            extended |= reached
        else:
            candidates.append(one)
    for one in candidates:
        own_keys = {reading.key for reading in image_readings(one.folder, one.file.stem, one.file.suffix)}
        if not own_keys & extended:
            masks.add(one)
    return masks


def unpaired_problem(named: Named, what: str, mend: str) -> Problem:
    """Return the problem of a file without a partner; it does not stop training."""
    return Problem("unpaired", str(named.file), what, mend, False)


def no_pairs_problem(images: Sequence[Named], masks: Sequence[Named], where: str) -> Problem:
    """Return the problem that no image has a mask, with the patterns of the names and two remedies."""
    if not images or not masks:
        kind = "images" if not images else "masks"
        return Problem(
            "no_pairs", where, f"there are no {kind}", "check the path; known endings are png, tif, jpg, ...", True
        )
    names = f"the images are named like {describe_names(images)}, the masks like {describe_names(masks)}"
    what = f"no image has a mask of the same stem: {names}"
    mend = f"name each mask like its image, or write a CSV with a line for each pair ({manifest_lines(images, masks)})"
    return Problem("no_pairs", where, what, mend, True)


def manifest_lines(images: Sequence[Named], masks: Sequence[Named]) -> str:
    """Return the first two lines of a manifest for these files, as an example."""
    image = images[0].from_above if images else "images/a.png"
    mask = masks[0].from_above if masks else "masks/a.png"
    return f"`image,mask`, then `{image},{mask}`"


def describe_names(files: Sequence[Named]) -> str:
    """Return the common pattern of names, with "*" for the part that differs, their number and an example."""
    names = [nfc(named.inner) for named in files]
    start = _common(names)
    end = _common([name[len(start) :][::-1] for name in names])[::-1]
    while start and start[-1].isdigit():
        start = start[:-1]
    while end and end[0].isalnum():
        end = end[1:]
    pattern = f"{start}*{end}" if len(names) > 1 else names[0]
    return f"`{pattern}` ({len(names)} files, such as {files[0].inner})" if len(names) > 1 else f"`{pattern}` (1 file)"


def _common(names: Sequence[str]) -> str:
    """Return the longest common start of the names."""
    low, high = min(names), max(names)
    length = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return low[:length]


def pattern_of(hit: Hit) -> str:
    """Return a mask's name, with its ending and with "*" for the part that it shares with its image."""
    number = "_N" if hit.number is not None and not hit.patterns[1].endswith("/") else ""
    folder = f"{hit.mask.folder}/" if hit.mask.folder and "/" not in hit.patterns[1] else ""
    return f"{folder}{hit.patterns[1]}{number}{hit.mask.file.suffix}"
