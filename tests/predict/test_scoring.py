from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from samtune.bases import load_base
from samtune.data import DataOptions, open_dataset, read_image, split, split_record, to_input
from samtune.data.views.resizing import resize_labels
from samtune.errors import ConfigError, DataError
from samtune.methods import Probe
from samtune.metrics import EXPLAINED, PROTOCOLS, saliency
from samtune.predict import evaluate, load_predictor
from samtune.segment import to_original
from samtune.tasks import Areas
from tests.predict.conftest import write_specialist


def iou(predicted: np.ndarray, target: np.ndarray) -> float:
    union = ((predicted == 1) | (target == 1)).sum()
    return float(((predicted == 1) & (target == 1)).sum() / union) if union else 1.0


@pytest.fixture
def run(base: Path, samples: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A run folder as training leaves it: three images seen, a probe."""
    folder = tmp_path / "run"
    write_specialist(base, folder / "specialist", getattr(request, "param", "ptsam"))
    dataset = open_dataset(samples / "images", samples / "masks")
    parts = split(dataset, shots=3, val=0.34)
    (folder / "split.json").write_text(json.dumps(split_record(dataset, parts)))
    generator = torch.Generator().manual_seed(0)
    Probe(torch.randn(1, 16, generator=generator), torch.zeros(1)).save(folder / "probe.safetensors")
    return folder


@pytest.mark.parametrize(
    "run",
    ["ptsam", "lora", "ptsam_encoder", "sam_adapter", "ts_sam", "lst", "full", "scratch", "probe"],
    indirect=True,
)
def test_every_row_equals_its_own_model(run: Path, base: Path, samples: Path) -> None:
    dataset = open_dataset(samples / "images", samples / "masks")
    found = evaluate(run, dataset, batch_size=2, device="cpu")
    stock = load_base(base)
    probe = Probe.load(run / "probe.safetensors")
    predictor = load_predictor(run, device="cpu")
    for index, pair in enumerate(dataset.pairs):
        target, image = dataset.labels(index), read_image(pair.image)
        pixels, geometry = to_input(image, stock.spec)
        with torch.no_grad():
            features = stock.encode(pixels[None])
            planes = {"stock_sam": stock.decode(features)[0], "probe": probe.logits(features)[0]}
        labels = {name: Areas().decide(to_original(p, geometry), 0.5) for name, p in planes.items()}
        labels["specialist"] = predictor.images([image])[0].labels
        for name, predicted in labels.items():
            assert found.metric_by_image[name][pair.stem] == pytest.approx(iou(predicted, target), abs=0.01)
    mean = np.mean(list(found.metric_by_image["specialist"].values()))
    assert found.rows["specialist"].iou_per_image == pytest.approx(mean)


def test_seen_images_are_known_by_content(run: Path, samples: Path, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for file in (samples / folder).iterdir():
            shutil.copy(file, tmp_path / folder / f"renamed_{file.name}")
    dataset = open_dataset(tmp_path / "images", tmp_path / "masks")
    told = evaluate(run, dataset, device="cpu")
    assert told.num_images == 5
    assert any("trained or validated on 3 of these 5 images" in note for note in told.notes)
    left = evaluate(run, dataset, unseen=True, device="cpu")
    assert left.num_images == 2
    seen = [i for i in range(5) if dataset.pairs[i].stem not in left.metric_by_image["specialist"]]
    with pytest.raises(DataError, match="got none of 3: 3 were trained"):
        evaluate(run, dataset.subset(seen), unseen=True, device="cpu")


def test_the_json_and_the_table(run: Path, samples: Path, tmp_path: Path) -> None:
    found = evaluate(run / "specialist", open_dataset(samples / "images", samples / "masks"), device="cpu")
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert list(content) == [
        "num_images", "protocol", "tta", "resolution", "headline", "rows", "verdict", "per_class", "regressions",
        "skipped", "notes",
    ]  # fmt: skip
    assert list(content["rows"]) == ["specialist", "stock_sam", "probe"]
    assert content["num_images"] == 5
    assert content["protocol"] == "default"
    assert {"iou_per_image", "dice_per_image", "iou_pooled", "worst"} <= set(content["rows"]["probe"])
    assert list(content["per_class"]) == ["cell"]
    rows = list(csv.DictReader(found.write_per_image(tmp_path / "sub" / "scores.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == [f"cells_{i:03d}" for i in range(5)]
    assert float(rows[2]["stock_sam_iou"]) == pytest.approx(found.metric_by_image["stock_sam"]["cells_002"])


def test_a_specialist_alone_has_no_probe_and_knows_nothing_seen(specialist: Path, samples: Path) -> None:
    dataset = open_dataset(samples / "images", samples / "masks")
    found = evaluate(specialist, dataset, device="cpu")
    assert list(found.rows) == ["specialist", "stock_sam"]
    assert any("with a split.json" in note for note in found.notes)
    assert any("cell = foreground" in note for note in found.notes)
    with pytest.raises(ConfigError, match="Expected a run folder for --unseen"):
        evaluate(specialist, dataset, unseen=True, device="cpu")


def test_several_classes_have_no_stock_row(base: Path, samples: Path, tmp_path: Path) -> None:
    adapter = write_specialist(base, tmp_path, class_names=("a", "b"))
    dataset = open_dataset(samples / "images", samples / "masks")
    with pytest.raises(DataError, match=r"the 2 classes of .* \(a, b\), got 1 \(foreground\)"):
        evaluate(adapter, dataset, device="cpu")
    shutil.copytree(samples / "images", tmp_path / "images")
    (tmp_path / "masks").mkdir()
    for file in (samples / "masks").iterdir():
        ids = (np.asarray(cv2.imread(str(file), 0)) > 0).astype(np.uint8)
        ids[:, 50:] *= 2
        cv2.imwrite(str(tmp_path / "masks" / file.name), ids)
    two = open_dataset(tmp_path / "images", tmp_path / "masks", DataOptions(class_names=("a", "b")))
    found = evaluate(adapter, two, device="cpu")
    assert list(found.rows) == ["specialist"]
    assert any("2 classes" in note for note in found.notes)
    assert list(found.to_json()["per_class"]) == ["a", "b"]


def test_an_image_that_breaks_is_skipped(run: Path, samples: Path, tmp_path: Path) -> None:
    shutil.copytree(samples / "images", tmp_path / "images")
    dataset = open_dataset(tmp_path / "images", samples / "masks")
    (tmp_path / "images" / "cells_002.png").write_bytes(b"gone")
    found = evaluate(run, dataset, device="cpu")
    assert found.num_images == 4
    assert [Path(row["file"]).name for row in found.skipped] == ["cells_002.png"]


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_every_protocol_runs_and_says_what_it_measured(run: Path, samples: Path, protocol: str) -> None:
    found = evaluate(run, open_dataset(samples / "images", samples / "masks"), protocol=protocol, device="cpu")
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (content["protocol"], content["resolution"]) == (protocol, "native")
    assert content["headline"] == {key: EXPLAINED[key] for key in PROTOCOLS[protocol].headline}
    for row in found.rows:
        for key in content["headline"]:
            assert content["rows"][row][key] == found.value(row, key)


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_set_without_any_object_has_scores(run: Path, samples: Path, tmp_path: Path, protocol: str) -> None:
    """Each value is a number or not defined; an image without prediction and without object has IoU 1, else 0."""
    (tmp_path / "masks").mkdir()
    for file in (samples / "masks").iterdir():
        cv2.imwrite(str(tmp_path / "masks" / file.name), np.zeros((80, 112), np.uint8))
    dataset = open_dataset(samples / "images", tmp_path / "masks", DataOptions(class_names=("cell",)), allow_empty=True)
    found = evaluate(run, dataset, protocol=protocol, device="cpu")
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["num_images"] == 5
    predictor = load_predictor(run, device="cpu")
    threshold = PROTOCOLS[protocol].threshold
    for index, pair in enumerate(dataset.pairs):
        prediction = predictor.images([dataset.image(index)])[0]
        own = prediction.labels > 0 if threshold is None else prediction.probabilities[0] > threshold
        assert found.metric_by_image["specialist"][pair.stem] == float(not own.any())
    assert {key: content["rows"]["specialist"][key] is None for key in content["headline"]} == {
        key: key in UNDEFINED_WITHOUT_OBJECTS for key in content["headline"]
    }


UNDEFINED_WITHOUT_OBJECTS = frozenset(
    {"hd95_per_image", "seg_per_image", "sensitivity", "auroc"}
    | {f"{key}_percent_{over}" for key in ("ber", "shadow_error") for over in ("per_image", "pooled")}
)


def test_maps_and_thresholds_are_the_models_own(run: Path, samples: Path) -> None:
    dataset = open_dataset(samples / "images", samples / "masks")
    predictor = load_predictor(run, device="cpu")
    cod = evaluate(run, dataset, protocol="cod", device="cpu")
    shadow = evaluate(run, dataset, protocol="shadow", device="cpu")
    for index, pair in enumerate(dataset.pairs):
        plane, target = predictor.images([dataset.image(index)])[0].probabilities[0], dataset.labels(index) == 1
        expected = saliency.s_measure(saliency.stretch(plane), target)
        assert cod.values["specialist"][pair.stem]["s_measure"] == pytest.approx(expected, abs=1e-3)
        called = plane > 125 / 255
        missed, false = 100 * (~called[target]).mean(), 100 * called[~target].mean()
        found = shadow.values["specialist"][pair.stem]
        assert found["ber_percent"] == pytest.approx((missed + false) / 2, abs=0.5)


def test_squashed_to_a_square(run: Path, samples: Path) -> None:
    dataset = open_dataset(samples / "images", samples / "masks")
    found = evaluate(run, dataset, protocol="microscopy", at=64, device="cpu")
    assert found.to_json()["resolution"] == "squashed to 64 x 64"
    native = evaluate(run, dataset, protocol="microscopy", device="cpu")
    assert found.metric_by_image != native.metric_by_image
    counts = found.per_image["specialist"][0].counts
    squashed = resize_labels(dataset.labels(0), (64, 64))
    assert counts.tp[0] + counts.fn[0] == (squashed == 1).sum()
    doubled = evaluate(run, dataset, protocol="microscopy", spacing=2.0, device="cpu")
    for row in native.rows:
        value = native.value(row, "hd95_per_image")
        assert doubled.value(row, "hd95_per_image") == (None if value is None else pytest.approx(2 * value))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"protocol": "codd"}, "did you mean 'cod'"),
        ({"at": 3}, "16 to 8192"),
        ({"spacing": 0.5}, "protocol microscopy"),
        ({"protocol": "microscopy", "spacing": 0.5, "at": 64}, "no --at"),
        ({"protocol": "microscopy", "spacing": -1.0}, "spacing > 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(run: Path, samples: Path, settings: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        evaluate(run, open_dataset(samples / "images", samples / "masks"), device="cpu", **settings)


def test_objects_are_those_of_the_masks(run: Path, samples: Path, tmp_path: Path) -> None:
    """Two halves of one area have ids of their own: the objects are not the connected areas."""
    (tmp_path / "masks").mkdir()
    shutil.copytree(samples / "images", tmp_path / "images")
    num = 0
    for file in (samples / "masks").iterdir():
        area = (read_image(file)[..., 0] > 0).astype(np.uint16)
        left = np.where(np.arange(area.shape[1]) < area.shape[1] // 2, 1, 2).astype(np.uint16)
        cv2.imwrite(str(tmp_path / "masks" / file.name), area * left)
        num += len(np.unique(area * left)) - 1
    options = DataOptions(class_names=("cell",), instances=True)
    dataset = open_dataset(tmp_path / "images", tmp_path / "masks", options)
    found = evaluate(run, dataset, protocol="microscopy", at=128, device="cpu")
    assert found.value("specialist", "num_objects") == num


def test_regressions_are_the_images_where_a_baseline_did_better(run: Path, samples: Path, tmp_path: Path) -> None:
    found = evaluate(run, open_dataset(samples / "images", samples / "masks"), device="cpu")
    expected = {
        (name, row): found.metric_by_image[row][name] - mine
        for name, mine in found.metric_by_image["specialist"].items()
        for row in ("stock_sam", "probe")
        if found.metric_by_image[row][name] > mine
    }
    assert {(r.name, r.baseline): r.loss for r in found.regressions} == pytest.approx(expected)
    assert [r.loss for r in found.regressions] == sorted((r.loss for r in found.regressions), reverse=True)
    rows = list(csv.DictReader(found.write_per_image(tmp_path / "scores.csv").read_text().splitlines()))
    assert {(row["name"], word) for row in rows for word in row["regression"].split()} == set(expected)
