"""A tiny folder in the shape of each public data set as downloaded, with the extra files of its bundles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.data.folders import disc, picture, save, save_palette

Build = Callable[[Path], dict[str | None, int]]
"""Writes a layout below a folder; returns part -> the number of pairs to read."""

HW = (24, 32)


def image(path: Path) -> None:
    save(path, picture(hash_of(path), HW))


def hash_of(path: Path) -> int:
    return sum(map(ord, str(path.name))) % 1000


def mask(path: Path, value: int = 255) -> None:
    save(path, disc(HW, hash_of(path) % 5) * np.uint8(value))


def pairs(
    root: Path, images: str, masks: str, stems: list[str], ends: tuple[str, str] = (".jpg", ".png"), end: str = ""
) -> int:
    for stem in stems:
        image(root / images / f"{stem}{ends[0]}")
        mask(root / masks / f"{stem}{end}{ends[1]}")
    return len(stems)


def camo_release(root: Path) -> dict[str | None, int]:
    top = root / "CAMO-V.1.0-CVIU2019"
    train = pairs(top, "Images/Train", "GT", ["camourflage_00001", "camourflage_00002"])
    return {"train": train, "test": pairs(top, "Images/Test", "GT", ["camourflage_00463"])}


def camo_bundle(root: Path) -> dict[str | None, int]:
    counts = pairs(root, "TestDataset/CAMO/Imgs", "TestDataset/CAMO/GT", ["camourflage_00012", "camourflage_00083"])
    image(root / "TestDataset/CAMO/Imgs/stray.jpg")
    (root / "TestDataset/CAMO/Imgs/Thumbs.db").write_bytes(b"x")
    return {"test": counts}


def chameleon(root: Path) -> dict[str | None, int]:
    counts = pairs(root, "CHAMELEON/Imgs", "CHAMELEON/GT", ["animal-1", "animal-2", "animal-3"])
    mask(root / "CHAMELEON/GT/animal-99.png")
    return {"test": counts}


def cod10k(root: Path) -> dict[str | None, int]:
    for part in ("Train", "Test"):
        image(root / "COD10K-v3" / part / "Image" / "COD10K-NonCAM-1-Plain-1.jpg")
        save(root / "COD10K-v3" / part / "GT_Object" / "COD10K-NonCAM-1-Plain-1.png", np.zeros(HW, np.uint8))
    top = root / "COD10K-v3"
    names = ["COD10K-CAM-1-Aquatic-1-BatFish-1", "COD10K-CAM-2-Terrestrial-2-Ant-2"]
    train = pairs(top, "Train/Image", "Train/GT_Object", names)
    return {"train": train, "test": pairs(top, "Test/Image", "Test/GT_Object", ["COD10K-CAM-3-Flying-5-Bat-3"])}


def cod_train(root: Path) -> dict[str | None, int]:
    return {None: pairs(root, "TrainDataset/Imgs", "TrainDataset/GT", ["COD10K-CAM-1", "camourflage_1"])}


def nc4k(root: Path) -> dict[str | None, int]:
    return {"test": pairs(root, "NC4K/Imgs", "NC4K/GT", ["1001", "1002"])}


def istd(root: Path) -> dict[str | None, int]:
    counts: dict[str | None, int] = {}
    for part, stems in (("train", ["1-1", "1-2"]), ("test", ["90-1"])):
        folder = f"ISTD_Dataset/{part}/{part}"
        counts[part] = pairs(root, f"{folder}_A", f"{folder}_B", stems, (".png", ".png"))
        for stem in stems:
            image(root / f"{folder}_C" / f"{stem}.png")
    return counts


def sbu(root: Path) -> dict[str | None, int]:
    top = root / "SBU-shadow"
    train = pairs(top, "SBUTrain4KRecoveredSmall/ShadowImages", "SBUTrain4KRecoveredSmall/ShadowMasks", ["lssd1"])
    return {"train": train, "test": pairs(top, "SBU-Test/ShadowImages", "SBU-Test/ShadowMasks", ["IMG_8243", "b"])}


def duts(root: Path) -> dict[str | None, int]:
    train = pairs(root, "DUTS-TR/DUTS-TR-Image", "DUTS-TR/DUTS-TR-Mask", ["a", "b"])
    return {"train": train, "test": pairs(root, "DUTS-TE/DUTS-TE-Image", "DUTS-TE/DUTS-TE-Mask", ["c"])}


def ecssd(root: Path) -> dict[str | None, int]:
    return {"test": pairs(root, "images", "ground_truth_mask", ["0001", "0002"])}


def dut_omron(root: Path) -> dict[str | None, int]:
    return {"test": pairs(root, "DUT-OMRON-image", "pixelwiseGT-new-PNG", ["im005", "im006"])}


def hku_is(root: Path) -> dict[str | None, int]:
    return {"test": pairs(root, "HKU-IS/imgs", "HKU-IS/gt", ["0004", "0005"], (".png", ".png"))}


def pascal_s(root: Path) -> dict[str | None, int]:
    counts = pairs(root, "PASCAL-S/Imgs", "PASCAL-S/Imgs", ["1", "2"])
    grey = np.tile(np.linspace(0, 255, HW[1]).astype(np.uint8), (HW[0], 1))
    save(root / "PASCAL-S/Imgs/2.png", grey)
    return {"test": counts}


def kvasir(root: Path) -> dict[str | None, int]:
    return {None: pairs(root, "Kvasir-SEG/images", "Kvasir-SEG/masks", ["cju0", "cju1"], (".jpg", ".jpg"))}


def clinicdb(root: Path) -> dict[str | None, int]:
    return {None: pairs(root, "CVC-ClinicDB/Original", "CVC-ClinicDB/Ground Truth", ["1", "2"], (".tif", ".tif"))}


def pranet(root: Path) -> dict[str | None, int]:
    train = pairs(root, "TrainDataset/image", "TrainDataset/masks", ["1", "cju"], (".png", ".png"))
    test = pairs(root, "TestDataset/Kvasir/images", "TestDataset/Kvasir/masks", ["1", "b"], (".png", ".png"))
    test += pairs(root, "TestDataset/CVC-ClinicDB/images", "TestDataset/CVC-ClinicDB/masks", ["1"], (".png", ".png"))
    return {"train": train, "test": test}


def isic(root: Path) -> dict[str | None, int]:
    counts: dict[str | None, int] = {}
    for part, word, stems in (
        ("train", "Training", ["ISIC_0000000", "ISIC_0000001"]),
        ("val", "Validation", ["ISIC_0001769"]),
        ("test", "Test_v2", ["ISIC_0012086"]),
    ):
        folders = f"ISIC-2017_{word}_Data", f"ISIC-2017_{word}_Part1_GroundTruth"
        counts[part] = pairs(root, *folders, stems, end="_segmentation")
        for stem in stems:
            image(root / folders[0] / f"{stem}_superpixels.png")
    return counts


def leaf(root: Path) -> dict[str | None, int]:
    top = root / "leaf_disease_segmentation"
    train = pairs(top, "orig_data/train_images", "orig_data/train_masks", ["00000", "00001"])
    return {"train": train, "val": pairs(top, "orig_data/valid_images", "orig_data/valid_masks", ["00002"])}


def roads(root: Path) -> dict[str | None, int]:
    counts: dict[str | None, int] = {}
    for part, word in (("train", "train"), ("val", "valid"), ("test", "test")):
        stems = [f"{word}1_15", f"{word}2_15"]
        counts[part] = pairs(root, f"mass_roads/{word}/sat", f"mass_roads/{word}/map", stems, (".tiff", ".tif"))
    return counts


def trans10k(root: Path) -> dict[str | None, int]:
    """Ids in palette files whose palettes differ; no file has all classes, one has ignored pixels."""
    for number, (word, value) in enumerate((("train", 11), ("validation", 3), ("test", 1))):
        folder = root / "Trans10K_v2" / word
        image(folder / "images" / "7.jpg")
        ids = disc(HW) * np.uint8(value)
        ids[0, :3] = 255 if word == "test" else 0
        rng = np.random.default_rng(number)
        save_palette(folder / "masks_12" / "7_mask.png", ids, [tuple(rng.integers(0, 255, 3)) for _ in range(256)])
    return {"train": 1, "val": 1, "test": 1}


def touching() -> np.ndarray:
    ids = np.zeros(HW, np.uint16)
    ids[4:12, 4:12], ids[4:12, 12:20], ids[15:20, 3:9] = 1, 2, 300
    return ids


def organoids(root: Path) -> dict[str | None, int]:
    for word in ("train", "val", "eval"):
        folder = root / "OrganoidBasic_v20211206" / word
        image(folder / "a_img.jpg")
        save(folder / "a_masks_organoid.png", touching())
    return {"train": 1, "val": 1, "test": 1}


def emps(root: Path) -> dict[str | None, int]:
    for stem in ("0a", "0b"):
        image(root / "emps-main/images" / f"{stem}.png")
        save(root / "emps-main/segmaps" / f"{stem}.png", touching())
    return {None: 2}


def livecell(root: Path) -> dict[str | None, int]:
    for part, folder, name in (
        ("train", "livecell_train_val_images", "A172_1.tif"),
        ("val", "livecell_train_val_images", "A172_2.tif"),
        ("test", "livecell_test_images", "BV2_1.tif"),
    ):
        image(root / "images" / folder / name)
        box = [[4, 4, 11, 4, 11, 11, 4, 11]]
        runs = {"size": list(HW), "counts": [12 * HW[0] + 4, 8, HW[0] * HW[1] - 12 * HW[0] - 12]}
        content = {
            "images": [{"id": 5, "file_name": name, "height": HW[0], "width": HW[1]}],
            "annotations": {"1": {"image_id": 5, "segmentation": box}, "2": {"image_id": 5, "segmentation": runs}},
        }
        if part == "train":
            content["images"] = [*content["images"], {"id": 6, "file_name": "gone.tif", "height": 1, "width": 1}]
        (root / f"livecell_coco_{part}.json").write_text(json.dumps(content))
    return {"train": 1, "val": 1, "test": 1}


def dsb(root: Path) -> dict[str | None, int]:
    for name in ("00ae", "0a7d"):
        image(root / "stage1_train" / name / "images" / f"{name}.png")
        for number in (1, 2, 300):
            save(root / "stage1_train" / name / "masks" / f"m{number}.png", np.uint8(255) * (touching() == number))
    return {None: 2}


TREES: list[tuple[str, Build]] = [
    ("camo", camo_release), ("camo", camo_bundle), ("chameleon", chameleon), ("cod10k", cod10k),
    ("cod_train", cod_train), ("nc4k", nc4k), ("istd", istd), ("sbu", sbu), ("duts", duts), ("ecssd", ecssd),
    ("dut_omron", dut_omron), ("hku_is", hku_is), ("pascal_s", pascal_s), ("kvasir_seg", kvasir),
    ("cvc_clinicdb", clinicdb), ("pranet_polyp", pranet), ("isic2017", isic), ("leaf", leaf), ("mass_roads", roads),
    ("trans10k", trans10k), ("organoid_basic", organoids), ("emps", emps), ("livecell", livecell), ("dsb2018", dsb),
]  # fmt: skip
