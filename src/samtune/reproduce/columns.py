"""Columns of the papers' tables, with the data and measure of each, and our method for each row."""

from __future__ import annotations

from dataclasses import dataclass

from samtune.data.public_sets import LAYOUTS


@dataclass(frozen=True)
class Column:
    """One column of a paper's table.

    Attributes:
        name: key in `published.csv`.
        train: layout and part of the training data, such as "istd/train".
        test: layout and part of the test data.
        protocol: protocol of `samtune evaluate`.
        measure: key of the value in the evaluation's result.
        scale: factor from our value to the unit of the paper.
        folder: name of the folder whose test images are scored; None for all test images.
        at: side in pixels of the square that the paper's code scores at; None for each image's original size.
        shots: number of training images, validation included; None for all.
    """

    name: str
    train: str
    test: str
    protocol: str
    measure: str
    scale: float = 1.0
    folder: str | None = None
    at: int | None = 1024
    shots: int | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Layouts, with part, of the data that the column needs."""
        return tuple(dict.fromkeys((self.train, self.test)))


def _camouflage(name: str, test: str, train: str, scale: float) -> tuple[Column, ...]:
    measures = {"S": "s_measure", "E": "e_mean", "Fbeta_w": "weighted_f_beta03", "MAE": "mae"}
    return tuple(Column(f"{name}_{key}", train, test, "cod", value, scale) for key, value in measures.items())


def _percent(name: str, train: str, test: str, protocol: str, measures: dict[str, str]) -> tuple[Column, ...]:
    return tuple(Column(f"{name}_{key}", train, test, protocol, value, 100.0) for key, value in measures.items())


_DICE = {"dice": "dice_per_image"}
_OVERLAP = {"iou": "iou_per_image"} | _DICE
_TRANS10K = (
    {"acc": "pixel_accuracy_pooled", "miou": "miou_without_background_pooled", "bg": "iou_pooled_background"}
    | {name: f"iou_pooled_{name}" for name in LAYOUTS["trans10k"].options["class_names"]}
)  # fmt: skip

_CONV_LORA = (
    *(
        Column(f"{name}_{key}", "pranet_polyp/train", "pranet_polyp/test", "polyp", measure, 100.0, folder)
        for name, folder in (("kvasir", "Kvasir"), ("cvc612", "CVC-ClinicDB"))
        for key, measure in (("S", "s_measure"), ("E", "e_mean"))
    ),
    *_percent(
        "isic2017", "isic2017/train", "isic2017/test", "skin", {"jaccard": "iou_per_image", "dice": "dice_per_image"}
    ),
    *_camouflage("camo", "camo/test", "cod_train/train", 100.0)[:3],
    Column("sbu_BER", "sbu/train", "sbu/test", "shadow", "ber_percent_per_image"),
    *_percent("leaf", "leaf/train", "leaf/val", "leaf", _OVERLAP),
    *_percent("road", "mass_roads/train", "mass_roads/test", "road", _OVERLAP),
    *_percent("trans10k", "trans10k/train", "trans10k/test", "trans10k", _TRANS10K),
)

_TS_SAM = (
    *(
        column
        for name in ("chameleon", "camo", "cod10k", "nc4k")
        for column in _camouflage(name, f"{name}/test", "cod_train/train", 1.0)
    ),
    Column("istd_BER", "istd/train", "istd/test", "shadow", "ber_percent_per_image"),
    *(
        column
        for name in ("duts", "ecssd", "dut_omron", "hku_is", "pascal_s")
        for column in _camouflage(name, f"{name}/test", "duts/train", 1.0)
    ),
)

_PTSAM = tuple(
    Column(f"{name}_{key}", train, test, protocol, measure, at=None, shots=16)
    for name, train, test, protocol in (
        ("organoid_basic", "organoid_basic/train", "organoid_basic/test", "microscopy"),
        ("emps", "emps", "emps", "microscopy"),
        ("livecell", "livecell/train", "livecell/test", "microscopy"),
        ("kvasir_seg", "kvasir_seg", "kvasir_seg", "polyp"),
    )
    for key, measure in _OVERLAP.items()
)

COLUMNS = {
    paper: {column.name: column for column in columns}
    for paper, columns in (("conv-lora", _CONV_LORA), ("ts-sam", _TS_SAM), ("ptsam", _PTSAM))
}
"""Paper -> column name -> column."""

METHODS_OF = {
    "conv-lora": {
        "SAM trained from scratch": "scratch", "decoder-only": "decoder_only", "BitFit": "bitfit",
        "Adapter": "adapter", "VPT": "vpt", "LST": "lst", "SAM-Adapter": "sam_adapter", "SSF": "ssf",
        "LoRA": "lora", "Conv-LoRA": "conv_lora",
    },
    "ts-sam": {"TS-SAM": "ts_sam", "SAM-Adapter": "sam_adapter"},
    "ptsam": {"PTSAM": "ptsam", "PTSAM with encoder prompts": "ptsam_encoder"},
}  # fmt: skip
"""Paper -> row -> our method; other rows (other systems) are listed but not run."""

BASES = {"conv-lora": "facebook/sam-vit-huge", "ts-sam": "facebook/sam-vit-huge", "ptsam": "facebook/sam-vit-base"}
"""Paper -> base; our choice for TS-SAM and PTSAM, whose text was not available."""

CAVEATS = {
    "conv-lora": (
        "The authors' validation splits are not known; a tenth of the training images is used for validation.",
        "The leaf test part is the `valid` part of the public download; the authors' own division is not known.",
        "The published mIoU of Trans10K-v2 excludes the background in SAM's rows, not in TransLab's and Trans2Seg's.",
    ),
    "ts-sam": (
        "The numbers of TS-SAM's own tables were not available, so its cells are empty.",
        "The public code selects its checkpoint on a test set; here a tenth of the training images is used for that.",
        "Training SOD models on DUTS-TR is common practice; TS-SAM's own split could not be checked.",
    ),
    "ptsam": (
        "PTSAM's tables, measure and splits were not available; IoU and Dice per image at original size are ours.",
        "Where a set names no test part, all images that the run did not use are scored.",
    ),
}
"""Paper -> caveats on comparing our numbers with the published ones."""
