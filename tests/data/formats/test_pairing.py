"""Names of images and masks -> pairs, or the sentence that refuses them."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samtune.data import DataOptions, find_pairs, inspect, open_dataset
from samtune.data.formats.naming import IMAGE_WORDS, MASK_WORDS
from samtune.data.formats.pairing import Named, match, select_masks
from samtune.errors import DataError
from tests.data.folders import disc, named_files, picture, save

WHITE = np.uint8(255)
NFC, NFD = (unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMTUNE_CACHE", str(tmp_path_factory.mktemp("cache")))


def pairs_of(records: Any, root: Path) -> str:
    """`image=mask` for each pair, "joined" for a mask in the cache."""
    lines = []
    for pair in records.pairs:
        inside = pair.mask.is_relative_to(root)
        mask = pair.mask.relative_to(root / "masks").as_posix() if inside else "joined"
        lines.append(f"{pair.image.relative_to(root / 'images').as_posix()}={mask}")
    return "|".join(sorted(lines))


PAIRED: dict[str, tuple[str, str, str, str]] = {
    # name: images, masks, pairs, text in a note ("" for no note)
    "equal stems": ("a.png|b.png", "a.png|b.png", "a.png=a.png|b.png=b.png", ""),
    "another ending": ("a.jpg|b.jpg", "a.png|b.tif", "a.jpg=a.png|b.jpg=b.tif", ""),
    "endings in capitals": ("a.JPG|b.Png", "a.PNG|b.TIF", "a.JPG=a.PNG|b.Png=b.TIF", ""),
    "_mask": ("a.png|b.png", "a_mask.png|b_mask.png", "a.png=a_mask.png|b.png=b_mask.png", "`*_mask`"),
    "-Mask": ("a.png|b.png", "a-Mask.png|b-Mask.png", "a.png=a-Mask.png|b.png=b-Mask.png", "`*-Mask`"),
    ".mask": ("a.png", "a.mask.png", "a.png=a.mask.png", "`*.mask`"),
    "camel case": ("liver.png", "liverMask.png", "liver.png=liverMask.png", "`*Mask`"),
    "digits before the word": ("001.png", "001mask.png", "001.png=001mask.png", "`*mask`"),
    "_masks of Cellpose": ("a.png|b.png", "a_cp_masks.png|b_cp_masks.png",
        "a.png=a_cp_masks.png|b.png=b_cp_masks.png", "`*_cp_masks`"),
    "_seg and _gt mixed": ("a.png|b.png", "a_seg.png|b_gt.png", "a.png=a_seg.png|b.png=b_gt.png", "`*_gt`"),
    "_seg_mask": ("a.png", "a_seg_mask.png", "a.png=a_seg_mask.png", "`*_seg_mask`"),
    "_segmentation": ("ISIC_01.jpg", "ISIC_01_segmentation.png", "ISIC_01.jpg=ISIC_01_segmentation.png", "_segm"),
    "image_ and mask_": ("image_0.png|image_1.png", "mask_0.png|mask_1.png",
        "image_0.png=mask_0.png|image_1.png=mask_1.png", "`image_*` and `mask_*`"),
    "img_ and lbl_": ("img_a.png|img_b.png", "lbl_a.png|lbl_b.png",
        "img_a.png=lbl_a.png|img_b.png=lbl_b.png", "`img_*` and `lbl_*`"),
    "im and gt without a separator": ("im005.jpg", "gt005.png", "im005.jpg=gt005.png", "`im*` and `gt*`"),
    "prefix on the masks alone": ("7.png|8.png", "mask_7.png|mask_8.png", "7.png=mask_7.png|8.png=mask_8.png",
        "`mask_*`"),
    "the word on both sides": ("a_img.png|b_img.png", "a_mask.png|b_mask.png",
        "a_img.png=a_mask.png|b_img.png=b_mask.png", "`*_img` and `*_mask`"),
    "the word inside": ("p1_img_3.png|p1_img_4.png", "p1_mask_3.png|p1_mask_4.png",
        "p1_img_3.png=p1_mask_3.png|p1_img_4.png=p1_mask_4.png", "`*_img_*`"),
    "the word inside masks alone": ("p_3.png|p_4.png", "p_mask_3.png|p_mask_4.png",
        "p_3.png=p_mask_3.png|p_4.png=p_mask_4.png", "`*_mask_*`"),
    "nnU-Net's channel": ("case_001_0000.png|case_002_0000.png", "case_001.png|case_002.png",
        "case_001_0000.png=case_001.png|case_002_0000.png=case_002.png", "`*_0000`"),
    "numbered images are no channels": ("a_0000.png|a_0001.png", "a_0000.png|a_0001.png",
        "a_0000.png=a_0000.png|a_0001.png=a_0001.png", ""),
    ".jpg.png": ("a.jpg|b.jpg", "a.jpg.png|b.jpg.png", "a.jpg=a.jpg.png|b.jpg=b.jpg.png", "ending included"),
    ".jpg.png of a converted image": ("a.png", "a.jpg.png", "a.png=a.jpg.png", "`*.jpg`"),
    ".jpg_mask.png": ("a.jpg", "a.jpg_mask.png", "a.jpg=a.jpg_mask.png", "`*_mask`"),
    "two endings, two masks": ("a.jpg|a.png", "a.jpg.png|a.png.png", "a.jpg=a.jpg.png|a.png=a.png.png",
        "ending included"),
    "the images end like masks": ("a_seg.png|b_seg.png", "a_seg.png|b_seg.png",
        "a_seg.png=a_seg.png|b_seg.png=b_seg.png", ""),
    "composed and decomposed letters": (f"{NFC}0.png|{NFC}1.png", f"{NFD}0.png|{NFD}1.png",
        f"{NFC}0.png={NFD}0.png|{NFC}1.png={NFD}1.png", "Unicode"),
    "decomposed with a suffix": (f"{NFD}.png", f"{NFC}_mask.png", f"{NFD}.png={NFC}_mask.png", "_mask"),
    "capitals": ("Scan1.png|Scan2.png", "scan1.png|scan2.png", "Scan1.png=scan1.png|Scan2.png=scan2.png",
        "case of letters"),
    "equal names in two folders": ("train/a.png|test/a.png", "train/a.png|test/a.png",
        "test/a.png=test/a.png|train/a.png=train/a.png", "Sub-folders repeat"),
    "folders on one side": ("sub/k.png|sub/l.png", "k.png|l.png", "sub/k.png=k.png|sub/l.png=l.png",
        "across differently"),
    "masks in the folders of a split": ("x.png|y.png", "train/x.png|val/y.png", "x.png=train/x.png|y.png=val/y.png",
        "across differently"),
    "several endings": ("x.ome.tif|y.ome.tif", "x.png|y.png", "x.ome.tif=x.png|y.ome.tif=y.png", "`*.ome`"),
    "a folder per sample": ("x/image.png|y/image.png", "x/mask.png|y/mask.png",
        "x/image.png=x/mask.png|y/image.png=y/mask.png", "`*/mask`"),
    "a mask in the folder of its image": ("x.png|y.png", "x/mask.png|y/mask.png",
        "x.png=x/mask.png|y.png=y/mask.png", "`*/mask`"),
    "objects _mask and _mask_1": ("x.png|y.png", "x_mask.png|x_mask_1.png|y_mask.png",
        "x.png=joined|y.png=y_mask.png", "joined"),
    "objects with brackets in the name": ("benign (1).png",
        "benign (1)_mask.png|benign (1)_mask_1.png|benign (1)_mask_2.png",
        "benign (1).png=joined", "several mask files"),
    "objects _1 and _2": ("x.png", "x_1.png|x_2.png", "x.png=joined", "joined"),
    "objects x and x_1": ("x.png", "x.png|x_1.png", "x.png=joined", "joined"),
    "objects x (1)": ("x.png", "x.png|x (1).png|x (2).png", "x.png=joined", "joined"),
    "objects mask0": ("x.png", "x_mask0.png|x_mask1.png", "x.png=joined", "joined"),
    "objects _instance_3": ("x.png|y.png", "x_instance_1.png|x_instance_3.png|y_instance_1.png",
        "x.png=joined|y.png=y_instance_1.png", "joined"),
    "objects 1_mask": ("x.png", "x_1_mask.png|x_2_mask.png", "x.png=joined", "joined"),
    "objects of image_0": ("image_0.png|image_1.png", "mask_0_1.png|mask_0_2.png|mask_1_1.png",
        "image_0.png=joined|image_1.png=mask_1_1.png", "joined"),
    "objects in a folder of their image": ("x.png|y.png", "x/1.png|x/2.png|y/1.png",
        "x.png=joined|y.png=y/1.png", "joined"),
    "objects named by digests": ("x.png", f"x/{'0a' * 16}.png|x/{'1b' * 16}.png", "x.png=joined", "joined"),
    "numbered images stay apart": ("x.png|x_1.png", "x.png|x_1.png", "x.png=x.png|x_1.png=x_1.png", ""),
    "a series has no objects": ("x.png|x_1.png|x_2.png", "x.png|x_1.png|x_2.png|x_3.png",
        "x.png=x.png|x_1.png=x_1.png|x_2.png=x_2.png", "1 file(s) without a partner"),
    "letters added to every mask": ("a.png|b.png", "a_foo.png|b_foo.png", "a.png=a_foo.png|b.png=b_foo.png", "`*_foo`"),
    "letters added to every image": ("t1-a.png|t1-b.png", "a.png|b.png", "t1-a.png=a.png|t1-b.png=b.png", "`t1-*`"),
    "what predict writes besides": ("a.png", "a.png|a_prob.png|a_overlay.jpg", "a.png=a.png",
        "2 file(s) without a partner"),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRED)
def test_names_are_paired_and_reported(name: str, tmp_path: Path) -> None:
    images, masks, expected, message = PAIRED[name]
    records = find_pairs(*named_files(tmp_path, images, masks))
    assert pairs_of(records, tmp_path) == expected
    assert not [problem for problem in records.problems if problem.stops_training]
    assert len({pair.stem for pair in records.pairs}) == len(records.pairs)
    assert any(message in note for note in records.notes) if message else not records.notes, records.notes


REFUSED: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    # name: images, masks, kind of problem, words of its sentence
    "nothing in common": ("case1_t1.png|case2_t1.png", "lesionA.png|lesionB.png", "no_pairs",
        ("`case*_t1.png` (2 files", "`lesion*.png` (2 files", "image,mask", "images/case1_t1.png,masks/lesionA.png")),
    "other numbers": ("img_10.png|img_11.png", "mask_20.png|mask_21.png", "no_pairs", ("`img_*.png`", "`mask_*.png`")),
    "folders against prefixes": ("a/1.png|b/1.png", "a_1.png|b_1.png", "no_pairs", ("`*/1.png`", "`*_1.png`")),
    "names of classes": ("x.png", "x_cat.png|x_dog.png", "no_pairs", ("`x_*.png` (2 files",)),
    "names of two classes": ("x.png|y.png", "x_liver_mask.png|x_tumor_mask.png|y_liver_mask.png", "no_pairs",
        ("`*_mask.png` (3 files",)),
    "one file each": ("photo7.png", "drawing.png", "no_pairs", ("`photo7.png` (1 file)", "`drawing.png`")),
    "an image and an object": ("x.png|x_1.png", "x_mask.png|x_mask_1.png", "ambiguous_pair", ("x.png, x_1.png",
        "manifest")),
    "one mask for two folders": ("train/a.png|test/a.png", "a.png", "ambiguous_pair", ("test/a.png, train/a.png",)),
    "one mask for two endings": ("a.png|a.jpg", "a.png", "ambiguous_pair", ("a.jpg, a.png",)),
    "two forms of one name": (f"{NFC}.png|{NFD}.png", f"{NFC}.png", "ambiguous_pair", ("2 images",)),
    "two channels": ("a_0000.png|a_0001.png", "a.png", "ambiguous_pair", ("a_0000.png, a_0001.png",)),
    "two kinds of masks": ("a.png|b.png", "a.png|b.png|a_mask.png|b_mask.png", "stem_twice",
        ("`*.png` and `*_mask.png`", "2 image(s)")),
    "Cityscapes": ("a_leftImg8bit.png", "a_gtFine_color.png|a_gtFine_labelIds.png", "stem_twice",
        ("`*_gtFine_color.png` and `*_gtFine_labelIds.png`",)),
    "two endings of a mask": ("a.png", "a.png|a.tif", "stem_twice", ("`*.png` and `*.tif`",)),
    "a copy in a sub-folder": ("a.png", "a.png|old/a.png", "stem_twice", ("`*.png` and `old/*.png`",)),
    "names of classes in folders of images": ("x.png|y.png", "x/cat.png|x/dog.png|y/cat.png", "stem_twice",
        ("cat", "dog")),
    "shifted numbers": ("image0.png|image1.png|image2.png", "mask1.png|mask2.png|mask3.png", "ambiguous_pair",
        ("`image*.png`", "`mask*.png`", "share 2 numbers", "image0.png and mask3.png are left over")),
    "folders, one mask per image": ("a.png|b.png", "cat/a.png|dog/b.png", "ambiguous_pair",
        ("cat/, dog/", "may be classes", "`images/a.png,masks/cat/a.png`")),
    "folders of annotators": ("a.png|b.png", "ann1/a.png|ann1/b.png|ann2/a.png|ann2/b.png", "classes_overlap",
        ("overlaps ann1/a.png", "masks/ann2")),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_ambiguous_names_are_refused_with_their_patterns(name: str, tmp_path: Path) -> None:
    images, masks, kind, words = REFUSED[name]
    folders = named_files(tmp_path, images, masks)
    stopping = [problem for problem in find_pairs(*folders).problems if problem.stops_training]
    assert kind in {problem.kind for problem in stopping}, stopping
    text = " ".join(f"{problem.what}; {problem.mend}" for problem in stopping if problem.kind == kind)
    assert all(word in text for word in words), text
    with pytest.raises(DataError):
        open_dataset(*folders)
    assert inspect(*folders).stops_training


def test_several_masks_are_joined_as_one_class_or_as_objects(tmp_path: Path) -> None:
    """The second object is foreground too; with `instances` each file is one object."""
    images, masks = named_files(tmp_path, "x.png|y.png", "y.png")
    first, second = disc(shift=-6, radius=4), disc(shift=1, radius=5)
    save(masks / "x_mask.png", first * WHITE)
    save(masks / "x_mask_1.png", second * WHITE)
    (masks / "y.png").rename(masks / "y_mask.png")
    dataset = open_dataset(images, masks)
    np.testing.assert_array_equal(dataset.labels(0), first | second)
    assert (dataset.num_classes, dataset.objects(0)) == (1, None)
    assert any("x_mask.png, x_mask_1.png for x.png" in note for note in dataset.notes)
    objects = open_dataset(images, masks, DataOptions(instances=True)).objects(0)
    assert objects is not None
    np.testing.assert_array_equal(objects, np.where(second, 2, first))
    again = open_dataset(images, masks).pairs[0].mask
    assert again == dataset.pairs[0].mask
    save(masks / "x_mask_1.png", first * WHITE)
    np.testing.assert_array_equal(open_dataset(images, masks).labels(0), first)


Make = Callable[[np.ndarray], np.ndarray]
BINARY: dict[str, tuple[Make, str]] = {
    "0/255": (lambda mask: mask * WHITE, ".png"),
    "0/1": (lambda mask: mask, ".png"),
    "bool": (lambda mask: mask > 0, ".png"),
    "16 bit": (lambda mask: mask.astype(np.uint16) * np.uint16(65535), ".png"),
    "red": (lambda mask: mask[..., None] * np.array([255, 0, 0], np.uint8), ".png"),
    "grey as RGB": (lambda mask: mask[..., None] * np.array([255, 255, 255], np.uint8), ".png"),
    "alpha": (lambda mask: np.dstack([mask * 0, mask * 0, mask * 0, mask * WHITE]), ".png"),
    "32 bit": (lambda mask: mask.astype(np.int32) * 255, ".tif"),
    "float": (lambda mask: mask.astype(np.float32), ".tif"),
}


@pytest.mark.parametrize("name", BINARY)
def test_binary_masks_of_any_encoding_are_joined(name: str, tmp_path: Path) -> None:
    make, ending = BINARY[name]
    images, masks = tmp_path / "images", tmp_path / "masks"
    save(images / "x.png", picture())
    parts = [disc(shift=-6, radius=4), disc(shift=1, radius=5)]
    for number, part in enumerate(parts):
        save(masks / f"x_{number}{ending}", make(part))
    dataset = open_dataset(images, masks)
    np.testing.assert_array_equal(dataset.labels(0), parts[0] | parts[1])
    assert dataset.num_classes == 1


UNJOINED: dict[str, tuple[list[np.ndarray], str]] = {
    "two values": ([disc(), disc(shift=5) * np.uint8(2)], "has the value 2, another mask of its image 1"),
    "ids": ([disc() + disc(radius=3), disc(shift=5)], r"holds the values \[0, 1, 2\]"),
    "two sizes": ([disc() * WHITE, disc((20, 20)) * WHITE], "20 x 20"),
    "a whole image is no mask": ([picture()[..., 0], disc() * WHITE], "cannot be joined"),
}


@pytest.mark.parametrize("name", UNJOINED)
def test_masks_that_are_not_binary_are_not_joined(name: str, tmp_path: Path) -> None:
    parts, message = UNJOINED[name]
    save(tmp_path / "images" / "x.png", picture())
    for number, part in enumerate(parts):
        save(tmp_path / "masks" / f"x_{number}.png", part)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path / "images", tmp_path / "masks")


def test_a_damaged_mask_among_several_is_named(tmp_path: Path) -> None:
    images, masks = named_files(tmp_path, "x.png|y.png", "x_0.png|x_1.png|y_0.png")
    (masks / "x_1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"x_1\.png"):
        open_dataset(images, masks)


def class_folders(root: Path, *, border: int = 0) -> tuple[Path, Path]:
    """masks/cat and masks/dog for x and y, where y has a cat alone; `border` pixels belong to both."""
    left, right = np.zeros((24, 32), np.uint8), np.zeros((24, 32), np.uint8)
    left[:, :10], right[:, 12:20] = 255, 255
    right[:border, 9] = 255
    for number, stem in enumerate("xy"):
        save(root / "images" / f"{stem}.png", picture(number))
        save(root / "masks" / "cat" / f"{stem}.png", left)
    save(root / "masks" / "dog" / "x.png", right)
    return root / "images", root / "masks"


def test_sub_folders_of_masks_are_classes(tmp_path: Path) -> None:
    folders = class_folders(tmp_path, border=1)
    dataset = open_dataset(*folders)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.label_counts.tolist() == [[24 * 14, 24 * 10 - 1, 24 * 8 + 1, 0], [24 * 22, 24 * 10, 0, 0]]
    assert any("cat/, dog/" in note and "classes cat, dog" in note for note in dataset.notes)
    reordered = open_dataset(*folders, DataOptions(class_names=("dog", "cat")))
    assert reordered.class_names == ("dog", "cat")
    assert reordered.label_counts[1].tolist() == [24 * 22, 0, 24 * 10, 0]
    assert open_dataset(*folders, dataset.options).class_names == ("cat", "dog")
    with pytest.raises(DataError, match="one sub-folder per class"):
        open_dataset(*folders, DataOptions(class_names=("a", "b")))


def test_class_folders_below_splits_and_with_objects(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "val")):
        save(tmp_path / "images" / part / "x.png", picture(number))
        save(tmp_path / "masks" / part / "cat" / "x_1.png", disc(shift=-10, radius=4) * WHITE)
        save(tmp_path / "masks" / part / "cat" / "x_2.png", disc(shift=-2, radius=4) * WHITE)
        save(tmp_path / "masks" / part / "dog" / "x.png", disc(shift=8, radius=4) * WHITE)
    dataset = open_dataset(tmp_path / "images", tmp_path / "masks")
    assert [pair.split for pair in dataset.pairs] == ["train", "val"]
    area = int(disc(radius=4).sum())
    assert dataset.label_counts[:, 1:].tolist() == [[2 * area, area, 0]] * 2


def test_words_are_of_one_kind() -> None:
    assert not set(MASK_WORDS) & set(IMAGE_WORDS)


def test_many_names_are_paired_in_little_time(tmp_path: Path) -> None:
    """The time grows with the number of names, not with its square."""
    images = Named.below(tmp_path, [tmp_path / f"p{i}_img_{i}.png" for i in range(2000)])
    masks = Named.below(tmp_path, [tmp_path / f"p{i}_mask_{i}.png" for i in range(2000)])
    start = time.process_time()
    assert all(len(hits) == 1 for hits in match(images, masks).hits.values())
    assert select_masks([*images, *masks]) == set(masks)
    equal = Named.below(tmp_path, [tmp_path / f"p{i}_img_{i}.tif" for i in range(2000)])
    assert all(len(hits) == 1 for hits in match(images, equal).hits.values())
    assert time.process_time() - start < 20
