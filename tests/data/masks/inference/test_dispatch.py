"""Every way of writing masks: the right labels and a sentence, or a DataError with file and remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from samtune.data import DataOptions, open_dataset
from samtune.errors import DataError
from samtune.types import IGNORE
from tests.data.folders import disc, make_folder, picture, save, save_palette

VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)] + [(9, 9, 9)] * 251 + [(224, 224, 192)]
D = disc()
E = disc(shift=4)
HALF = np.where(np.arange(32) < 16, 1, 2).astype(np.uint8) * D
Writer = Callable[[Path], None]


def masks(*arrays: np.ndarray, suffix: str = ".png") -> Writer:
    def write(root: Path) -> None:
        make_folder(root, list(arrays), suffix=suffix)

    return write


def palettes(colours: list[tuple[int, int, int]], *arrays: np.ndarray) -> Writer:
    def write(root: Path) -> None:
        for index, array in enumerate(arrays):
            save(root / "images" / f"{index}.png", picture(index))
            save_palette(root / "masks" / f"{index}.png", array, colours)

    return write


def rgb(mask: np.ndarray, *colours: tuple[int, int, int]) -> np.ndarray:
    table = np.array([(0, 0, 0), *colours], np.uint8)
    coloured: np.ndarray = table[mask]
    return coloured


def rgba(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([colour, alpha]).astype(np.uint8)


def jpeg(root: Path) -> None:
    for index, mask in enumerate((disc((96, 96), radius=30), disc((96, 96), 9, radius=30))):
        save(root / "images" / f"{index}.png", picture(index, (96, 96)))
        save(root / "masks" / f"{index}.jpg", mask * np.uint8(255), quality=90)


def bilevel(root: Path) -> None:
    save(root / "images" / "0.png", picture())
    (root / "masks").mkdir()
    Image.fromarray(D * np.uint8(255)).convert("1").save(root / "masks" / "0.png")


def instances(num: int) -> np.ndarray:
    mask = np.zeros((24, 32), np.uint16)
    for index in range(num):
        mask[3 * (index // 8) : 3 * (index // 8) + 2, 4 * (index % 8) : 4 * (index % 8) + 2] = index + 1
    return mask


def with_border(mask: np.ndarray, value: int = 255) -> np.ndarray:
    bordered = mask.copy()
    bordered[:2] = value
    return bordered


BORDERED = with_border(D, IGNORE)
SOFT = cv2.GaussianBlur(disc((96, 96), radius=30) * np.uint8(255), (0, 0), 1.0)
CASES: dict[str, tuple[Writer, DataOptions, np.ndarray, str]] = {
    "0/255": (masks(D * np.uint8(255), E * np.uint8(255)), DataOptions(), D, "0/255"),
    "0/255 with an empty one": (masks(D * np.uint8(255), E * np.uint8(0)), DataOptions(), D, "0/255"),
    "0/1": (masks(D, E, E * np.uint8(0)), DataOptions(), D, "0/1"),
    "0/1 and 0/255": (masks(D, E * np.uint8(255)), DataOptions(), D, "both 1 and 255"),
    "0/1 with 255 ignored": (masks(with_border(D)), DataOptions(), BORDERED, "ignore label"),
    "class ids": (masks(HALF, E), DataOptions(), HALF, "class ids: 0 is background, 1..2"),
    "class ids, 255 ignored": (masks(with_border(HALF)), DataOptions(), with_border(HALF), "ignore label"),
    "ids with gaps": (masks(np.array([0, 3, 7], np.uint8)[HALF]), DataOptions(), HALF, "3 -> 1, 7 -> 2"),
    "grey levels as ids": (masks(np.array([0, 128, 255], np.uint8)[HALF]),
        DataOptions(), HALF, "128 -> 1, 255 -> 2"),
    "an absent class": (masks(np.array([0, 1, 3], np.uint8)[HALF]), DataOptions(num_classes=3),
                        np.array([0, 1, 3], np.uint8)[HALF], "[2] occur in no mask"),
    "explicit ignore": (masks(with_border(HALF, 11)),
        DataOptions(ignore_label=11), with_border(HALF), "class ids"),
    "explicit ids": (masks(np.array([0, 40, 20], np.uint8)[HALF]),
        DataOptions(ids=(40, 20)), HALF, "40 -> 1, 20 -> 2"),
    "bilevel": (bilevel, DataOptions(), D, "0/1"),
    "palette": (palettes(VOC, HALF), DataOptions(), HALF, "class ids"),
    "palette of VOC": (palettes(VOC, with_border(HALF), E), DataOptions(), with_border(HALF), "ignore label"),
    "palette 0/1": (palettes(VOC, D, E), DataOptions(), D, "0/1"),
    "ImageJ's inverting table": (palettes([(255 - i,) * 3 for i in range(256)], D * np.uint8(255)), DataOptions(), D,
                                 "1 of 1 mask shown inverted; the stored values count"),
    "inverting table, ids": (palettes([(255 - i,) * 3 for i in range(256)], HALF), DataOptions(), HALF,
                             "shown inverted"),
    "inverting table, ids and 255": (palettes([(255 - i,) * 3 for i in range(256)], with_border(HALF)), DataOptions(),
                                     with_border(HALF), "ignore label"),
    "palette white first, by ids": (palettes([(255, 255, 255), (0, 0, 0)], D), DataOptions(ids=(1,)), D, "0/1"),
    "palette white first, by colour": (palettes([(255, 255, 255), (0, 0, 0)], 1 - D),
                                            DataOptions(colours={"thing": (255, 255, 255)}), D, "thing"),
    "grey as RGB": (masks(rgb(D, (255, 255, 255))), DataOptions(), D, "0/255"),
    "ids as RGB": (masks(rgb(HALF, (1, 1, 1), (2, 2, 2))), DataOptions(), HALF, "class ids"),
    "black and red": (masks(rgb(D, (255, 0, 0)), rgb(E, (255, 0, 0))),
        DataOptions(), D, "black and (255, 0, 0)"),
    "colour map": (masks(rgb(HALF, (255, 0, 0), (0, 255, 0))),
                   DataOptions(colours={"road": (255, 0, 0), "tree": (0, 255, 0)}), HALF, "road (255, 0, 0)"),
    "colour map with void": (masks(rgb(HALF, (255, 0, 0), (9, 9, 9))),
                             DataOptions(colours={"road": (255, 0, 0), "void": (9, 9, 9)}),
                             np.array([0, 1, IGNORE], np.uint8)[HALF], "road (255, 0, 0)"),
    "alpha only": (masks(rgba(rgb(D * 0), D * np.uint8(255))), DataOptions(), D, "alpha channel"),
    "alpha, white on white": (masks(rgba(rgb(D * 0) + np.uint8(255), D * np.uint8(255))),
        DataOptions(), D, "alpha channel"),
    "opaque RGBA": (masks(rgba(rgb(D, (255, 0, 0)), D * 0 + np.uint8(255))),
        DataOptions(), D, "black and (255, 0, 0)"),
    "JPEG": (jpeg, DataOptions(), disc((96, 96), radius=30), "JPEG"),
    "blurred edges": (masks(SOFT), DataOptions(), (SOFT > 127).astype(np.uint8), "blurred edges"),
    "16-bit ids": (masks(HALF.astype(np.uint16), E.astype(np.uint16)), DataOptions(), HALF, "class ids"),
    "16-bit 0/65535": (masks(D.astype(np.uint16) * np.uint16(65535)), DataOptions(), D, "0/65535"),
    "instances": (masks(instances(7), instances(20)),
        DataOptions(), (instances(7) > 0).astype(np.uint8), "one id per object"),
    "8-bit instances": (masks(instances(9).astype(np.uint8), instances(20).astype(np.uint8)), DataOptions(),
                        (instances(9) > 0).astype(np.uint8), "one id per object"),
    "many instances": (masks((np.arange(768).reshape(24, 32) // 2).astype(np.uint16)), DataOptions(),
                       (np.arange(768).reshape(24, 32) > 1).astype(np.uint8), "one id per object"),
    "instances, by option": (masks(HALF), DataOptions(instances=True), D, "one id per object"),
    "float 0..1": (masks(D.astype(np.float32) * np.float32(0.9), suffix=".tif"),
        DataOptions(), D, "float 0..1"),
    "float 0/1": (masks(D.astype(np.float32), suffix=".tif"), DataOptions(), D, "0/1"),
    "float ids": (masks(HALF.astype(np.float32), D.astype(np.float32), suffix=".tif"),
        DataOptions(), HALF, "class ids"),
    "32-bit TIFF": (masks(HALF.astype(np.int32), suffix=".tif"), DataOptions(), HALF, "class ids"),
    "GIF": (palettes([(0, 0, 0), (255, 255, 255)], D), DataOptions(), D, "0/255"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_encoding_is_read_and_reported(name: str, tmp_path: Path) -> None:
    write, options, expected, message = CASES[name]
    write(tmp_path)
    dataset = open_dataset(tmp_path / "images", tmp_path / "masks", options)
    labels = dataset.labels(0)
    assert labels.dtype == np.uint8
    wrong = (labels != expected).mean()
    assert wrong == 0 if name != "JPEG" else wrong < 0.01
    assert any(message in note for note in dataset.notes), dataset.notes
    for index in range(len(dataset)):
        counted = np.bincount(dataset.labels(index).reshape(-1), minlength=256)
        assert dataset.label_counts[index].tolist() == [*counted[: dataset.num_classes + 1], counted[IGNORE]]


NO_NAN = np.full((24, 32), np.nan, np.float32)
REFUSED: dict[str, tuple[Writer, DataOptions, str, str]] = {
    "too many classes": (masks(D, np.array([0, 1, 5], np.uint8)[HALF]),
        DataOptions(num_classes=1), "1.png", "[5]"),
    "an id beyond": (masks(HALF, E * np.uint8(9)), DataOptions(num_classes=2), "1.png", "[9]"),
    "colours without map": (masks(rgb(HALF, (255, 0, 0), (0, 255, 0))),
        DataOptions(), "0.png", "(0, 255, 0)"),
    "colours, one absent from the map": (masks(rgb(HALF, (255, 0, 0), (0, 255, 0))),
                                         DataOptions(colours={"road": (255, 0, 0)}), "0.png", "(0, 255, 0)"),
    "JPEG of ids": (masks(disc((96, 96), radius=30) * np.uint8(7), suffix=".jpg"),
        DataOptions(), "0.jpg", "PNG"),
    "JPEG of colours": (masks(rgb(HALF, (255, 0, 0), (0, 255, 0)), suffix=".jpg"),
        DataOptions(), "0.jpg", "PNG"),
    "palette white first": (palettes([(255, 255, 255), (0, 0, 0)], 1 - D), DataOptions(), "0.", "contradicts"),
    "all empty": (masks(D * np.uint8(0)), DataOptions(), "masks", "empty"),
    "NaN": (masks(NO_NAN, suffix=".tif"), DataOptions(), "0.tif", "finite"),
    "float ids with fractions": (masks(D * np.float32(3.5), suffix=".tif"),
        DataOptions(), "0.tif", "whole numbers"),
    "255 classes": (masks(np.arange(256, dtype=np.uint16).reshape(16, 16) * np.uint16(2)),
        DataOptions(instances=False),
                    "masks", "254"),
    "blurred beside 0/1": (masks(SOFT, disc((96, 96))), DataOptions(), "1.png", "255"),
    "fewer classes than expected": (masks(D * np.uint8(255)), DataOptions(num_classes=3), "masks", "one class"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_encoding_is_refused_with_file_and_mend(name: str, tmp_path: Path) -> None:
    write, options, file, mend = REFUSED[name]
    write(tmp_path)
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path / "images", tmp_path / "masks", options)
    assert file in str(caught.value)
    assert mend in str(caught.value)
