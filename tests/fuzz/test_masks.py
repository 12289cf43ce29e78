"""Masks of any values, and mask files that are damaged: `open_dataset` and `inspect` give labels or one sentence."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from samtune.data import inspect, open_dataset
from samtune.data.options import DataOptions
from samtune.errors import SamTuneError
from tests.data.folders import disc, picture, save
from tests.fuzz.guard import cases, survives
from tests.fuzz.mutations import damaged

HW = (24, 32)
DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64"]
INTERESTING = [
    0,
    1,
    2,
    3,
    10,
    20,
    127,
    128,
    254,
    255,
    256,
    1000,
    65535,
    2**31 - 1,
    -1,
    -32768,
    0.5,
    np.nan,
    np.inf,
    -np.inf,
]


@pytest.fixture(autouse=True, scope="module")
def limits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMTUNE_MAX_BYTES", str(64 * 2**20))
        patch.setenv("SAMTUNE_MAX_PIXELS", "20000000")
        yield


def tiff(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, photometric="minisblack", planarconfig="contig" if pixels.ndim == 3 else None)
    return out.getvalue()


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@st.composite
def drawn(draw: st.DrawFn) -> bytes:
    """A mask of a few regions and specks, of any dtype and values, whole."""
    with np.errstate(all="ignore"):
        dtype = np.dtype(draw(st.sampled_from(DTYPES)))
        worth = np.array(draw(st.lists(st.sampled_from(INTERESTING), min_size=1, max_size=5)), np.float64)
        if dtype.kind != "f":
            bounds = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype.name).min, np.iinfo(dtype.name).max)
            worth = np.clip(np.nan_to_num(worth), *bounds)
        rng = np.random.default_rng(draw(st.integers(0, 1000)))
        regions = np.minimum(np.arange(HW[1]) * len(worth) // HW[1], len(worth) - 1)[None].repeat(HW[0], 0)
        if draw(st.booleans()):
            specks = rng.random(HW) < 0.02
            regions = np.where(specks, rng.integers(0, len(worth), HW), regions)
        pixels = worth[regions].astype(dtype)
        if draw(st.integers(0, 5)) == 0:
            pixels = np.stack([pixels] * draw(st.integers(2, 4)), -1)
    return png(pixels) if pixels.dtype == np.uint8 and pixels.ndim == 2 and draw(st.booleans()) else tiff(pixels)


VALID = [png(disc(HW) * np.uint8(255)), tiff(disc(HW)), png(np.stack([disc(HW) * np.uint8(200)] * 3, -1))]

options = st.sampled_from(
    [
        {},
        {"num_classes": 1},
        {"num_classes": 3},
        {"class_names": ("a", "b")},
        {"ignore_label": 255},
        {"ignore_label": -1},
        {"ids": (1, 2)},
        {"ids": (10, 20, 2**31 - 1)},
        {"instances": True},
        {"instances": False},
        {"colours": {"a": (255, 0, 0), "b": (0, 255, 0)}},
    ]
)


def work(root: Path, options: dict[str, Any]) -> Any:
    inspect(root / "images", root / "masks", DataOptions(**options))
    dataset = open_dataset(root / "images", root / "masks", DataOptions(**options))
    dataset.describe()
    return [dataset.labels(index) for index in range(len(dataset))]


@cases(400)
@given(masks=st.lists(st.one_of(drawn(), drawn(), damaged(VALID)), min_size=1, max_size=2), options=options)
def test_masks_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, masks: list[bytes], options: dict[str, Any]
) -> None:
    root = Path(tmp_path_factory.getbasetemp()) / "fuzz-masks"
    shutil.rmtree(root, ignore_errors=True)
    for index, content in enumerate([*masks, VALID[0]]):
        save(root / "images" / f"{index}.png", picture(index, HW))
        suffix = ".png" if content.startswith(b"\x89PNG") else ".tif"
        (root / "masks").mkdir(exist_ok=True)
        (root / "masks" / f"{index}{suffix}").write_bytes(content)
    labels = survives(lambda: work(root, options))
    if not isinstance(labels, SamTuneError):
        assert all(label.dtype == np.uint8 for label in labels)
