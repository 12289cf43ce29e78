"""From the values of masks to the values that predictions are written with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from samtune.data import DataOptions, MaskValues, open_dataset
from samtune.data.masks import MaskEncoding
from tests.data.folders import disc, make_folder

D = disc()
HALF = np.where(np.arange(32) < 16, 1, 2).astype(np.uint8) * D
WHITE = np.uint8(255)
RED_GREEN = {"road": (255, 0, 0), "tree": (0, 255, 0)}


def of_values(*values: int, dtype: type = np.uint8) -> np.ndarray:
    """A mask with background and two classes of these values."""
    painted: np.ndarray = np.array(values, dtype)[HALF]
    return painted


def rgb(*colours: tuple[int, int, int]) -> np.ndarray:
    painted: np.ndarray = np.array(colours, np.uint8)[HALF]
    return painted


CASES: dict[str, tuple[np.ndarray, DataOptions, tuple[int, ...], bool]] = {
    "0/255": (D * WHITE, DataOptions(), (0, 255), False),
    "0/1": (D, DataOptions(), (0, 1), False),
    "0/7": (D * np.uint8(7), DataOptions(), (0, 7), False),
    "16 bit 0/65535": (D.astype(np.uint16) * np.uint16(65535), DataOptions(), (0, 65535), False),
    "0/1 with 255 ignored": (np.where(np.arange(24)[:, None] < 2, WHITE, D), DataOptions(), (0, 1), False),
    "trimap": (of_values(2, 1, 3), DataOptions(background=(2,), ids=(1, 3)), (2, 1, 3), False),
    "2 on 1": (D + np.uint8(1), DataOptions(background=(1,)), (1, 2), False),
    "0 is a class": (of_values(7, 0, 5), DataOptions(background=(7,), ids=(0, 5)), (7, 0, 5), False),
    "above 300": (D.astype(np.uint16) * np.uint16(400), DataOptions(threshold=300), (0, 65535), False),
    "above 1": (HALF, DataOptions(threshold=1), (0, 255), False),
    "alpha": (np.dstack([D * 0, D * 0, D * 0, D * WHITE]), DataOptions(), (0, 255), False),
    "float": (D.astype(np.float32) * np.float32(0.9), DataOptions(), (0, 255), False),
    "ids": (HALF, DataOptions(), (0, 1, 2), False),
    "ids with gaps": (of_values(0, 20, 200), DataOptions(), (0, 20, 200), False),
    "ids in another order": (of_values(0, 20, 200), DataOptions(ids=(200, 20)), (0, 200, 20), False),
    "an absent id": (of_values(0, 1, 3), DataOptions(num_classes=3), (0, 1, 2, 3), False),
    "16 bit ids": (of_values(0, 300, 4000, dtype=np.uint16), DataOptions(instances=False), (0, 300, 4000), False),
    "32 bit ids": (
        of_values(0, 7, 70000, dtype=np.int32), DataOptions(num_classes=2, instances=False), (0, 7, 70000), False,
    ),
    "objects": (HALF, DataOptions(instances=True), (0, 255), False),
    "red": (rgb((0, 0, 0), (255, 0, 0), (255, 0, 0)), DataOptions(), (0, 0xFF0000), True),
    "colours": (
        rgb((0, 0, 0), (255, 0, 0), (0, 255, 0)), DataOptions(colours=RED_GREEN), (0, 0xFF0000, 0x00FF00), True,
    ),
    "colours on white": (
        rgb((255, 255, 255), (255, 0, 0), (0, 255, 0)),
        DataOptions(colours={"background": (255, 255, 255), **RED_GREEN}), (0xFFFFFF, 0xFF0000, 0x00FF00), True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_label_maps_get_the_values_of_the_masks_and_are_read_alike(name: str, tmp_path: Path) -> None:
    mask, options, values, colours = CASES[name]
    suffix = ".tif" if mask.dtype.kind == "f" or mask.dtype.itemsize > 2 else ".png"
    dataset = open_dataset(*make_folder(tmp_path / "first", [mask], suffix=suffix), options)
    mask_values = dataset.mask_values
    assert (mask_values.values, mask_values.colours) == (values, colours)
    labels = dataset.labels(0)
    labels = np.where(labels == 255, 0, labels).astype(np.uint8)
    written = mask_values.apply(labels)
    assert written.shape == (labels.shape if not colours else (*labels.shape, 3))
    assert mask_values.suffix == (".tif" if max(values) > 65535 and not colours else ".png")
    written = written.astype(np.int32) if written.dtype == np.uint32 else written
    again = open_dataset(
        *make_folder(tmp_path / "again", [written], suffix=mask_values.suffix), mask_values.options(dataset.class_names)
    )
    np.testing.assert_array_equal(again.labels(0), labels)
    assert again.class_names == dataset.class_names
    assert again.mask_values == mask_values


def test_values_where_the_mask_has_none_of_its_own() -> None:
    assert MaskValues.default(1).values == (0, 255)
    assert MaskValues.default(3).values == (0, 1, 2, 3)
    zero_is_a_class = MaskEncoding("ids", "value", ((0, 1), (1, 2), (2, 255)), None, 2, "")
    assert MaskValues.of(zero_is_a_class).values == (3, 0, 1)
    negative = MaskEncoding("ids", "value", ((-1, 1), (5, 2)), None, 2, "")
    assert MaskValues.of(negative).values == (0, 1, 2)
