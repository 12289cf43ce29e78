from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from samtune.data import read_image
from samtune.errors import ConfigError, DataError
from samtune.outputs import LIST_FILE
from samtune.predict import load_predictor, predict_folder
from tests.comparing import assert_same_labels
from tests.predict.conftest import write_specialist


def read(file: Path) -> np.ndarray:
    pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    return np.asarray(pixels)


def contents(folder: Path) -> list[str]:
    """The files in a folder, without the list of what was written there."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in files if name != LIST_FILE)


def test_masks_have_the_inputs_stem_and_size(specialist: Path, samples: Path, tmp_path: Path) -> None:
    predictor = load_predictor(specialist, batch_size=2, device="cpu")
    written = predict_folder(predictor, [samples / "images"], tmp_path, probabilities=True, overlays=True)
    assert not written.skipped
    assert len(written.files) == 5
    file = samples / "images" / "cells_003.png"
    found = predictor.images([read_image(file)])[0]
    assert_same_labels(read(tmp_path / "cells_003.png"), found.labels * 255)
    probability = read(tmp_path / "cells_003_prob.png")
    assert probability.dtype == np.uint16
    np.testing.assert_allclose(probability / 65535, found.probabilities[0], atol=2e-5)
    assert read(tmp_path / "cells_003_overlay.jpg").shape == (80, 112, 3)


def test_several_classes_are_written_as_ids(base: Path, samples: Path, tmp_path: Path) -> None:
    adapter = write_specialist(base, tmp_path / "adapter", class_names=("a", "b"))
    predictor = load_predictor(adapter, device="cpu")
    file = samples / "images" / "cells_000.png"
    predict_folder(predictor, [file], tmp_path / "out", probabilities=True)
    names = ["cells_000.png", "cells_000_prob_1.png", "cells_000_prob_2.png"]
    assert contents(tmp_path / "out") == names
    assert_same_labels(read(tmp_path / "out" / "cells_000.png"), predictor.images([read_image(file)])[0].labels)


def test_folders_are_kept_and_equal_stems_do_not_overwrite(specialist: Path, samples: Path, tmp_path: Path) -> None:
    source, image = tmp_path / "in", samples / "images" / "cells_000.png"
    for name in ("a/x.png", "b/x.png", "b/x.jpg", "y_prob.png", "y.png"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(source / name), read(image))
    predictor = load_predictor(specialist, device="cpu")
    written = predict_folder(predictor, [source, source / "y.png"], tmp_path / "out", probabilities=True)
    masks = sorted(file.relative_to(tmp_path / "out").as_posix() for file in written.files)
    assert masks == ["a/x.png", "b/x.jpg.png", "b/x.png.png", "y.png.png", "y_prob.png.png"]
    assert "would share a name" in written.notes[0]
    assert len(contents(tmp_path / "out")) == 10


def test_two_folders_with_equal_names(specialist: Path, samples: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copy(samples / "images" / "cells_000.png", tmp_path / folder / "x.png")
    predictor = load_predictor(specialist, device="cpu")
    predict_folder(predictor, [tmp_path / "one", str(tmp_path / "tw*")], tmp_path / "out")
    assert contents(tmp_path / "out") == ["one/x.png.png", "two/x.png.png"]


def test_what_cannot_be_read_stops_nothing(specialist: Path, samples: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    shutil.copytree(samples / "images", source)
    (source / "cells_001.png").write_bytes(b"no image")
    (source / "cells_004.png").write_bytes((source / "cells_004.png").read_bytes()[:2000])
    predictor = load_predictor(specialist, batch_size=2, device="cpu")
    written = predict_folder(predictor, [source], tmp_path / "out")
    assert [Path(row["file"]).name for row in written.skipped] == ["cells_001.png", "cells_004.png"]
    assert contents(tmp_path / "out") == ["cells_000.png", "cells_002.png", "cells_003.png"]


def test_tiffs_that_are_cut_off_stop_nothing_and_what_changed_is_said(
    specialist: Path, samples: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    pixels = read(samples / "images" / "cells_000.png")[..., 0].astype(np.float32)
    pixels[:, :9] = np.nan
    tifffile.imwrite(source / "a.tif", pixels, photometric="minisblack")
    tifffile.imwrite(source / "b.tif", np.stack([pixels] * 3), photometric="minisblack")
    data = (source / "b.tif").read_bytes()
    for length in (0, 7, 200, 5000, len(data) // 4):
        (source / f"cut_{length}.tif").write_bytes(data[:length])
    os.mkfifo(source / "pipe.png")
    predictor = load_predictor(specialist, batch_size=2, device="cpu")
    written = predict_folder(predictor, [source], tmp_path / "out")
    assert sorted(Path(row["file"]).name for row in written.skipped) == [
        "cut_0.tif", "cut_200.tif", f"cut_{len(data) // 4}.tif", "cut_5000.tif", "cut_7.tif",
    ]  # fmt: skip
    assert contents(tmp_path / "out") == ["a.png", "b.png"]
    assert any("2 images with NaN" in note for note in written.notes)
    assert any("1 image with several pages" in note for note in written.notes)


@pytest.mark.parametrize("inputs", [["."], ["x.png"], ["*.png"], ["sub"]])
def test_an_input_is_never_overwritten(
    specialist: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: list[str]
) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("x.png", "sub/x.png"):
        shutil.copy(samples / "images" / "cells_000.png", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    predictor = load_predictor(specialist, device="cpu")
    out = "sub" if inputs == ["sub"] else "."
    with pytest.raises(ConfigError, match="a folder without inputs"):
        predict_folder(predictor, inputs, out)


def test_an_output_folder_inside_the_input_is_no_input(specialist: Path, samples: Path, tmp_path: Path) -> None:
    shutil.copytree(samples / "images", tmp_path / "in")
    predictor = load_predictor(specialist, device="cpu")
    for _ in range(2):
        assert len(predict_folder(predictor, [tmp_path / "in"], tmp_path / "in" / "masks").files) == 5


def test_missing_inputs_are_all_told(specialist: Path, tmp_path: Path) -> None:
    predictor = load_predictor(specialist, device="cpu")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"nowhere\.png does not exist.*empty holds no image"):
        predict_folder(predictor, [tmp_path / "nowhere.png", tmp_path / "empty"], tmp_path / "out")
