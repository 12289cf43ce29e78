"""Specialists in Python and notebooks: what they take, what they say, and how objects show themselves."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from samtune import Dataset, Specialist, open_dataset, read_image
from samtune.adapters import AdapterCard
from samtune.data import DataOptions, make_samples
from samtune.errors import ConfigError, DataError, ShapeError
from samtune.notebook import html_card, one_line_repr
from samtune.types import Prediction
from tests.test_progress import Recorder

HW = (20, 30)
RGB = np.random.default_rng(0).integers(0, 256, (*HW, 3), dtype=np.uint8)
GREY = RGB[..., 0]


class Seen:
    """Stands in for a model, and keeps the images that reach it."""

    batch_size = 2

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []
        self.card = AdapterCard(
            method="ptsam", fields={}, base="nano", base_sha256="", class_names=("<b>cell</b>",), side=64,
            pixel_mean=(0, 0, 0), pixel_std=(1, 1, 1), metrics={"iou_per_image": 0.91234}, num_images=16,
        )  # fmt: skip

    def images(self, images: list[np.ndarray]) -> list[Prediction]:
        self.seen += images
        return [Prediction(image[..., 0], image[None, ..., 0].astype(np.float32)) for image in images]


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def specialist(seen: Seen, tmp_path: Path) -> Specialist:
    return Specialist(tmp_path / "none", None, seen)  # type: ignore[arg-type]


def test_images_of_any_kind_reach_the_model_as_rgb_bytes(specialist: Specialist, seen: Seen, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(RGB).save(file)
    grey = np.repeat(GREY[..., None], 3, axis=2)
    alpha = np.dstack([RGB, np.full(HW, 7, np.uint8)])
    cases: list[tuple[Any, np.ndarray]] = [
        (RGB, RGB), (GREY, grey), (GREY[..., None], grey), (alpha, RGB), (GREY > 99, (grey > 99) * np.uint8(255)),
        (Image.fromarray(RGB), RGB), (Image.fromarray(GREY), grey), (Image.fromarray(alpha), RGB),
        (Image.fromarray(GREY > 99), (grey > 99) * np.uint8(255)),
        (str(file), RGB), (file, RGB),
    ]  # fmt: skip
    for image, expected in cases:
        assert len(specialist.predict(image)) == 1
        np.testing.assert_array_equal(seen.seen[-1], expected)
    specialist.predict([image for image, _ in cases])
    for got, (_, expected) in zip(seen.seen[-len(cases) :], cases, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert len(specialist.probabilities(np.stack([RGB, RGB, RGB]))) == 3
    assert specialist.predict([]) == []


def test_other_depths_are_scaled_like_files_and_said_once(specialist: Specialist, seen: Seen, tmp_path: Path) -> None:
    deep = np.random.default_rng(1).integers(100, 4000, HW).astype(np.uint16)
    file = tmp_path / "deep.png"
    Image.fromarray(deep).save(file)
    expected = read_image(file)
    recorder = Recorder()
    for image in (deep, deep.astype(np.int32), deep.astype(np.float64) / 4000, Image.fromarray(deep)):
        specialist.predict([image, image], progress=recorder)
        np.testing.assert_allclose(seen.seen[-1].astype(int), expected, atol=1)
    specialist.predict(file, progress=recorder)
    assert [call[0] for call in recorder.calls] == ["said"]
    assert "percentiles 0.5 and 99.5" in str(recorder.calls[0][1])


@pytest.mark.parametrize(
    ("images", "error", "text"),
    [
        (None, ShapeError, "got None"),
        (3, ShapeError, "got int"),
        (b"a.png", ShapeError, "got bytes"),
        ({"a": RGB}, ShapeError, "got dict"),
        ([None], ShapeError, "image 0 .* got None"),
        ([RGB, [[1, 2], [3, 4]]], ShapeError, "image 1 .* got list"),
        (RGB[..., :2], ShapeError, r"1, 3 or 4 channels .* \(20, 30, 2\)"),
        (RGB.transpose(2, 0, 1), ShapeError, r"\(3, 20, 30\); pass several images as a list"),
        ([RGB[:0]], ShapeError, "with pixels"),
        (np.zeros(5), ShapeError, r"\(5,\)"),
        (GREY.astype(complex), ShapeError, "got complex"),
        (GREY.astype(str), ShapeError, "got <U"),
        (np.where(GREY > 9, 1.0, np.nan), DataError, "NaN or infinite"),
        ("no/such/file.png", DataError, "does not exist"),
        (["no/such/file.png"], DataError, "file.png"),
        ("", DataError, "empty string"),
        ("a\0b", DataError, "Expected a path"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused_in_one_sentence(
    specialist: Specialist, images: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        specialist.predict(images)
    assert "\n" not in str(caught.value)


def test_a_damaged_pil_image_is_named(specialist: Specialist) -> None:
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "PNG")
    with pytest.raises(DataError, match="Cannot decode image 0"):
        specialist.predict([Image.open(io.BytesIO(stream.getvalue()[:300]))])


def test_fit_reports_to_the_progress_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_samples("cells", tmp_path, num=4, seed=3, size_hw=(64, 72))
    datasets: list[Dataset] = []

    def stop(_settings: Any, dataset: Dataset, *_: Any, **__: Any) -> None:
        datasets.append(dataset)
        raise RuntimeError("reached the training")

    monkeypatch.setattr("samtune.specialist.train", stop)

    def fit(images: Any = tmp_path / "images", masks: Any = tmp_path / "masks", **settings: Any) -> Dataset:
        with pytest.raises(RuntimeError, match="reached the training"):
            Specialist.fit(images, masks, **settings)
        return datasets[-1]

    assert fit(class_names=["cell"]).class_names == ("cell",)
    assert "masks" in capsys.readouterr().err.lower()
    recorder = Recorder()
    fit(progress=recorder)
    assert any(call[0] == "said" for call in recorder.calls)
    fit(progress=False)
    assert capsys.readouterr().err == ""

    images, masks = (sorted((tmp_path / name).iterdir()) for name in ("images", "masks"))
    from_files = fit(images, masks, progress=False)
    assert [pair.image for pair in from_files.pairs] == images
    mixed = fit([Image.open(images[0]), str(images[1])], [masks[0], Image.open(masks[1])], progress=False)
    assert len(mixed) == 2
    with pytest.raises(ConfigError, match="class names once"):
        Specialist.fit(images, masks, class_names=["a"], options=DataOptions(class_names=("b",)))
    with pytest.raises(ConfigError, match="`progress`"):
        Specialist.fit(images, masks, progress="loud")  # type: ignore[arg-type]
    for wrong in (None, 5, RGB):
        with pytest.raises(ShapeError, match="Expected images"):
            Specialist.fit(wrong, masks)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"Expected mask 0 .* got None"):
        Specialist.fit([images[0]], [None])  # type: ignore[list-item]
    with pytest.raises(DataError, match="image 0"):
        Specialist.fit([tmp_path / "none.png"], [masks[0]])


def test_objects_show_themselves_in_one_line_and_in_escaped_html(specialist: Specialist, tmp_path: Path) -> None:
    assert repr(specialist) == (
        "Specialist(method='ptsam', base='nano', classes=['<b>cell</b>'], images=16, iou_per_image=0.912)"
    )
    page = specialist._repr_html_()
    assert "&lt;b&gt;cell&lt;/b&gt;" in page
    assert "<b>cell" not in page
    assert "<td>0.912</td>" in page
    make_samples("cells", tmp_path, num=3, seed=3, size_hw=(64, 72))
    dataset = open_dataset(tmp_path / "images", tmp_path / "masks")
    assert repr(dataset).startswith("Dataset(images=3, classes=['foreground'], masks=")
    assert "<td>3</td>" in dataset._repr_html_()


def test_a_line_has_no_line_breaks_and_a_card_no_markup() -> None:
    assert one_line_repr("A", {"b": "c\nd", "e": 0.5, "f": {"g": None}}) == "A(b='c\\nd', e=0.500, f={'g': None})"
    page = html_card("A", {"<b>": ["<i>"]}, header=("<h>",), rows=[("<script>",)], sentences=["x < y"])
    assert "<script>" not in page
    assert "x &lt; y" in page
