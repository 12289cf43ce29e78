"""What values, colours, transparency and channels of masks mean: read as meant and said, or asked with the cause."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from samtune.data import DataOptions, Dataset, inspect, open_dataset
from samtune.errors import DataError
from tests.data.drawn import HW, assert_reads, blobs, blurred, classes, jpeg, open_masks, resized
from tests.data.folders import picture, save

NUM = 3
BLOBS = [blobs(seed) for seed in range(NUM)]
IDS = [classes(seed, (1, 2, 3)) for seed in range(NUM)]
COLOURS = np.array([(0, 0, 0), (200, 0, 0), (0, 200, 0), (0, 0, 200)], np.uint8)
MAP = {"a": (200, 0, 0), "b": (0, 200, 0), "c": (0, 0, 200)}
Masks = list[np.ndarray] | list[Image.Image]
Read = tuple[Masks, DataOptions, list[np.ndarray], int, str]
Refused = tuple[Masks, DataOptions, str]


def u8(masks: list[np.ndarray]) -> list[np.ndarray]:
    return [mask.astype(np.uint8) for mask in masks]


def changed(masks: list[np.ndarray], value: float, dtype: type = np.uint8) -> list[np.ndarray]:
    """The masks with one value in their upper rows."""
    copies: list[np.ndarray] = [mask.astype(dtype) for mask in masks]
    for mask in copies:
        mask[:4] = value
    return copies


def trimaps(border: int) -> list[np.ndarray]:
    """1 object, 2 background, and a border."""
    masks = [np.where(mask > 0, 1, 2).astype(np.uint8) for mask in BLOBS]
    for mask, drawn in zip(masks, BLOBS, strict=True):
        mask[cv2.dilate(drawn, np.ones((3, 3))) > cv2.erode(drawn, np.ones((3, 3)))] = border
    return masks


TRIMAPS = trimaps(3)
PETS = [np.select([mask == 1, mask == 3], [1, 255]).astype(np.uint8) for mask in TRIMAPS]
ONE_TWO = [np.where(mask > 0, 1, 2).astype(np.uint8) for mask in BLOBS]


def random_ids() -> list[np.ndarray]:
    masks = [np.zeros(HW, np.uint32) for _ in range(NUM)]
    rng = np.random.default_rng(0)
    for mask in masks:
        for k in range(3):
            disc = np.asarray(cv2.circle(np.zeros(HW, np.uint8), (20 + 20 * k, 20 + 10 * k), 6, 1, -1))
            mask[disc > 0] = rng.integers(10**6, 2**32)
    return masks


RANDOM_IDS = random_ids()
HUGE = [np.array([0, 17, 2 * 10**9, 4 * 10**9], np.uint32)[mask] for mask in IDS]
NAN_OR_ONE = [np.where(mask > 0, 1, np.nan).astype(np.float32) for mask in BLOBS]

VALUES: dict[str, Read] = {
    "NaN is ignored": (changed(IDS, math.nan, np.float32), DataOptions(ignore_label=math.nan), changed(IDS, 255), 3,
                       "class ids"),
    "NaN is background": (changed(IDS, math.nan, np.float32), DataOptions(background=(0, math.nan)), changed(IDS, 0), 3,
                          "background"),
    "NaN around the objects": (NAN_OR_ONE, DataOptions(background=(math.nan,)), BLOBS, 1, "NaN background"),
    "NaN beside 0..1": (changed([m * np.float32(0.9) for m in BLOBS], math.nan, np.float32),
                        DataOptions(ignore_label=math.nan), changed(BLOBS, 255), 1, "float 0..1"),
    "-1 is ignored": (changed(IDS, -1, np.int16), DataOptions(ignore_label=-1), changed(IDS, 255), 3, "class ids"),
    "-1 as a float": (changed(IDS, -1, np.float64), DataOptions(ignore_label=-1), changed(IDS, 255), 3, "class ids"),
    "-1 is background": (changed(IDS, -1, np.int32), DataOptions(background=(0, -1)), changed(IDS, 0), 3, "-1 and 0"),
    "ids to 2**32": (HUGE, DataOptions(), u8(IDS), 3, "2000000000 -> 2, 4000000000 -> 3"),
    "64-bit ids": ([m * 10**12 for m in IDS], DataOptions(), u8(IDS), 3, "1000000000000 -> 1"),
    "random 32-bit ids": (RANDOM_IDS, DataOptions(), [(m > 0).astype(np.uint8) for m in RANDOM_IDS], 1, "per object"),
    "trimap": (TRIMAPS, DataOptions(background=(2,), ignore_label=3), PETS, 1, "2/1: 1 is the one class, 2 background"),
    "trimap by ids": (TRIMAPS, DataOptions(ids=(1,), background=(2,), ignore_label=3), PETS, 1, "1 is the one class"),
    "trimap, all classes": (TRIMAPS, DataOptions(num_classes=3), TRIMAPS, 3, "class ids"),
    "1/2": (ONE_TWO, DataOptions(class_names=("pet",), background=(2,)), BLOBS, 1, "2 background"),
    "1/2, two classes": (ONE_TWO, DataOptions(num_classes=2), ONE_TWO, 2, "class ids"),
    "255 is background": ([(1 - m) * np.uint8(255) for m in BLOBS], DataOptions(background=(255,)), BLOBS, 1,
                          "0 -> 1 (255 background)"),
    "0 is a class": (u8(IDS), DataOptions(ids=(0, 1, 2, 3)), [m + 1 for m in u8(IDS)], 4, "0 -> 1"),
    "0 is ignored": (u8(IDS), DataOptions(ignore_label=0, num_classes=3), [np.where(m, m, 255) for m in u8(IDS)], 3,
                     "class ids"),
    "255 is the third class": ([np.array([0, 10, 20, 255], np.uint8)[m] for m in IDS], DataOptions(num_classes=3),
                               u8(IDS), 3, "255 -> 3"),
    "255 is the named class": ([np.array([0, 10, 20, 255], np.uint8)[m] for m in IDS],
                               DataOptions(class_names=("a", "b", "c")), u8(IDS), 3, "255 -> 3"),
    "255 is not the third of two": ([np.array([0, 1, 2, 255], np.uint8)[m] for m in IDS], DataOptions(num_classes=2),
                                    [np.array([0, 1, 2, 255], np.uint8)[m] for m in IDS], 2, "ignore label"),
    "255 by ids": ([np.array([0, 1, 2, 255], np.uint8)[m] for m in IDS], DataOptions(ids=(1, 2, 255)), u8(IDS), 3,
                   "255 -> 3"),
    "65535 is the third class": ([np.array([0, 100, 200, 65535], np.uint16)[m] for m in IDS],
                                 DataOptions(num_classes=3), u8(IDS), 3, "65535 -> 3"),
}  # fmt: skip


def check_read(root: Path, case: Read, suffix: str) -> Dataset:
    masks, options, truths, num_classes, said = case
    dataset = open_masks(root / "first", masks, options, suffix)
    assert_reads(dataset, truths, num_classes)
    assert any(said in note for note in dataset.notes), dataset.notes
    again = open_dataset(root / "first" / "images", root / "first" / "masks", dataset.options)
    assert again.encoding.num_classes == num_classes
    np.testing.assert_array_equal(again.labels(0), truths[0])
    assert again.options == dataset.options
    return dataset


@pytest.mark.parametrize("name", VALUES)
def test_values_are_read_as_meant(name: str, tmp_path: Path) -> None:
    check_read(tmp_path, VALUES[name], ".tif")


VALUES_ASKED: dict[str, Refused] = {
    "NaN": (changed(IDS, math.nan, np.float32), DataOptions(), "NaN.*--ignore-label nan` or `--background 0,nan"),
    "NaN around the objects": (NAN_OR_ONE, DataOptions(), "--background 0,nan"),
    "-1": (changed(IDS, -1, np.int16), DataOptions(), "value -1.*--ignore-label -1"),
    "-1 and -9999": (changed(changed(IDS, -1, np.int16), -9999, np.int16)[:1] + changed(IDS, -1, np.int16),
                     DataOptions(ignore_label=-1), "value -9999"),
    "infinity": (changed(IDS, math.inf, np.float32), DataOptions(), "infinity"),
    "ids beyond 2**53": ([m.astype(np.uint64) << np.uint64(61) for m in IDS], DataOptions(), "2\\*\\*53"),
    "trimap": (TRIMAPS, DataOptions(), "no pixel of any mask is 0.*--background 2.*--ignore-label 3.*--classes 3"),
    "trimap of one named class": (TRIMAPS, DataOptions(class_names=("pet",)), "--background 2"),
    "1/2": (ONE_TWO, DataOptions(), "no pixel of any mask is 0.*--background 2`, or pass `--classes 2"),
    "1/2/255": (trimaps(255), DataOptions(), "--ignore-label 255"),
    "255 beside 1 and 2, three meant": ([np.array([0, 1, 2, 255], np.uint8)[m] for m in IDS],
                                        DataOptions(num_classes=3), "--ids 1,2,255.*--ignore-label 255"),
    "255 beside 1, two meant": ([np.array([0, 1, 1, 255], np.uint8)[m] for m in IDS], DataOptions(num_classes=2),
                                "--ids 1,255"),
    "ids that lack one": (u8(IDS), DataOptions(ids=(1, 2)), r"\[3\].*--ignore-label` or `--background"),
    "three float levels": ([np.array([0, 0.5, 1], np.float32)[np.minimum(m, 2)] for m in IDS], DataOptions(),
                           "several float levels.*0.5"),
    "one faint float mask": ([BLOBS[0] * np.float32(0.3), BLOBS[1] * np.float32(0.9)], DataOptions(), "float levels"),
    "float ids with fractions": ([m * np.float32(2.5) for m in IDS], DataOptions(),
                                 "neither whole numbers nor within 0..1"),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES_ASKED)
def test_values_in_doubt_are_asked(name: str, tmp_path: Path) -> None:
    masks, options, said = VALUES_ASKED[name]
    with pytest.raises(DataError, match=said):
        open_masks(tmp_path, masks, options, ".tif")


def test_a_map_without_background_is_reported(tmp_path: Path) -> None:
    masks = [np.maximum(mask + 4 * (np.arange(HW[1]) // 40), 1).astype(np.uint8) for mask in IDS]
    dataset = open_masks(tmp_path, masks)
    assert any("there is no background" in note for note in dataset.notes)
    problems = inspect(tmp_path / "images", tmp_path / "masks").problems
    assert "no_background" in [p.kind for p in problems]
    assert not any(p.stops_training for p in problems)


def test_ids_take_memory_by_their_number_not_their_value(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        dataset = open_masks(tmp_path, HUGE, suffix=".tif")
        dataset.labels(0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30e6


def with_alpha(alpha: np.ndarray, colour: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    return np.dstack([np.full(HW, value, np.uint8) for value in colour] + [alpha.astype(np.uint8)])


def strokes(*alphas: int) -> list[np.ndarray]:
    return [with_alpha(mask * np.uint8(alpha)) for mask, alpha in zip(BLOBS, alphas, strict=True)]


SOFT = [np.asarray(blurred(1)(mask * np.uint8(100))) for mask in BLOBS]
HARD = [np.asarray(blurred(1)(mask * np.uint8(255))) for mask in BLOBS]
FAINT_COLOURS = [np.dstack([COLOURS[mask], (mask > 0) * np.uint8(100)]) for mask in IDS]
ALPHAS: dict[str, Read] = {
    **{f"opacity {alpha}": (strokes(alpha, alpha, alpha), DataOptions(), BLOBS, 1, "alpha above 0 is the one class")
       for alpha in (1, 60, 100, 127)},
    **{f"opacity {alpha}": (strokes(alpha, alpha, alpha), DataOptions(), BLOBS, 1, "visible is the one class")
       for alpha in (128, 255)},
    "soft brush of low opacity": ([with_alpha(a) for a in SOFT], DataOptions(),
                                  [(a > 0).astype(np.uint8) for a in SOFT], 1, "at most 100 of 255"),
    "soft opaque brush": ([with_alpha(a) for a in HARD], DataOptions(), [(a > 127).astype(np.uint8) for a in HARD], 1,
                          "visible"),
    "grey with alpha": ([np.dstack([m * 0 + np.uint8(255), m * np.uint8(100)]) for m in BLOBS], DataOptions(), BLOBS, 1,
                        "alpha above 0"),
    "mixed opacities, said": (strokes(100, 255, 255), DataOptions(threshold=0), BLOBS, 1, "alpha above 0"),
    "faint colours": (FAINT_COLOURS, DataOptions(colours=MAP), u8(IDS), 3, "read by the map"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALPHAS)
def test_transparency_is_read_as_meant(name: str, tmp_path: Path) -> None:
    check_read(tmp_path, ALPHAS[name], ".png")


def bands(*ids: int, top: int = 255) -> list[np.ndarray]:
    return [np.dstack([(mask == value) * np.uint8(top) for value in ids]) for mask in IDS]


CHANNELS_ASKED: dict[str, tuple[list[np.ndarray], str, str]] = {
    "opacities differ between masks": (strokes(100, 255, 255), ".png", "alpha up to 100 only.*--threshold 0"),
    "opacities differ within masks": ([with_alpha(np.array([0, 100, 255, 255])[m]) for m in IDS], ".png",
                                      "areas of alpha 100"),
    "faint colours without a map": (FAINT_COLOURS, ".png", r"which colour is which class.*\(0, 0, 200\)"),
    "all transparent": (strokes(0, 0, 0), ".png", "empty|object"),
    "one-hot RGB": (bands(1, 2, 3), ".png", "one per class"),
    "one-hot RGB of 0 and 1": (bands(1, 2, 3, top=1), ".png", "one per class"),
    "one-hot RGBA": (bands(0, 1, 2, 3), ".png", "one per class.*np.argmax"),
    "one-hot RGBA of 0 and 1": (bands(0, 1, 2, 3, top=1), ".png", "one per class"),
    "one-hot grey and alpha": (bands(1, 2), ".png", "one per class"),
    "one-hot 16 bit": ([b.astype(np.uint16) * np.uint16(257) for b in bands(1, 2, 3)], ".tif", "one per class"),
    "one-hot float": ([b / np.float32(255) for b in bands(1, 2, 3)], ".tif", "one per class"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANNELS_ASKED)
def test_channels_in_doubt_are_asked(name: str, tmp_path: Path) -> None:
    masks, suffix, said = CHANNELS_ASKED[name]
    with pytest.raises(DataError, match=said):
        open_masks(tmp_path, masks, suffix=suffix)


def test_one_hot_colours_are_read_by_a_map(tmp_path: Path) -> None:
    options = DataOptions(colours={"a": (255, 0, 0), "b": (0, 255, 0), "c": (0, 0, 255)})
    assert_reads(open_masks(tmp_path, bands(1, 2, 3), options), u8(IDS), 3)


@pytest.mark.parametrize("num", [2, 5])
@pytest.mark.parametrize("apart", [False, True])
def test_bands_of_a_tiff_are_never_one_mask(num: int, apart: bool, tmp_path: Path) -> None:
    save(tmp_path / "images" / "0.png", picture(0, HW))
    (tmp_path / "masks").mkdir()
    planes = np.stack([(IDS[0] == value) * np.uint8(255) for value in range(num)])
    stored = planes if apart else planes.transpose(1, 2, 0)
    how = "separate" if apart else "contig"
    tifffile.imwrite(tmp_path / "masks" / "0.tif", stored, photometric="minisblack", planarconfig=how)
    with pytest.raises(DataError, match="one per class"):
        open_dataset(tmp_path / "images", tmp_path / "masks")


def test_pages_of_a_mask_are_never_one_mask(tmp_path: Path) -> None:
    save(tmp_path / "images" / "0.png", picture(0, HW))
    (tmp_path / "masks").mkdir()
    pages = np.stack([(IDS[0] == value) * np.uint8(255) for value in (1, 2, 3)])
    tifffile.imwrite(tmp_path / "masks" / "0.tif", pages, photometric="minisblack")
    with pytest.raises(DataError, match=r"several pages but its image has one.*one for each class"):
        open_dataset(tmp_path / "images", tmp_path / "masks")


def voc_palette() -> np.ndarray:
    colours = np.zeros((256, 3), np.uint8)
    for index in range(256):
        for bit in range(8):
            for channel in range(3):
                colours[index, channel] |= ((index >> (3 * bit + channel)) & 1) << (7 - bit) if 3 * bit < 8 else 0
    return colours


VOC = voc_palette()
CITYSCAPES = np.zeros((256, 3), np.uint8)
CITYSCAPES[:4] = [(128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156)]
RANDOM = np.array([(12, 200, 40), (90, 10, 180), (240, 130, 30), (30, 120, 220)], np.uint8)
GREYS = np.array([(0, 0, 0), (128, 128, 128), (200, 200, 200), (255, 255, 255)], np.uint8)
BLACK_LAST = COLOURS[[1, 2, 3, 0]]
WHITE_LAST = np.array([(200, 0, 0), (0, 200, 0), (0, 0, 200), (255, 255, 255)], np.uint8)


def with_palette(indices: list[np.ndarray], colours: np.ndarray) -> list[Image.Image]:
    images = [Image.fromarray(mask.astype(np.uint8)) for mask in indices]
    for image in images:
        image.putpalette(colours.reshape(-1).tolist())
    return images


def shown_in(colours: np.ndarray, convert: Callable[[Image.Image], Image.Image]) -> list[Image.Image]:
    return [convert(Image.fromarray(colours[mask])) for mask in IDS]


LAST = [np.array([3, 0, 1, 2])[mask] for mask in IDS]
QUANTISED = {
    "median cut": shown_in(COLOURS, lambda image: image.quantize(8, method=Image.Quantize.MEDIANCUT)),
    "octree": shown_in(COLOURS, lambda image: image.quantize(8, method=Image.Quantize.FASTOCTREE)),
    "adaptive": shown_in(COLOURS, lambda image: image.convert("P", palette=Image.Palette.ADAPTIVE)),
}
PALETTES: dict[str, tuple[Read, str]] = {
    "VOC": ((with_palette(IDS, VOC), DataOptions(), u8(IDS), 3, "class ids"), ".png"),
    "VOC with gaps": ((with_palette([np.array([0, 5, 15, 20])[m] for m in IDS], VOC), DataOptions(), u8(IDS), 3,
                       "5 -> 1, 15 -> 2, 20 -> 3"), ".png"),
    "VOC as GIF": ((with_palette(IDS, VOC), DataOptions(), u8(IDS), 3, "class ids"), ".gif"),
    "Cityscapes": ((with_palette(changed(IDS, 255), CITYSCAPES), DataOptions(), changed(IDS, 255), 3, "ignore label"),
                   ".png"),
    "random colours, 0 most frequent": ((with_palette(IDS, RANDOM), DataOptions(), u8(IDS), 3, "class ids"), ".png"),
    "greys in order": ((with_palette(IDS, GREYS), DataOptions(), u8(IDS), 3, "class ids"), ".png"),
    "black last, ids said": ((with_palette(LAST, BLACK_LAST), DataOptions(ids=(0, 1, 2), background=(3,)), u8(IDS), 3,
                              "0 -> 1, 1 -> 2, 2 -> 3 (3 background)"), ".png"),
    **{f"{name}, with a map": ((images, DataOptions(colours=MAP), u8(IDS), 3, "read by the map"), ".png")
       for name, images in QUANTISED.items()},
    "GIF of colours, with a map": ((shown_in(COLOURS, lambda image: image), DataOptions(colours=MAP), u8(IDS), 3,
                                    "read by the map"), ".gif"),
    "GIF of 0/255": (([Image.fromarray(m * np.uint8(255)) for m in BLOBS], DataOptions(), BLOBS, 1, "one class"),
                     ".gif"),
}  # fmt: skip


@pytest.mark.parametrize("name", PALETTES)
def test_palettes_of_ids_are_ids(name: str, tmp_path: Path) -> None:
    case, suffix = PALETTES[name]
    check_read(tmp_path, case, suffix)


PALETTES_ASKED: dict[str, tuple[list[Image.Image], str]] = {
    **{name: (images, ".png") for name, images in QUANTISED.items()},
    "GIF of colours": (shown_in(COLOURS, lambda image: image), ".gif"),
    "black last": (with_palette(LAST, BLACK_LAST), ".png"),
    "white last": (with_palette(LAST, WHITE_LAST), ".png"),
    "one index, two colours": ([*with_palette(IDS[:2], COLOURS), *with_palette(IDS[2:], COLOURS[[0, 2, 1, 3]])],
                               ".png"),
}  # fmt: skip


@pytest.mark.parametrize("name", PALETTES_ASKED)
def test_palettes_whose_order_means_nothing_are_colours(name: str, tmp_path: Path) -> None:
    images, suffix = PALETTES_ASKED[name]
    with pytest.raises(DataError, match=r"palettes are not in a consistent order.*--colour class_1=#.*--ids"):
        open_masks(tmp_path, images, suffix=suffix)


def test_one_colour_that_moves_from_index_to_index_is_one_class(tmp_path: Path) -> None:
    truths = [(mask == 1).astype(np.uint8) for mask in IDS]
    images = [*with_palette(truths[:1], COLOURS), *with_palette([m * 2 for m in truths[1:]], COLOURS[[0, 3, 1]])]
    assert_reads(open_masks(tmp_path, images), truths, 1)


def off_by(steps: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    noise = [rng.integers(-steps, steps + 1, (*HW, 3)) * (mask > 0)[..., None] for mask in IDS]
    return [np.clip(COLOURS[m] + n, 0, 255).astype(np.uint8) for m, n in zip(IDS, noise, strict=True)]


def colour_jpeg(quality: int) -> list[np.ndarray]:
    return [np.asarray(jpeg(quality)(COLOURS[mask])) for mask in IDS]


CLOSE = np.array([(0, 0, 0), (201, 0, 0), (203, 0, 0), (0, 0, 200)], np.uint8)
CLOSE_MAP = {"a": (200, 0, 0), "b": (203, 0, 0), "c": (0, 0, 200)}
NEAR: dict[str, Read] = {
    **{f"off by {steps}": (off_by(steps), DataOptions(colours=MAP), u8(IDS), 3, "within a tolerance of 16 steps")
       for steps in (1, 3, 8, 16)},
    "off by 20, tolerated": (off_by(20), DataOptions(colours=MAP, colour_tolerance=20), u8(IDS), 3, "of 20 steps"),
    "close colours": ([CLOSE[m] for m in IDS], DataOptions(colours=CLOSE_MAP), u8(IDS), 3, "of 1 steps"),
    "exact": ([COLOURS[m] for m in IDS], DataOptions(colours=MAP), u8(IDS), 3, "read by the map"),
    "background and void": ([np.array([(9, 9, 9), (200, 0, 0), (0, 200, 0), (60, 60, 60)], np.uint8)[m] for m in IDS],
                            DataOptions(colours={"a": (200, 0, 0), "b": (0, 200, 0), "background": (10, 9, 9),
                                                 "void": (60, 61, 60)}),
                            [np.array([0, 1, 2, 255], np.uint8)[m] for m in IDS], 2, "tolerance"),
}  # fmt: skip


@pytest.mark.parametrize("name", NEAR)
def test_colours_near_the_map_are_read_and_said(name: str, tmp_path: Path) -> None:
    check_read(tmp_path, NEAR[name], ".png")


COLOURS_ASKED: dict[str, Refused] = {
    "off by 20": (off_by(20), DataOptions(colours=MAP), "more than 16 steps from every colour of the map: "),
    "off by 1, not tolerated": (off_by(1), DataOptions(colours=MAP, colour_tolerance=0), "more than 0 steps"),
    "JPEG": (colour_jpeg(50), DataOptions(colours=MAP), "--colour-tolerance 255"),
    "anti-aliased": ([resized("BILINEAR", 0.5)(COLOURS[m]) for m in IDS], DataOptions(colours=MAP),
                     "--colour-tolerance 255"),
    "between two close colours": ([np.where(COLOURS[m] == 200, 202, COLOURS[m]).astype(np.uint8) for m in IDS],
                                  DataOptions(colours=CLOSE_MAP), "more than 1 steps"),
    "without a map": (off_by(1), DataOptions(), "which colour is which class"),
    "a photograph": ([np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)], DataOptions(),
                     "a photograph"),
}  # fmt: skip


@pytest.mark.parametrize("name", COLOURS_ASKED)
def test_colours_far_from_the_map_are_refused(name: str, tmp_path: Path) -> None:
    masks, options, said = COLOURS_ASKED[name]
    with pytest.raises(DataError, match=said):
        open_masks(tmp_path, masks, options)


def test_a_wide_tolerance_reads_blurred_colours(tmp_path: Path) -> None:
    dataset = open_masks(tmp_path, colour_jpeg(90), DataOptions(colours=MAP, colour_tolerance=255))
    for index, mask in enumerate(IDS):
        assert (dataset.labels(index) == mask).mean() > 0.97
    assert "near_colours" in [
        p.kind for p in inspect(tmp_path / "images", tmp_path / "masks", dataset.options).problems
    ]


def random_colours() -> list[np.ndarray]:
    masks = [np.zeros((*HW, 3), np.uint8) for _ in range(NUM)]
    rng = np.random.default_rng(0)
    for mask in masks:
        for k in range(4):
            disc = np.asarray(cv2.circle(np.zeros(HW, np.uint8), (10 + 18 * k, 15 + 10 * k), 6, 1, -1))
            mask[disc > 0] = rng.integers(20, 256, 3)
    return masks


def test_one_random_colour_for_each_object(tmp_path: Path) -> None:
    masks = random_colours()
    with pytest.raises(DataError, match=r"each may be one object.*--instances"):
        open_masks(tmp_path, masks)
    truths = [(mask.sum(axis=2) > 0).astype(np.uint8) for mask in masks]
    dataset = check_read(tmp_path, (masks, DataOptions(instances=True), truths, 1, "one colour per object"), ".png")
    objects = dataset.objects(0)
    assert objects is not None
    assert len(np.unique(objects)) == 5


def one_bit(mask: np.ndarray) -> Image.Image:
    return Image.fromarray(mask * np.uint8(255)).convert("1")


def deep(mask: np.ndarray, factor: int = 65535) -> np.ndarray:
    return mask.astype(np.uint16) * np.uint16(factor)


WHITES = [mask * np.uint8(255) for mask in BLOBS]
NOISY = [np.asarray(jpeg(90)(mask)) for mask in WHITES]
DEPTHS: dict[str, tuple[list[np.ndarray | Image.Image], list[np.ndarray], int, str]] = {
    "8 and 16 bit": ([WHITES[0], deep(BLOBS[1])], BLOBS[:2], 1, "255 and 65535 are the one class"),
    "0/1 and 16 bit": ([BLOBS[0], deep(BLOBS[1])], BLOBS[:2], 1, "1 and 65535 are the one class"),
    "1 and 8 bit": ([one_bit(BLOBS[0]), WHITES[1]], BLOBS[:2], 1, "both 1 and 255"),
    "1 bit and 0/1": ([one_bit(BLOBS[0]), BLOBS[1]], BLOBS[:2], 1, "0/1"),
    "1 and 16 bit": ([one_bit(BLOBS[0]), deep(BLOBS[1])], BLOBS[:2], 1, "1 and 65535"),
    "1, 8 and 16 bit": ([one_bit(BLOBS[0]), WHITES[1], deep(BLOBS[2])], BLOBS, 1, "1 and 255 and 65535"),
    "the same ids": ([u8(IDS)[0], deep(IDS[1], 1)], u8(IDS)[:2], 3, "class ids"),
    "1 bit among ids": ([one_bit((IDS[0] == 1).astype(np.uint8)), u8(IDS)[1]], [(IDS[0] == 1) * 1, IDS[1]], 3, "ids"),
    "255 in 16 bit": ([WHITES[0], deep(BLOBS[1], 255)], BLOBS[:2], 1, "0/255"),
    "grey and RGB": ([WHITES[0], np.dstack([WHITES[1]] * 3)], BLOBS[:2], 1, "0/255"),
}
DEPTHS_ASKED: dict[str, tuple[list[np.ndarray | Image.Image], str]] = {
    "ids times 257": ([u8(IDS)[0], deep(IDS[1], 257)], "16 bits with the values 257, 514, 771.*different scales"),
    "ids and 65535": ([u8(IDS)[0], deep(BLOBS[1])], "different scales"),
    "noise in both": ([NOISY[0], deep(NOISY[1], 257)], "different scales"),
    "noise in 16 bit": ([WHITES[0], deep(NOISY[1], 257)], "different scales"),
    "1 bit and grey levels": (
        [one_bit(BLOBS[0]), u8(IDS)[1] * np.uint8(85)],
        "8 bits .*85, 170, 255.*different scales",
    ),
    "1 bit and noise": ([one_bit(BLOBS[0]), NOISY[1]], "0 and 1, while other masks are blurred 0/255"),
}


@pytest.mark.parametrize("name", DEPTHS)
def test_mixed_depths_are_read_on_one_scale(name: str, tmp_path: Path) -> None:
    masks, truths, num_classes, said = DEPTHS[name]
    dataset = open_masks(tmp_path, masks)
    assert_reads(dataset, truths, num_classes)
    assert said in dataset.encoding.sentence


@pytest.mark.parametrize("name", DEPTHS_ASKED)
def test_depths_on_different_scales_are_refused(name: str, tmp_path: Path) -> None:
    masks, said = DEPTHS_ASKED[name]
    with pytest.raises(DataError, match=said):
        open_masks(tmp_path, masks)


@pytest.mark.parametrize("factor", [1, 100_003])
def test_ids_that_may_be_objects_are_said(factor: int, tmp_path: Path) -> None:
    """The same few ids in each mask, each in one piece: organs, or two objects; the note names the option."""
    masks = [np.kron(np.array([[0, 1, 0], [2, 0, 3]]), np.ones((16, 16), int)) * factor for _ in range(3)]
    masks = [mask.astype(np.uint32 if factor > 1 else np.uint8) for mask in masks]
    dataset = open_masks(tmp_path, masks, suffix=".tif")
    assert dataset.num_classes == 3
    assert any("one connected piece in every mask" in note and "--instances" in note for note in dataset.notes)
    named = open_masks(tmp_path / "named", masks, DataOptions(class_names=("a", "b", "c")), suffix=".tif")
    assert not any("one connected piece" in note for note in named.notes)


def test_classes_in_several_pieces_are_not_said_to_be_objects(tmp_path: Path) -> None:
    masks = [np.kron(np.array([[1, 0, 1], [2, 0, 2]], np.uint8), np.ones((16, 16), np.uint8)) for _ in range(3)]
    dataset = open_masks(tmp_path, masks)
    assert not any("one connected piece" in note for note in dataset.notes)
