"""The readings of a file name: which image `image_3`, `x_mask`, `x_cp_masks`, `x_mask_2` or `x_0000` can belong to.

A name has one or more readings. A reading gives a key (the part that image and mask share), a pattern (the name with
`*` in place of the key), the number of an object if the name has one, and a rank, which is lower the less is
removed from the name.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from samtune.data.images.decoding import IMAGE_SUFFIXES

MASK_WORDS = (
    "cp_masks", "cp_mask", "mask", "masks", "msk", "label", "labels", "lbl", "lbls", "labelmap", "label_map",
    "segmentation", "segmentations", "segmap", "seg_map", "seg", "segm", "segs", "gt", "gts", "groundtruth",
    "ground_truth", "annotation", "annotations", "annot", "anno", "ann", "target", "matte", "labelids",
    "gtfine_labelids", "gtfine_color", "gtfine_instanceids", "gtfine", "instance", "instances", "inst", "object",
    "objects", "obj", "pred", "prediction",
)  # fmt: skip
"""Words that mark a file as a mask and are not part of the name of its image; case is ignored."""

IMAGE_WORDS = (
    "image", "images", "img", "imgs", "im", "photo", "picture", "pic", "rgb", "input", "raw", "orig", "original",
    "leftimg8bit", "sat", "frame", "scan",
)  # fmt: skip

EXACT, FULL_NAME, WORD, TWO_WORDS, OBJECT, NUMBER, FOLDER = 0, 1, 2, 3, 4, 5, 6
"""Ranks of readings. The key is the stem, the name with its ending, the stem without one word, without two, without a
word and an object's number, without a number alone, or the folder instead of the name."""


@dataclass(frozen=True)
class Reading:
    """One interpretation of a file name.

    Attributes:
        key: folder and name of the image, joined by "/" and normalised to NFC.
        pattern: the name with "*" in place of the key, without the number of an object.
        rank: one of the ranks above.
        number: the object's number in its image; None if the name has none.
    """

    key: str
    pattern: str
    rank: int
    number: str | None = None


_SEP = r"[_\-. ]+"


def _any_of(words: tuple[str, ...]) -> str:
    spelled = sorted((re.escape(word).replace("_", "[_-]?") for word in words), key=len, reverse=True)
    return "(?:" + "|".join(spelled) + ")"


@dataclass(frozen=True)
class _Grammar:
    """Patterns of a name with a word at its end, at its start, inside, or before a number, and of a word alone."""

    suffix: re.Pattern[str]
    prefix: re.Pattern[str]
    infix: re.Pattern[str]
    numbered: re.Pattern[str]
    alone: re.Pattern[str]

    @staticmethod
    def of(words: tuple[str, ...]) -> _Grammar:
        word = _any_of(words)
        before = rf"(?:{_SEP}|(?<=\d)|(?<=\))|(?-i:(?<=[a-z])(?=[A-Z])))"
        number = r"[_\-. ]*\(?(?P<n>\d+)\)?"
        return _Grammar(
            re.compile(rf"^(?P<core>.+?){before}{word}$", re.IGNORECASE),
            re.compile(rf"^{word}(?:{_SEP}|(?=\d))(?P<core>.+)$", re.IGNORECASE),
            re.compile(rf"^(?P<a>.+?)(?P<sep>{_SEP}){word}{_SEP}(?P<b>.+)$", re.IGNORECASE),
            re.compile(rf"^(?P<core>.+?){before}{word}{number}$", re.IGNORECASE),
            re.compile(rf"^{word}(?:{number})?$", re.IGNORECASE),
        )

    def peel(self, stem: str) -> list[tuple[str, str]]:
        """Return (core, pattern) with one word removed at the end, and with one removed at the start."""
        peeled = []
        if match := self.suffix.match(stem):
            peeled.append((match["core"], "*" + stem[match.end("core") :]))
        if match := self.prefix.match(stem):
            peeled.append((match["core"], stem[: match.start("core")] + "*"))
        return peeled


_MASK, _IMAGE = _Grammar.of(MASK_WORDS), _Grammar.of(IMAGE_WORDS)
_NUMBER_ALONE = re.compile(r"^(?P<core>.+?)(?:[_\-. ]+\(?|\()(?P<n>\d+)\)?$")
_CHANNEL = re.compile(r"^(?P<core>.+)_\d{4}$")
_MANY_DIGITS = re.compile(r"^(?:\d+|[0-9a-f]{16,})$", re.IGNORECASE)


def nfc(name: str) -> str:
    """Return the name in Unicode's composed form (NFC); macOS writes decomposed names, other systems composed ones."""
    return unicodedata.normalize("NFC", name)


def without_number(stem: str) -> str | None:
    """Return `x` for `x_2`; None if the name does not end in a number."""
    match = _NUMBER_ALONE.match(nfc(stem))
    return match["core"] if match else None


def image_readings(folder: str, stem: str, suffix: str) -> list[Reading]:
    """Return the readings of an image's name."""
    folder, stem = nfc(folder), nfc(stem)
    readings = [Reading(_join(folder, stem), "*", EXACT), Reading(_join(folder, stem + suffix), "*", FULL_NAME)]
    readings += [Reading(_join(folder, core), pattern, WORD) for core, pattern in _IMAGE.peel(stem)]
    if match := _IMAGE.infix.match(stem):
        readings.append(Reading(_join(folder, match["a"] + match["sep"] + match["b"]), _inner(stem, match), TWO_WORDS))
    if match := _CHANNEL.match(stem):
        readings.append(Reading(_join(folder, match["core"]), "*" + stem[match.end("core") :], WORD))
    if folder and _IMAGE.alone.match(stem):
        readings.append(Reading(folder, f"*/{stem}", WORD))
    return readings


def mask_readings(folder: str, stem: str) -> list[Reading]:
    """Return the readings of a mask's name."""
    folder, stem = nfc(folder), nfc(stem)
    readings = [Reading(_join(folder, stem), "*", EXACT)]
    head, dot, ending = stem.rpartition(".")
    if head and f"{dot}{ending}".lower() in IMAGE_SUFFIXES:
        readings.append(Reading(_join(folder, head), f"*.{ending}", WORD))
    peeled = [(core, pattern, WORD) for core, pattern in _MASK.peel(stem)]
    for core, pattern, _ in tuple(peeled):
        peeled += [(inner, pattern.replace("*", more), TWO_WORDS) for inner, more in _MASK.peel(core)]
    readings += [Reading(_join(folder, core), pattern, rank) for core, pattern, rank in peeled]
    if match := _MASK.infix.match(stem):
        readings.append(Reading(_join(folder, match["a"] + match["sep"] + match["b"]), _inner(stem, match), OBJECT))
    if match := _MASK.numbered.match(stem):
        pattern = "*" + stem[match.end("core") : match.start("n")].rstrip("_-. (")
        readings.append(Reading(_join(folder, match["core"]), pattern, OBJECT, match["n"]))
    for core, pattern, _ in [(stem, "*", WORD), *peeled]:
        if match := _NUMBER_ALONE.match(core):
            readings.append(Reading(_join(folder, match["core"]), pattern, NUMBER, match["n"]))
    return readings + _readings_in_own_folder(folder, stem)


def _readings_in_own_folder(folder: str, stem: str) -> list[Reading]:
    """Return the readings of `x/mask.png`, `x/1.png`, `x/x_1.png` as masks of the image `x`."""
    if not folder:
        return []
    if match := _MASK.alone.match(stem):
        return [Reading(folder, f"*/{stem[: match.start('n')] if match['n'] else stem}", WORD, match["n"])]
    name = folder.rpartition("/")[2]
    rest = stem[len(name) :].strip("_-. ()") if stem.startswith(name) else stem
    if _MANY_DIGITS.match(rest):
        return [Reading(folder, "*/", FOLDER, stem)]
    return [Reading(folder, f"*/{stem}", FOLDER)]


def has_mask_word(stem: str) -> bool:
    """Return whether a name contains, or is, a word of `MASK_WORDS`."""
    stem = nfc(stem)
    patterns = (_MASK.suffix, _MASK.prefix, _MASK.infix, _MASK.numbered, _MASK.alone)
    return any(pattern.match(stem) for pattern in patterns)


def is_mask_word(name: str) -> bool:
    """Return whether a folder's name is a word for masks."""
    return bool(_MASK.alone.match(nfc(name))) or name.lower() in ("segmentationclass", "segmentationobject")


def is_image_word(name: str) -> bool:
    """Return whether a folder's name is a word for images."""
    return bool(_IMAGE.alone.match(nfc(name))) or name.lower() == "jpegimages"


def _inner(stem: str, match: re.Match[str]) -> str:
    return f"*{stem[match.end('a') : match.start('b')]}*"


def _join(folder: str, core: str) -> str:
    return f"{folder}/{core}" if folder else core
