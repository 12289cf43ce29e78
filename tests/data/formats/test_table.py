"""Detection of formats by content, and a format added from this file alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from samtune.data import DataOptions, find_pairs, inspect, open_dataset
from samtune.data.formats.format import Certainty, Detection, Records
from samtune.data.formats.table import FORMATS, detect_format
from samtune.data.public_sets import LAYOUTS
from samtune.errors import DataError
from samtune.types import Pair, Problem
from tests.data.folders import binary_folder, disc, picture, save


class Boxes:
    """A toy format: `boxes.json` beside the images, {image: [top, left, bottom, right]}, and the name of the class."""

    name = "boxes"
    expects = "a folder of images with boxes.json"

    def __init__(self, cache: Path) -> None:
        self.cache = cache

    def detect(self, images: Path, masks: Path | None) -> Detection | None:
        if masks is not None or not (images / "boxes.json").is_file():
            return None
        return Detection(Certainty.CONTENT, "boxes.json lists boxes")

    def read(self, images: Path, masks: Path | None, options: DataOptions) -> Records:
        content = json.loads((images / "boxes.json").read_text())
        pairs, problems = [], []
        for image, (top, left, bottom, right) in content["boxes"].items():
            if not (images / image).is_file():
                problems.append(Problem("unpaired", image, "is named only in boxes.json", "add the image", False))
                continue
            mask = np.zeros((24, 32), np.uint8)
            mask[top:bottom, left:right] = 1
            file = save(self.cache / f"{Path(image).stem}.png", mask)
            pairs.append(Pair(Path(image).with_suffix("").as_posix(), images / image, file))
        options = DataOptions(class_names=(content["class"],)) if options.class_names is None else options
        return Records(tuple(pairs), tuple(problems), ("Boxes were drawn as masks",), options)


@pytest.fixture
def boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Register the toy format and write a folder of its kind."""
    monkeypatch.setitem(FORMATS, "boxes", Boxes(tmp_path / "cache"))
    for number in range(3):
        save(tmp_path / "images" / "sub" / f"{number}.png", picture(number))
    areas = {f"sub/{number}.png": [2, 3, 10, 15 + number] for number in range(4)}
    (tmp_path / "images" / "boxes.json").write_text(json.dumps({"class": "cell", "boxes": areas}))
    return tmp_path / "images"


def test_a_format_of_one_file_is_detected_read_and_inspected(boxes: Path) -> None:
    dataset = open_dataset(boxes)
    assert dataset.class_names == ("cell",)
    assert [pair.stem for pair in dataset.pairs] == ["0", "1", "2"]
    assert dataset.label_counts[:, 1].tolist() == [8 * 12, 8 * 13, 8 * 14]
    assert dataset.labels(1)[2:10, 3:16].all()
    assert "Boxes were drawn as masks" in dataset.notes
    assert any("1 file(s) without a partner" in note for note in dataset.notes)
    assert open_dataset(boxes, options=DataOptions(class_names=("nucleus",))).class_names == ("nucleus",)
    findings = inspect(boxes)
    assert (findings.num_pairs, [problem.kind for problem in findings.problems]) == (3, ["unpaired"])


def test_a_path_of_two_formats_is_refused_and_each_name_reads_it(boxes: Path) -> None:
    for number in range(3):
        save(boxes / "sub" / f"{number}_mask.png", disc() * np.uint8(255))
    with pytest.raises(DataError) as caught:
        open_dataset(boxes)
    message = str(caught.value)
    assert message.startswith(f"{boxes}: can be read as ")
    assert "boxes.json lists boxes" in message
    assert "_mask.png is named like a mask" in message
    assert f"`boxes:{boxes}`" in message
    assert f"`folders:{boxes}`" in message
    assert open_dataset(f"boxes:{boxes}").class_names == ("cell",)
    assert [pair.mask.name for pair in open_dataset(f"folders:{boxes}").pairs] == [f"{n}_mask.png" for n in range(3)]


def test_content_wins_over_a_possible_format(boxes: Path) -> None:
    detection = FORMATS["folders"].detect(boxes, None)
    assert detection is not None
    assert detection.certainty == Certainty.POSSIBLE
    assert detect_format(boxes, None) is FORMATS["boxes"]


def test_a_path_that_no_format_reads_is_refused_with_the_formats(boxes: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")
    for images, masks in ((tmp_path / "notes.pdf", None), (boxes, tmp_path / "notes.pdf")):
        with pytest.raises(DataError, match=r"notes\.pdf: no format reads this path; .*boxes\.json"):
            find_pairs(images, masks)
    for images, masks in ((tmp_path / "absent", None), (boxes, tmp_path / "absent")):
        with pytest.raises(DataError, match=r"absent: no such file or folder"):
            find_pairs(images, masks)


def test_names_of_formats_and_of_public_sets_differ() -> None:
    assert not set(FORMATS) & set(LAYOUTS)
    assert all(name == each.name and name.replace("_", "").isalpha() for name, each in FORMATS.items())


def manifest(root: Path, first: str, name: str = "pairs.csv") -> Path:
    (root / name).write_text(f"{first}\nimages/0.png,masks/0.png\n")
    return root / name


def test_each_format_is_detected_by_its_content(tmp_path: Path) -> None:
    images, masks = binary_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    save(tmp_path / "beside" / "a.png", picture())
    save(tmp_path / "beside" / "a_mask.png", disc())
    os.mkfifo(tmp_path / "pipe.csv")
    content, possible = Certainty.CONTENT, Certainty.POSSIBLE
    expected: list[tuple[str, Path, Path | None, Certainty | None]] = [
        ("folders", images, masks, content),
        ("folders", tmp_path, None, content),
        ("folders", tmp_path / "beside", None, content),
        ("folders", tmp_path / "beside", tmp_path / "beside", content),
        ("folders", images, None, possible),
        ("folders", images, tmp_path / "empty", possible),
        ("folders", images, tmp_path / "absent", None),
        ("manifest", manifest(tmp_path, "image,mask"), None, content),
        ("manifest", manifest(tmp_path, '\ufeff"Image";note;label', "semicolons.tsv"), None, content),
        ("manifest", manifest(tmp_path, "no,columns", "other.txt"), None, possible),
        ("manifest", manifest(tmp_path, "image,mask", "pairs.json"), None, None),
        ("manifest", tmp_path / "pipe.csv", None, None),
        ("manifest", images, masks, None),
        ("public_set", Path(f"cod10k/test:{tmp_path}"), None, Certainty.NAMED),
        ("public_set", images, masks, None),
    ]
    for name, first, second, certainty in expected:
        detection = FORMATS[name].detect(first, second)
        assert (detection and detection.certainty) == certainty, (name, first, second)
    with pytest.raises(DataError, match="cod10k"):
        FORMATS["public_set"].detect(Path(f"cod10k/none:{tmp_path}"), None)
