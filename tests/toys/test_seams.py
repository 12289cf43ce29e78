"""Proof of the seams: a base, a task and a method, one file each, go through everything by their registered names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from samtune.adapters import read_card
from samtune.bases import FAMILIES, register_family
from samtune.compare import Cell, CompareSettings, Comparison, compare, here
from samtune.data import Dataset, open_dataset
from samtune.methods import METHODS
from samtune.predict import evaluate
from samtune.run_folder import RunFolder
from samtune.tasks import TASKS, register_task
from samtune.training import TrainSettings, train
from samtune.types import Features
from tests.cli.conftest import Run, run
from tests.toys.toy_base import ToyEncoder, ToyFamily, write_toy
from tests.toys.toy_method import ToyMethod
from tests.toys.toy_task import INSIDE, ToyTask, agreement

__all__ = ["run"]

NAMES = {"task": ToyTask.name, "method": ToyMethod.name}
NUM_IMAGES = 12


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Register one row in each table, and write a base and images with a disc of either of two classes."""
    folder = tmp_path_factory.mktemp("toys")
    write_toy(folder / "base")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :80]
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(NUM_IMAGES):
        centre, label = rng.integers(24, 40, 2), 1 + number % 2
        inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 18**2
        pixels = rng.integers(20, 60, (64, 80, 3)) + np.where(inside, 90 + 60 * label, 0)[..., None]
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / "images" / f"{number:02d}.png")
        Image.fromarray((inside * label).astype(np.uint8)).save(folder / "masks" / f"{number:02d}.png")
    register_family(ToyFamily())
    register_task(ToyTask())
    METHODS[ToyMethod.name] = ToyMethod
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SAMTUNE_CACHE", str(folder / "cache"))
            yield folder
    finally:
        del FAMILIES[ToyFamily.name], TASKS[ToyTask.name], METHODS[ToyMethod.name]


@pytest.fixture(scope="module")
def dataset(toys: Path) -> Dataset:
    opened = open_dataset(toys / "images", toys / "masks")
    assert opened.num_classes == 2
    return opened


def settings(toys: Path, **changes: Any) -> TrainSettings:
    """Return those of a run whose features are computed once."""
    own: dict[str, Any] = {"base": str(toys / "base"), "device": "cpu", "views": 1, "evaluations": 5} | NAMES
    return TrainSettings(**(own | changes))


@pytest.fixture(scope="module")
def trained(toys: Path, dataset: Dataset) -> RunFolder:
    train(settings(toys), dataset, toys / "run")
    return RunFolder(toys / "run")


@pytest.fixture(scope="module")
def comparison(toys: Path, dataset: Dataset) -> Comparison:
    given = CompareSettings(
        methods=(ToyMethod.name, "ptsam"), shots=(6,), num_seeds=1, base=str(toys / "base"), updates=30, num_test=4,
        device="cpu", more={"task": ToyTask.name, "views": 1},
    )  # fmt: skip
    return compare(given, dataset, toys / "compared", run=here)


def test_the_loss_is_the_tasks_and_decreases(trained: RunFolder) -> None:
    losses = [row["loss"] for row in trained.read_history() if "loss" in row]
    assert max(losses) < 1  # a squared difference of probabilities
    assert np.mean(losses[-3:]) < 0.6 * losses[0]
    assert trained.read_metrics()["plan"]["loss"] == "squared"


def test_the_headline_selects_the_step_that_is_kept(trained: RunFolder) -> None:
    scores = {row["step"]: row[f"val_{ToyTask.headline.key}"] for row in trained.read_history() if len(row) > 4}
    stored = trained.read_metrics()
    assert stored["best_step"] == max(scores, key=lambda step: (scores[step], -step))
    assert stored["validation"][ToyTask.headline.key] == max(scores.values()) > 0.9


def test_the_card_names_the_task_and_its_maps(trained: RunFolder) -> None:
    card = read_card(trained.specialist)
    assert (card.task, card.method, card.maps, len(card.class_names)) == (ToyTask.name, ToyMethod.name, 1, 2)


def test_features_are_computed_once(toys: Path, dataset: Dataset, trained: RunFolder) -> None:
    train(settings(toys, val=0), dataset, toys / "first")
    with pytest.MonkeyPatch.context() as patch:
        forward = ToyEncoder.forward

        def of_no_image(self: ToyEncoder, pixels: Tensor) -> Features:
            assert pixels.shape[-1] < 64, "an image is encoded again"
            return forward(self, pixels)

        patch.setattr(ToyEncoder, "forward", of_no_image)
        train(settings(toys, val=0), dataset, toys / "second")
    first, second = (RunFolder(toys / name).read_history() for name in ("first", "second"))
    assert [row["loss"] for row in first] == [row["loss"] for row in second]


def test_predict_writes_the_answer_of_the_task(toys: Path, dataset: Dataset, trained: RunFolder, run: Run) -> None:
    out = toys / "predicted"
    done = run("predict", trained.path, toys / "images", "--out", out, "--probabilities", "--overlay")
    assert done.code == 0, done.err
    for index, pair in enumerate(dataset.pairs):
        mask = np.array(Image.open(out / f"{pair.stem}_absence.png"))
        assert set(np.unique(mask)) == {0, INSIDE}
        truth = ToyTask().annotation(dataset, index)
        assert agreement(mask, truth) > 0.9
        assert (out / f"{pair.stem}_prob.png").is_file()  # of one map, though there are two classes
    assert len(list(out.glob("*_prob*.png"))) == NUM_IMAGES


def test_evaluate_scores_what_predict_writes(toys: Path, dataset: Dataset, trained: RunFolder, run: Run) -> None:
    done = run("evaluate", trained.path, toys / "images", toys / "masks", "--json", "--no-report")
    assert done.code == 0, done.err
    assert set(done.json["headline"]) == {ToyTask.headline.key}
    assert set(done.json["rows"]) == {"specialist", "stock_sam", "probe"}
    out = toys / "for-scores"
    run("predict", trained.path, toys / "images", "--out", out)
    values = [
        agreement(np.array(Image.open(out / f"{pair.stem}_absence.png")), ToyTask().annotation(dataset, index))
        for index, pair in enumerate(dataset.pairs)
    ]
    found = {name: row[ToyTask.headline.key] for name, row in done.json["rows"].items()}
    assert found["specialist"] == pytest.approx(np.mean(values), abs=1e-6)
    assert found["probe"] > 0.8  # fitted to what the map stands for
    assert "agreement of" in done.json["verdict"][0]


def test_the_headline_ranks_in_compare(comparison: Comparison) -> None:
    assert not comparison.failures
    content = comparison.to_json()
    means = {row["row"]: row[ToyTask.headline.key] for row in content["rows"]}
    trained = {row: means[row] for row in (ToyMethod.name, "ptsam", "probe")}
    assert content["best"] == max(trained, key=lambda row: trained[row])
    assert min(means[row] for row in (ToyMethod.name, "probe", "blurred_colour", "unet")) > 0.7
    assert comparison.results.table_rows()[0][4:6] == list(ToyTask.columns)
    assert "agreement of" in content["advice"][0]


def test_a_cell_scores_what_evaluate_scores(comparison: Comparison, dataset: Dataset) -> None:
    test = dataset.subset(comparison.job.test)
    scores = evaluate(comparison.runs(ToyMethod.name, 6)[0], test, device="cpu", tell=False)
    record = comparison.results.records[Cell(ToyMethod.name, 6, 0)]
    assert record["metrics"][ToyTask.headline.key] == pytest.approx(
        scores.value("specialist", ToyTask.headline.key), abs=0.02
    )


def test_the_verbs_take_the_names(toys: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--base", toys / "base", "--set", f"task={ToyTask.name}", "--set", "views=1", "--device", "cpu"]
    data = [toys / "images", toys / "masks"]
    trained = run("train", *data, "--out", toys / "by-verb", "--method", ToyMethod.name, "--updates", 5, *words)
    assert trained.code == 0, trained.err
    assert "agreement 0." in trained.out
    monkeypatch.setattr("samtune.compare.compare", partial(compare, run=here))
    compared = run(
        "compare", *data, "--out", toys / "compared-by-verb", "--methods", ToyMethod.name, "--shots", 6, "--seeds", 1,
        "--updates", 5, "--test", 4, *words,
    )  # fmt: skip
    assert compared.code == 0, compared.err
    assert "agreement per image on the test images" in compared.out
