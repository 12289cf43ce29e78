"""Train, predict, evaluate and train on the predictions: the classes and the values of the masks stay the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from samtune.adapters import read_card
from samtune.data import DataOptions, open_dataset
from tests.cli.conftest import Run
from tests.data.folders import save

COLOURS = np.array([(90, 90, 90), (250, 20, 20), (20, 250, 20), (20, 20, 250)], np.uint8)
SIDE = 96


def areas(num_classes: int, seed: int) -> np.ndarray:
    """A label map with a square of each class at a place of its own."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for label, corner in enumerate(rng.permutation(4)[:num_classes], start=1):
        y, x = divmod(int(corner), 2)
        labels[48 * y + 2 : 48 * y + 46, 48 * x + 2 : 48 * x + 46] = label
    return labels


def write_set(root: Path, table: np.ndarray, num: int, seed: int = 0) -> tuple[Path, Path]:
    """Coloured squares, and masks whose label k has the value `table[k]`."""
    for index in range(num):
        labels = areas(len(table) - 1, seed + index)
        noise = np.random.default_rng(seed + index).integers(-9, 10, (SIDE, SIDE, 3))
        image = np.clip(COLOURS[labels].astype(int) + noise, 0, 255).astype(np.uint8)
        save(root / "images" / f"{index}.png", image)
        save(root / "masks" / f"{index}.png", table[labels])
    return root / "images", root / "masks"


RGB = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0)], np.uint8)
CASES: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {
    "10/20/200": (np.array([0, 10, 20, 200], np.uint8), ()),
    "0/1": (np.array([0, 1], np.uint8), ()),
    "0/255": (np.array([0, 255], np.uint8), ()),
    "colours": (RGB, ("--colour", "road=#ff0000,tree=#00ff00")),
}


@pytest.mark.parametrize("name", CASES)
def test_predictions_are_read_as_the_classes_of_training(name: str, run: Run, base: Path, tmp_path: Path) -> None:
    table, words = CASES[name]
    images, masks = write_set(tmp_path / "a", table, 4)
    quick = (
        "--base",
        base,
        "--method",
        "probe",
        "--set",
        "views=1",
        "--updates",
        40,
        "--device",
        "cpu",
        "--no-report",
        "--json",
    )
    trained = run("train", images, masks, "--out", tmp_path / "run", *quick, *words)
    assert trained.code == 0, trained.err
    new, truth = write_set(tmp_path / "b", table, 2, seed=50)
    predicted = run("predict", tmp_path / "run", new, "--out", tmp_path / "out", "--json")
    assert predicted.code == 0, predicted.err
    values = list(predicted.json["values"].values())
    assert values == table.tolist()

    first = open_dataset(images, masks, options_of(words))
    card = read_card(tmp_path / "run" / "specialist")
    for given in (None, card.values.options(card.class_names)):
        again = open_dataset(new, tmp_path / "out", given or options_of(words))
        assert again.class_names == first.class_names
        assert again.mask_values == first.mask_values
    for specialist, target in ((tmp_path / "run", truth), (tmp_path / "run" / "specialist", tmp_path / "out")):
        scored = run("evaluate", specialist, new, target, "--no-report", "--json")
        assert scored.code == 0, scored.err
        assert list(scored.json["per_class"]) == list(first.class_names)
    assert scored.json["rows"]["specialist"]["iou_pooled"] == 1

    retrained = run("train", new, tmp_path / "out", "--out", tmp_path / "second", *quick, *words)
    assert retrained.code == 0, retrained.err
    second = read_card(tmp_path / "second" / "specialist")
    assert (second.class_names, second.values) == (first.class_names, first.mask_values)


def options_of(words: tuple[str, ...]) -> DataOptions:
    if "--colour" in words:
        return DataOptions(colours={"road": (255, 0, 0), "tree": (0, 255, 0)})
    return DataOptions()


def test_a_test_set_without_objects_is_scored_and_not_trained_on(run: Run, base: Path, tmp_path: Path) -> None:
    images, masks = write_set(tmp_path / "a", np.array([0, 10, 20, 200], np.uint8), 6)
    quick = ("--base", base, "--set", "views=1", "--updates", 2, "--device", "cpu", "--no-report", "--json")
    empty = write_set(tmp_path / "b", np.array([0, 0, 0, 0], np.uint8), 3, seed=50)
    trained = run(
        "train", images, masks, "--val-images", empty[0], "--val-masks", empty[1], "--out", tmp_path / "run", *quick
    )
    assert trained.code == 0, trained.err
    assert 0 <= trained.json["validation"]["iou_per_image"] <= 1
    for specialist in (tmp_path / "run", tmp_path / "run" / "specialist"):
        scored = run("evaluate", specialist, *empty, "--no-report", "--json")
        assert scored.code == 0, scored.err
        assert list(scored.json["per_class"]) == ["class_10", "class_20", "class_200"]
        assert any("No mask has any object" in line for line in scored.err.splitlines())
    refused = run("train", *empty, "--out", tmp_path / "other", *quick)
    assert refused.code == 2
    assert "all masks are empty" in refused.err
