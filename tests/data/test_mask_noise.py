"""Binary masks with noise are one class; drawn ids stay ids, however thin or rare; noise among ids is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from samtune.data import DataOptions, inspect
from samtune.errors import DataError
from tests.data.drawn import (
    HW,
    Noise,
    assert_reads,
    blobs,
    blurred,
    cells,
    classes,
    jpeg,
    lines,
    open_masks,
    resized,
    street,
)

NOISE: dict[str, Noise] = {
    **{f"jpeg {quality}": jpeg(quality) for quality in (100, 95, 90, 75, 50, 30, 10)},
    **{
        f"{how.lower()} x {factor}": resized(how, factor)
        for how in ("BILINEAR", "BICUBIC", "LANCZOS", "BOX", "HAMMING")
        for factor in (0.5, 0.37, 2, 3.3)
        if how != "BOX" or factor < 1
    },
    "blur 0.7": blurred(0.7),
    "blur 1.5": blurred(1.5),
}
DRAWN: dict[str, Callable[[int], np.ndarray]] = {
    "areas": blobs,
    "small": lambda seed: blobs(seed, 1, (3, 5)),
    "lines 3 wide": lambda seed: lines(seed, 3),
}


def seen_by(drawn: str, noise: str) -> list[np.ndarray]:
    return [np.array(NOISE[noise](DRAWN[drawn](seed) * np.uint8(255))) for seed in range(2)]


def above(masks: list[np.ndarray], threshold: float = 127) -> list[np.ndarray]:
    return [(mask > threshold).astype(np.uint8) for mask in masks]


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("drawn", DRAWN)
def test_noisy_binary_masks_are_one_class(drawn: str, noise: str, tmp_path: Path) -> None:
    masks = seen_by(drawn, noise)
    dataset = open_masks(tmp_path, masks)
    assert_reads(dataset, above(masks), 1)
    assert "above 127 is the one class" in dataset.encoding.sentence
    kinds = [problem.kind for problem in inspect(tmp_path / "images", tmp_path / "masks").problems]
    assert kinds.count("blurred_mask") == 1


FORMATS: dict[str, tuple[Callable[[np.ndarray], np.ndarray | Image.Image], str]] = {
    "8-bit TIFF": (lambda a: a, ".tif"),
    "16-bit TIFF": (lambda a: a.astype(np.uint16) * np.uint16(257), ".tif"),
    "16-bit PNG": (lambda a: a.astype(np.uint16) * np.uint16(257), ".png"),
    "16-bit blurred": (lambda a: cv2.GaussianBlur(a.astype(np.uint16) * np.uint16(257), (0, 0), 1), ".tif"),
    "float 0..1": (lambda a: a.astype(np.float32) / np.float32(255), ".tif"),
    "float 0..255": (lambda a: a.astype(np.float32) - np.float32(0.25) * (a > 0), ".tif"),
    "RGB": (lambda a: np.dstack([a, a, a]), ".png"),
    "BMP": (lambda a: a, ".bmp"),
    "grey palette": (lambda a: Image.fromarray(a).convert("P"), ".png"),
    "adaptive grey palette": (lambda a: Image.fromarray(a).quantize(32), ".png"),
    "0/200": (lambda a: (a.astype(np.float64) * 200 / 255).round().astype(np.uint8), ".png"),
    "0/10": (lambda a: (a.astype(np.float64) * 10 / 255).round().astype(np.uint8), ".png"),
}


@pytest.mark.parametrize(
    ("form", "noise"),
    [
        (form, noise)
        for form in FORMATS
        for noise in ("jpeg 90", "bilinear x 0.5", "bicubic x 2")
        if (form, noise) != ("0/10", "jpeg 90")  # the noise of JPEG rounds to nothing
    ],
)
def test_noise_is_found_in_every_format(form: str, noise: str, tmp_path: Path) -> None:
    convert, suffix = FORMATS[form]
    masks = [convert(mask) for mask in seen_by("areas", noise)]
    dataset = open_masks(tmp_path, masks, suffix=suffix)
    plain = [np.asarray(m.convert("L") if isinstance(m, Image.Image) else m) for m in masks]
    plain = [mask[..., 0] if mask.ndim == 3 else mask for mask in plain]
    top = {"0/200": 200, "0/10": 10, "float 0..1": 1}.get(form, 65535 if plain[0].dtype == np.uint16 else 255)
    half = 0.5 if form == "float 0..1" else (top - 1) // 2
    rounded = [np.round(m) if form == "float 0..255" else m for m in plain]
    assert_reads(dataset, above(rounded, half), 1)


@pytest.mark.parametrize("noise", ["jpeg 90", "bilinear x 0.5", "lanczos x 0.5", "blur 1.5"])
def test_one_noisy_file_among_clean_ones(noise: str, tmp_path: Path) -> None:
    masks = seen_by("areas", noise)[:1]
    hw = masks[0].shape
    masks += [cv2.resize(blobs(seed), hw[::-1], interpolation=cv2.INTER_NEAREST) * np.uint8(255) for seed in (5, 6)]
    masks += [np.zeros(hw, np.uint8)]
    dataset = open_masks(tmp_path, masks)
    assert_reads(dataset, above(masks), 1)
    assert "1 of 4" in dataset.encoding.sentence


def spots(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = np.zeros(HW, np.int64)
    for value in (1, 2, 3):
        mask[rng.integers(0, HW[0], 15), rng.integers(0, HW[1], 15)] = value
    return mask


def with_rare(ids: tuple[int, ...], rare: int, size: int) -> Callable[[int], np.ndarray]:
    def draw(seed: int) -> np.ndarray:
        mask = classes(seed, ids)
        mask[3 : 3 + size, 60 : 60 + size] = rare if seed == 0 else 0
        return mask

    return draw


def crossed(area: int, line: int, width: int) -> Callable[[int], np.ndarray]:
    def draw(seed: int) -> np.ndarray:
        mask = classes(seed, (area,))
        mask[lines(seed + 10, width) > 0] = line
        return mask

    return draw


def kinds_of_lines(width: int, areas: tuple[int, ...] = ()) -> Callable[[int], np.ndarray]:
    def draw(seed: int) -> np.ndarray:
        mask = classes(seed, areas) if areas else np.zeros(HW, np.int64)
        for value in (1, 2, 3):
            mask[lines(seed * 7 + value, width, 2) > 0] = value
        return mask

    return draw


def outlined(inner: int, border: int, width: int) -> Callable[[int], np.ndarray]:
    def draw(seed: int) -> np.ndarray:
        whole = blobs(seed)
        mask = whole.astype(np.int64) * border
        mask[cv2.erode(whole, np.ones((2 * width + 1, 2 * width + 1), np.uint8)) > 0] = inner
        return mask

    return draw


IDS = ((1, 2, 3), (2, 7, 10), (85, 170, 255), (64, 128, 191, 255), (1, 5), (100, 200), (3,), (1, 254), (7, 250, 251))
AS_DRAWN: dict[str, Callable[[int], np.ndarray]] = {
    **{f"areas {ids}": partial(classes, ids=ids) for ids in IDS},
    **{f"{ids} and a rare {size} x {size}": with_rare(ids, 4, size) for ids in IDS[:3] for size in (1, 2, 3)},
    **{
        f"{line} drawn {width} wide over {area}": crossed(area, line, width)
        for width in (1, 2)
        for area, line in ((1, 2), (2, 1), (128, 255), (255, 128), (3, 1), (200, 50))
    },
    **{f"three kinds of lines {width} wide": kinds_of_lines(width) for width in (1, 2)},
    **{f"three kinds of lines {width} wide, two areas": kinds_of_lines(width, (4, 5)) for width in (1, 2)},
    **{f"1 with border 2, {width} wide": outlined(1, 2, width) for width in (1, 2)},
    **{f"2 with border 1, {width} wide": outlined(2, 1, width) for width in (1, 2)},
    **{f"1 with border 3, {width} wide": outlined(1, 3, width) for width in (1, 2)},
    **{f"128 with border 255, {width} wide": outlined(128, 255, width) for width in (1, 2)},
    "points of three kinds": spots,
    "trimap of a matting set": lambda seed: blobs(seed) * 128 + cv2.erode(blobs(seed), np.ones((7, 7))) * 127,
    **{f"street, {num} classes": partial(street, num_classes=num, background=num) for num in (8, 12, 19)},
    **{f"street, {num} classes, no background": partial(street, num_classes=num) for num in (8, 12, 19)},
}


@pytest.mark.parametrize("name", AS_DRAWN)
def test_drawn_ids_stay_ids(name: str, tmp_path: Path) -> None:
    masks = [AS_DRAWN[name](seed) for seed in range(3)]
    ids = sorted({int(v) for mask in masks for v in np.unique(mask)} - {0})
    dataset = open_masks(tmp_path, [mask.astype(np.uint8) for mask in masks])
    assert_reads(dataset, [np.searchsorted([0, *ids], mask) for mask in masks], len(ids))


def test_voc_borders_stay_ignored(tmp_path: Path) -> None:
    masks = [classes(seed, (5, 15)) for seed in range(3)]
    for mask in masks:
        grown = cv2.dilate((mask > 0).astype(np.uint8), np.ones((5, 5)))
        mask[(grown > 0) & (mask == 0)] = 255
    truths = [np.select([mask == 5, mask == 15, mask == 255], [1, 2, 255]) for mask in masks]
    assert_reads(open_masks(tmp_path, [mask.astype(np.uint8) for mask in masks]), truths, 2)


@pytest.mark.parametrize(
    ("num", "radius", "dtype"),
    [(120, 3, np.uint8), (30, 8, np.uint8), (150, 4, np.uint16), (300, 2, np.uint16), (400, 5, np.uint16)],
)
def test_many_objects_stay_objects(num: int, radius: int, dtype: type, tmp_path: Path) -> None:
    masks = [cells(seed, num - 10 * seed, radius) for seed in range(3)]
    dataset = open_masks(tmp_path, [mask.astype(dtype) for mask in masks])
    assert dataset.encoding.kind == "instances"
    assert_reads(dataset, [(mask > 0).astype(np.uint8) for mask in masks], 1)
    np.testing.assert_array_equal(dataset.objects(0), masks[0])


AMONG_IDS: dict[str, tuple[tuple[int, ...], str, str]] = {
    "2, 7, 10 bilinear x 2": ((2, 7, 10), "bilinear x 2", "1, 3, 4, 5, 6, 8, 9 occur only along borders"),
    "2, 7, 10 bilinear x 0.5": ((2, 7, 10), "bilinear x 0.5", "occur only along borders"),
    "2, 7, 10 bicubic x 2": ((2, 7, 10), "bicubic x 2", "occur only along borders"),
    "2, 7, 10 JPEG": ((2, 7, 10), "jpeg 90", "occur only along borders"),
    "2, 7, 10 blurred": ((2, 7, 10), "blur 1.5", "occur only along borders"),
    "10, 20, 30 JPEG": ((10, 20, 30), "jpeg 75", "occur only along borders"),
    "10, 20, 30 bilinear x 3.3": ((10, 20, 30), "bilinear x 3.3", "occur only along borders"),
    "85, 170, 255 bilinear x 2": ((85, 170, 255), "bilinear x 2", "occur only along borders"),
    "1, 5 bilinear x 2": ((1, 5), "bilinear x 2", "occur only along borders"),
    "1, 5 JPEG": ((1, 5), "jpeg 95", "occur only along borders"),
}


@pytest.mark.parametrize("name", AMONG_IDS)
def test_noise_among_ids_is_refused_by_name(name: str, tmp_path: Path) -> None:
    ids, noise, said = AMONG_IDS[name]
    masks = [np.array(NOISE[noise](classes(seed, ids).astype(np.uint8))) for seed in range(3)]
    with pytest.raises(DataError, match=said):
        open_masks(tmp_path, masks)


def test_noise_among_ids_is_read_where_the_user_says_that_all_are_classes(tmp_path: Path) -> None:
    masks = [np.array(NOISE["bilinear x 2"](classes(seed, (2, 7, 10)).astype(np.uint8))) for seed in range(2)]
    assert_reads(open_masks(tmp_path, masks, DataOptions(ids=tuple(range(1, 11)))), masks, 10)
    assert_reads(open_masks(tmp_path, masks, DataOptions(num_classes=10)), masks, 10)


def test_an_id_between_two_others_alone_is_reported(tmp_path: Path) -> None:
    masks = [outlined(2, 1, 1)(seed).astype(np.uint8) for seed in range(2)]
    dataset = open_masks(tmp_path, masks)
    assert any("1 occur only as thin borders" in note for note in dataset.notes)
    kinds = [problem.kind for problem in inspect(tmp_path / "images", tmp_path / "masks").problems]
    assert "border_ids" in kinds


UNCLEAR: dict[str, tuple[Callable[[int], np.ndarray], DataOptions, str]] = {
    "128 only along the edge of 255": (outlined(255, 128, 1), DataOptions(), "--threshold 127` for one class"),
    "a wide blur": (lambda seed: blurred(3)(blobs(seed, 1, (3, 5)) * np.uint8(255)), DataOptions(), "--threshold 85"),
    "lines of one pixel, halved": (lambda seed: resized("BOX", 0.5)(lines(seed, 1) * np.uint8(255)), DataOptions(),
                                   "--threshold 127"),
    "lines of one pixel, blurred": (lambda seed: blurred(0.7)(lines(seed, 1) * np.uint8(255)), DataOptions(),
                                    "a blurred mask or a grey image"),
    "an image for a mask": (lambda seed: np.random.default_rng(seed).integers(0, 250, HW), DataOptions(),
                            "a grey image"),
    "noisy, but three classes are meant": (lambda seed: jpeg(90)(blobs(seed) * np.uint8(255)),
                                           DataOptions(num_classes=3), "one class .* but 3 are expected"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_may_be_noise_or_drawn_is_asked(name: str, tmp_path: Path) -> None:
    draw, options, said = UNCLEAR[name]
    with pytest.raises(DataError, match=said):
        open_masks(tmp_path, [np.array(draw(seed), np.uint8) for seed in range(2)], options)


def test_the_threshold_that_is_asked_for_works(tmp_path: Path) -> None:
    masks = [np.array(blurred(0.7)(lines(seed, 1) * np.uint8(255))) for seed in range(2)]
    dataset = open_masks(tmp_path, masks, DataOptions(threshold=60))
    assert_reads(dataset, above(masks, 60), 1)
    assert dataset.options.threshold == 60
    halves = [outlined(255, 128, 1)(seed).astype(np.uint8) for seed in range(2)]
    assert_reads(open_masks(tmp_path, halves, DataOptions(threshold=127)), above(halves), 1)
    truths = [np.searchsorted([0, 128, 255], mask) for mask in halves]
    assert_reads(open_masks(tmp_path, halves, DataOptions(ids=(128, 255))), truths, 2)


def test_a_threshold_between_0_and_1_holds_for_a_further_folder(tmp_path: Path) -> None:
    masks = [blobs(seed) * np.float32(0.4) for seed in range(2)]
    for threshold in (0.3, 0.35, 64 / 255):
        dataset = open_masks(tmp_path / "a", masks, DataOptions(threshold=threshold), ".tif")
        again = open_masks(tmp_path / "b", masks, dataset.options, ".tif")
        assert again.encoding.threshold == dataset.encoding.threshold == int(threshold * 255 + 1e-9)
    dataset = open_masks(tmp_path / "a", masks, suffix=".tif")
    assert_reads(dataset, [blobs(seed) for seed in range(2)], 1)
    assert "above 0.2 (half of the largest value)" in dataset.encoding.sentence


@pytest.mark.parametrize("quality", [75, 90, 95])
@pytest.mark.parametrize("num_classes", [1, 3])
def test_what_jpeg_leaves_beyond_small_ids_is_asked_or_said(num_classes: int, quality: int, tmp_path: Path) -> None:
    """0/1 and 0..3 saved as JPEG and again as PNG have a 2 and a 4 along the edges of the highest id."""
    masks = [np.minimum(classes(seed, (1, 2, 3)), num_classes) for seed in range(3)]
    noisy = [np.array(jpeg(quality)(mask.astype(np.uint8))) for mask in masks]
    assert max(mask.max() for mask in noisy) > num_classes
    with suppress(DataError):
        dataset = open_masks(tmp_path, noisy)
        assert any("may be drawn or noise" in note for note in dataset.notes)
    findings = inspect(tmp_path / "images", tmp_path / "masks")
    assert {problem.kind for problem in findings.problems} & {"border_ids", "interpolated_ids"}


@pytest.mark.parametrize("names", [None, ("area", "points")])
def test_points_on_an_area_are_asked_unless_named(names: tuple[str, ...] | None, tmp_path: Path) -> None:
    masks = []
    for seed in range(3):
        mask = blobs(seed)
        inner = np.argwhere(cv2.erode(mask, np.ones((7, 7), np.uint8)))
        mask[tuple(inner[:: max(1, len(inner) // 3)].T)] = 2
        masks.append(mask)
    if names is None:
        with pytest.raises(DataError, match=r"value\(s\) 2 occur only .* `--ids 1,2`"):
            open_masks(tmp_path, masks)
    else:
        assert_reads(open_masks(tmp_path, masks, DataOptions(class_names=names)), masks, 2)
