"""The public data sets of the papers: source, licence, splits, and the folders they are downloaded as.

Folder names are those of the authors' pages, or of public code that reads the download. A licence is quoted where its
wording could be read; otherwise the text says to check it. Numbers of images are those of the papers that use the set,
and are left out where the papers do not state them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NOT_STATED = "not stated"
CHECK_LICENCE = "not confirmed here, check it at the source"


@dataclass(frozen=True)
class Part:
    """One part of a data set. Of the alternative folders, the first pair that exists is read.

    Attributes:
        name: "train", "val" or "test"; None if the set has no split.
        images: alternatives for the folder of images, below the root of the set, or one for all of `masks`.
        masks: alternatives for the folder (or COCO file) of masks, in the same order, or one for all of `images`.
        num_images: number of images according to the papers; None if they do not state it.
        image_ending: end of an image's stem that its mask's stem lacks (any case).
        mask_ending: end of a mask's stem that its image's stem lacks (any case).
        image_suffixes: file suffixes of images; None for any image format.
        mask_suffixes: file suffixes of masks; None for any image format.
        prefix: start of the stems of the files that are read.
    """

    name: str | None
    images: tuple[str, ...]
    masks: tuple[str, ...]
    num_images: int | None = None
    image_ending: str = ""
    mask_ending: str = ""
    image_suffixes: tuple[str, ...] | None = None
    mask_suffixes: tuple[str, ...] | None = None
    prefix: str = ""


@dataclass(frozen=True)
class Layout:
    """One public data set.

    Attributes:
        name: the prefix that selects it, `NAME:PATH`.
        title: its name in the papers.
        protocol: how its papers score predictions; a value of `samtune evaluate --protocol`.
        source: where it can be downloaded.
        licence: as its authors state it; `CHECK_LICENCE` if their wording could not be read.
        parts: its folders.
        caveat: peculiarities of the download and how they are handled; "" for none.
        options: fields of `DataOptions`, by name.
        mask_storage: how masks are stored if they are not label maps: "files" (one per object), "coco" (outlines) or
            "grey" (levels, thresholded at one half).
        wrappers: folders that may contain all others.
    """

    name: str
    title: str
    protocol: str
    source: str
    licence: str
    parts: tuple[Part, ...]
    caveat: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    mask_storage: str = ""
    wrappers: tuple[str, ...] = ()

    @property
    def part_names(self) -> tuple[str, ...]:
        """Names of its splits, in order."""
        return tuple(dict.fromkeys(part.name for part in self.parts if part.name is not None))


SINET = "the bundles linked from github.com/DengPingFan/SINet"
MORE_FILES = "the usual bundle has more files than the set has images; only an image and a mask of one stem are a pair"
JPEG, PNG = (".jpg", ".jpeg"), (".png",)


def _bundle(name: str) -> tuple[str, ...]:
    """Return the alternatives for the images of a test set, in the bundle of all sets or on its own."""
    return f"TestDataset/{name}/Imgs", f"{name}/Imgs", "Imgs", f"TestDataset/{name}/Image", f"{name}/Image", "Image"


def _masks(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{folder.rpartition('/')[0]}/GT".lstrip("/") for folder in folders)


def _test_only(name: str, num_images: int | None) -> tuple[Part, ...]:
    return (Part("test", _bundle(name), _masks(_bundle(name)), num_images),)


def _saliency(num_images: int | None, images: tuple[str, ...], masks: tuple[str, ...], **more: Any) -> Part:
    """Return a salient-object test set, as its authors publish it or as it is often repacked."""
    repacked = ("Imgs", "Image", "images", "imgs"), ("GT", "Mask", "masks", "gt")
    return Part("test", (*images, *repacked[0]), (*masks, *repacked[1]), num_images, **more)


CAMOUFLAGE = (
    Layout(
        "camo", "CAMO", "cod", SINET, CHECK_LICENCE,
        (
            Part("train", ("Images/Train",), ("GT",), 1000),
            Part("test", ("Images/Test", *_bundle("CAMO")), ("GT", *_masks(_bundle("CAMO"))), 250),
        ),
        caveat=f"{MORE_FILES} (251 instead of 250)", wrappers=("CAMO-V.1.0-CVIU2019", "CAMO"),
    ),
    Layout(
        "cod10k", "COD10K", "cod", SINET, CHECK_LICENCE,
        (
            Part("train", ("Train/Image",), ("Train/GT_Object",), 3040, prefix="COD10K-CAM"),
            Part(
                "test",
                ("Test/Image", *_bundle("COD10K")),
                ("Test/GT_Object", *_masks(_bundle("COD10K"))),
                2026,
                prefix="COD10K-CAM",
            ),
        ),
        caveat="the full release has images without camouflage (COD10K-NonCAM), which are left out",
        wrappers=("COD10K-v3", "COD10K-v2", "COD10K"),
    ),
    Layout(
        "cod_train", "CAMO and COD10K training images in one bundle", "cod", SINET, CHECK_LICENCE,
        (Part("train", ("TrainDataset/Imgs", "TrainDataset/Image", "Imgs", "Image"),
              ("TrainDataset/GT", "TrainDataset/GT", "GT", "GT"), 4040),),
    ),
    Layout(
        "chameleon", "CHAMELEON", "cod", SINET, CHECK_LICENCE, _test_only("CHAMELEON", 76),
        caveat=f"{MORE_FILES} (77 instead of 76)",
    ),
    Layout(
        "nc4k", "NC4K", "cod", "github.com/JingZhang617/COD-Rank-Localize-and-Segment", CHECK_LICENCE,
        _test_only("NC4K", 4121),
    ),
)  # fmt: skip

SHADOW = (
    Layout(
        "istd", "ISTD", "shadow", "github.com/DeepInsight-PCALab/ST-CGAN", CHECK_LICENCE,
        (
            Part("train", ("train/train_A", "train_A"), ("train/train_B", "train_B"), 1330),
            Part("test", ("test/test_A", "test_A"), ("test/test_B", "test_B"), 540),
        ),
        caveat="A is the image, B the shadow mask, C the image without shadow, which is not read",
        options={"class_names": ("shadow",)}, wrappers=("ISTD_Dataset", "ISTD"),
    ),
    Layout(
        "sbu", "SBU", "shadow", "www3.cs.stonybrook.edu/~cvl/projects/shadow_noisy_label", CHECK_LICENCE,
        (
            Part("train", ("SBUTrain4KRecoveredSmall/ShadowImages",), ("SBUTrain4KRecoveredSmall/ShadowMasks",)),
            Part("test", ("SBU-Test/ShadowImages",), ("SBU-Test/ShadowMasks",)),
        ),
        options={"class_names": ("shadow",)}, wrappers=("SBU-shadow", "SBU"),
    ),
)  # fmt: skip

SALIENCY = (
    Layout(
        "duts", "DUTS", "sod", "saliencydetection.net/duts", CHECK_LICENCE,
        (
            Part("train", ("DUTS-TR/DUTS-TR-Image", "DUTS-TR-Image"), ("DUTS-TR/DUTS-TR-Mask", "DUTS-TR-Mask"), 10553),
            Part("test", ("DUTS-TE/DUTS-TE-Image", "DUTS-TE-Image"), ("DUTS-TE/DUTS-TE-Mask", "DUTS-TE-Mask"), 5019),
        ),
        wrappers=("DUTS",),
    ),
    Layout(
        "ecssd", "ECSSD", "sod", "www.cse.cuhk.edu.hk/leojia/projects/hsaliency/dataset.html", CHECK_LICENCE,
        (_saliency(1000, ("images",), ("ground_truth_mask",)),), wrappers=("ECSSD",),
    ),
    Layout(
        "dut_omron", "DUT-OMRON", "sod", "saliencydetection.net/dut-omron", CHECK_LICENCE,
        (_saliency(5168, ("DUT-OMRON-image", "DUT-OMRON-image/DUT-OMRON-image", "DUT-OMRON-image"),
                   ("pixelwiseGT-new-PNG", "DUT-OMRON-gt-pixelwise.zip/pixelwiseGT-new-PNG",
                    "DUT-OMRON-gt-pixelwise.zip/pixelwiseGT-new-PNG")),),
        wrappers=("DUT-OMRON", "DUTS-OMRON", "DUT_OMRON"),
    ),
    Layout(
        "hku_is", "HKU-IS", "sod", "i.cs.hku.hk/~gbli/deep_saliency.html", CHECK_LICENCE,
        (_saliency(4447, ("imgs",), ("gt",)),), wrappers=("HKU-IS",),
    ),
    Layout(
        "pascal_s", "PASCAL-S", "sod", "cbs.ic.gatech.edu/salobj", CHECK_LICENCE,
        (
            _saliency(
                850, ("Imgs", "PASCAL-S/Imgs"), ("Imgs", "PASCAL-S/Imgs"),
                image_suffixes=JPEG, mask_suffixes=PNG,
            ),
        ),
        mask_storage="grey",
        caveat="images (.jpg) and masks (.png) may share one folder and are distinguished by suffix; grey levels "
        "of masks are thresholded at one half and cached",
        wrappers=("PASCAL-S",),
    ),
)  # fmt: skip

MEDICAL = (
    Layout(
        "kvasir_seg", "Kvasir-SEG", "polyp", "datasets.simula.no/kvasir-seg",
        "research and education only; commercial use needs written permission",
        (Part(None, ("images",), ("masks",), 1000),),
        caveat="masks are JPEG, with values above one half for polyps; no official split (papers use 900 + 100 or 880 "
        "+ 120 images)",
        options={"class_names": ("polyp",)}, wrappers=("Kvasir-SEG",),
    ),
    Layout(
        "cvc_clinicdb", "CVC-ClinicDB (CVC-612)", "polyp", "polyp.grand-challenge.org/CVCClinicDB", CHECK_LICENCE,
        (Part(None, ("Original", "PNG/Original"), ("Ground Truth", "PNG/Ground Truth"), 612),),
        caveat="frames of one video look alike, so split by sequence, not at random",
        options={"class_names": ("polyp",)}, wrappers=("CVC-ClinicDB",),
    ),
    Layout(
        "pranet_polyp", "Kvasir-SEG and CVC-ClinicDB as PraNet split them", "polyp",
        "the bundles linked from github.com/DengPingFan/PraNet", CHECK_LICENCE,
        (
            Part("train", ("TrainDataset/images", "TrainDataset/image", "TrainDataset/image"),
                 ("TrainDataset/masks", "TrainDataset/mask", "TrainDataset/masks"), 1450),
            Part("test", ("TestDataset/Kvasir/images",), ("TestDataset/Kvasir/masks",), 100),
            Part("test", ("TestDataset/CVC-ClinicDB/images",), ("TestDataset/CVC-ClinicDB/masks",), 62),
        ),
        options={"class_names": ("polyp",)}, wrappers=("TrainDataset", "TestDataset"),
    ),
    Layout(
        "isic2017", "ISIC 2017, task 1", "skin", "challenge.isic-archive.com/landing/2017/42", CHECK_LICENCE,
        tuple(
            Part(name, (f"ISIC-2017_{word}_Data",), (f"ISIC-2017_{word}_Part1_GroundTruth",), num,
                 mask_ending="_segmentation", image_suffixes=JPEG, mask_suffixes=PNG)
            for name, word, num in (("train", "Training", 2000), ("val", "Validation", 150), ("test", "Test_v2", 600))
        ),
        caveat="superpixel maps (_superpixels.png) are in the folder of images; only .jpg files are images",
        options={"class_names": ("lesion",)},
    ),
)  # fmt: skip

SCENES = (
    Layout(
        "leaf", "Leaf disease segmentation with train/valid split", "leaf",
        "www.kaggle.com/datasets/sovitrath/leaf-disease-segmentation-with-trainvalid-split", CHECK_LICENCE,
        (
            Part("train", ("orig_data/train_images", "train_images"), ("orig_data/train_masks", "train_masks")),
            Part("val", ("orig_data/valid_images", "valid_images"), ("orig_data/valid_masks", "valid_masks")),
        ),
        caveat="orig_data is read, not the augmented copies beside it; folder names are taken from a public script "
        "that reads it", options={"class_names": ("disease",)},
        wrappers=("leaf_disease_segmentation",),
    ),
    Layout(
        "mass_roads", "Massachusetts roads", "road", "www.cs.toronto.edu/~vmnih/data", CHECK_LICENCE,
        tuple(
            Part(name, (f"{word}/sat", f"tiff/{kaggle}", kaggle), (f"{word}/map", f"tiff/{kaggle}_labels",
                 f"{kaggle}_labels"), num)
            for name, word, kaggle, num in (
                ("train", "train", "train", 1108), ("val", "valid", "val", 14), ("test", "test", "test", 49),
            )
        ),
        caveat="images are .tiff, masks .tif, paired by stem; the version on Kaggle (balraj98) is read too",
        options={"class_names": ("road",)}, wrappers=("mass_roads",),
    ),
    Layout(
        "trans10k", "Trans10K-v2", "trans10k", "github.com/xieenze/Trans2Seg", CHECK_LICENCE,
        tuple(
            Part(name, (f"{word}/images",), (f"{word}/masks_12",), mask_ending="_mask")
            for name, word in (("train", "train"), ("val", "validation"), ("test", "test"))
        ),
        caveat="palette files hold ids 0 to 11 and are read as ids, never as colours; id 8 (wall) is called floor "
        "glass in the authors' code; the eleven classes keep their ids even if a part lacks one, and 255 is ignored; "
        "masks of the first version (masks/) are not read",
        options={
            "class_names": (
                "shelf", "jar", "freezer", "window", "door", "eyeglass", "cup", "wall", "bowl", "bottle", "box",
            ),
            "ids": tuple(range(1, 12)), "ignore_label": 255, "instances": False,
        },
        wrappers=("Trans10K_v2", "Trans10K"),
    ),
)  # fmt: skip

MICROSCOPY = (
    Layout(
        "organoid_basic", "OrganoidBasic (OrgaSegment)", "microscopy", "zenodo.org/records/10278229", CHECK_LICENCE,
        tuple(
            Part(name, (word,), (word,), image_ending="_img", mask_ending="_masks_organoid")
            for name, word in (("train", "train"), ("val", "val"), ("test", "eval"))
        ),
        caveat="images and masks share a folder, as *_img.jpg and *_masks_organoid.png; eval is the test part",
        options={"class_names": ("organoid",), "instances": True}, wrappers=("OrganoidBasic_v20211206",),
    ),
    Layout(
        "emps", "EMPS", "microscopy",
        "github.com/by256/emps, www.kaggle.com/datasets/batuhanyil/electron-microscopy-particle-segmentation",
        CHECK_LICENCE,
        (Part(None, ("images",), ("segmaps",), 465),),
        caveat="masks hold one id per particle, 32 bit",
        options={"class_names": ("particle",), "instances": True}, wrappers=("emps-main", "emps"),
    ),
    Layout(
        "livecell", "LIVECell", "microscopy", "sartorius-research.github.io/LIVECell", "CC BY-NC 4.0",
        tuple(
            Part(name, (f"images/{folder}",), (f"livecell_coco_{name}.json", f"annotations/livecell_coco_{name}.json",
                 f"annotations/LIVECell/livecell_coco_{name}.json"))
            for name, folder in (
                ("train", "livecell_train_val_images"), ("val", "livecell_train_val_images"),
                ("test", "livecell_test_images"),
            )
        ),
        caveat="masks are outlines in COCO files, drawn into the cache; train and val share a folder, and the "
        "files list the images of each part; images may be in one folder or in a folder per cell type",
        options={"class_names": ("cell",), "instances": True}, mask_storage="coco",
        wrappers=("LIVECell_dataset_2021", "LIVECell"),
    ),
    Layout(
        "dsb2018", "2018 Data Science Bowl, stage 1", "microscopy",
        "bbbc.broadinstitute.org/BBBC038", "CC0 1.0",
        (Part(None, ("stage1_train",), ("stage1_train",), 670),),
        caveat="one folder per image with one mask file per nucleus, merged into the cache; "
        "stage1_test has no masks and is not read",
        options={"class_names": ("nucleus",), "instances": True}, mask_storage="files",
    ),
)  # fmt: skip

LAYOUTS = {
    layout.name: layout for group in (CAMOUFLAGE, SHADOW, SALIENCY, MEDICAL, SCENES, MICROSCOPY) for layout in group
}
"""Name -> public data set."""
