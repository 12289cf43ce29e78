"""What --recipe chooses, what it says of that, and that a squashed run is remembered."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from samtune.adapters import load_specialist, read_card
from samtune.data import open_dataset
from samtune.data.views.orientation import Orientation
from samtune.errors import ConfigError
from samtune.methods import METHODS, Recipe, WithPaperRecipe, method_fields
from samtune.methods.seam.recipes import CONV_LORA_RECIPE, SIDE_RECIPE, Augmentations
from samtune.predict import evaluate, load_predictor
from samtune.training import Plan, RunFolder, TrainSettings, plan_run, train
from samtune.training.recipe import choose_recipe, settle_views
from tests.training.test_train import three_classes
from tests.training.tiny_run import run


def planned(settings: TrainSettings, recipe: Recipe, num_images: int = 12, num_classes: int = 1, **more: Any) -> Plan:
    options: dict[str, Any] = {"cached": False, "num_processes": 1, "cell_pixels": 4} | more
    return plan_run(settings, recipe, num_images=num_images, num_classes=num_classes, **options)


def test_conv_loras_recipe_in_numbers() -> None:
    plan = planned(TrainSettings(recipe="paper"), CONV_LORA_RECIPE, cached=True)
    assert (plan.updates, plan.batch_size, plan.accumulate, plan.evaluate_every) == (90, 4, 4, 3)
    assert (plan.weight_decay, plan.decay_all, plan.clip_norm, plan.patience) == (1e-4, False, 1.0, 10)
    assert (plan.loss, plan.views, plan.ema) == ("structure_published", 2, 0.0)
    assert [plan.rate(step) for step in (0, 45, 89)] == pytest.approx([1e-4, 0.5e-4, 1e-4 / 90])


def test_ts_sams_recipe_in_numbers() -> None:
    plan = planned(TrainSettings(recipe="paper"), SIDE_RECIPE)
    assert (plan.updates, plan.batch_size, plan.evaluate_every, plan.patience) == (480, 2, 6, 0)
    assert (plan.weight_decay, plan.decay_all, plan.clip_norm, plan.loss) == (1e-2, True, 0, "ce_iou")
    for step in range(480):
        expected = 1e-7 + 0.5 * (8e-4 - 1e-7) * (1 + math.cos(math.pi * (step // 6) / 80))
        assert plan.rate(step) == pytest.approx(expected, rel=1e-12)


def test_labels_are_taken_at_the_cells_where_these_are_wide() -> None:
    assert [planned(TrainSettings(), Recipe(), cell_pixels=pixels).loss_side for pixels in (1, 2, 4)] == [
        "input", "input", "logits"
    ]  # fmt: skip
    assert planned(TrainSettings(loss_side="input"), Recipe()).loss_side == "input"
    assert planned(TrainSettings(loss_side="logits"), Recipe(), cell_pixels=2).loss_side == "logits"
    for recipe in (CONV_LORA_RECIPE, SIDE_RECIPE):
        assert planned(TrainSettings(recipe="paper"), recipe).loss_side == "input"
        assert planned(TrainSettings(recipe="paper", loss_side="auto"), recipe).loss_side == "logits"


def test_few_images_get_averaged_predictions_of_views_that_training_showed(caplog: pytest.LogCaptureFixture) -> None:
    recipe = Recipe(few_tta="d4")
    with caplog.at_level(logging.INFO, logger="samtune"):
        assert planned(TrainSettings(), recipe, num_images=16).tta == "d4"
    assert "At most 16 training images, so predictions will be the mean over the eight flips" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="samtune"):
        assert planned(TrainSettings(), recipe, num_images=17).tta == "none"
        assert planned(TrainSettings(tta="none"), recipe).tta == "none"
        assert planned(TrainSettings(recipe="paper"), recipe).tta == "none"
    assert "mean over" not in caplog.text
    assert [planned(TrainSettings(augmentation=word), recipe).tta for word in ("varied", "upright", "flip")] == [
        "d4", "mirror", "mirror"
    ]  # fmt: skip
    assert planned(TrainSettings(tta="d4", augmentation="flip"), Recipe(), num_images=99).tta == "d4"
    with pytest.raises(ConfigError, match="Expected `tta` to be one of none, mirror, d4, got 'all'"):
        TrainSettings(tta="all")  # type: ignore[arg-type]


def test_a_published_loss_for_one_class_gives_way_to_several() -> None:
    assert planned(TrainSettings(), CONV_LORA_RECIPE, num_classes=3).loss == "ce_dice"
    with pytest.raises(ConfigError, match="structure is for one class"):
        planned(TrainSettings(loss="structure"), CONV_LORA_RECIPE, num_classes=3)


@pytest.mark.parametrize(
    ("num_images", "updates", "words"),
    [(12, 150, "these are few, so the method's 150 updates see each 50 times"),
     (60, 150, "see each 10 times"),
     (61, 153, "these are many, so 153 updates instead of the method's 150, that each image is seen 10 times")],
)  # fmt: skip
def test_auto_goes_by_the_number_of_images_and_says_so(
    num_images: int, updates: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="samtune"):
        plan = planned(TrainSettings(), METHODS["lora"].recipe, num_images=num_images)
    assert plan.updates == updates
    assert f"Recipe auto, {num_images} training images: " in caplog.text
    assert words in caplog.text


UPRIGHT, TURNED = Orientation(12, 0.9, 1 / 4096), Orientation(12, 0.01, 0.4)


def never() -> Orientation:
    pytest.fail("the masks need not be looked at")


@pytest.mark.parametrize(("found", "word", "views"), [(UPRIGHT, "flip", 2), (TURNED, "varied", 9)])
def test_the_masks_decide_how_views_differ_and_it_is_said(
    found: Orientation, word: str, views: int, caplog: pytest.LogCaptureFixture
) -> None:
    cases: tuple[tuple[str, Augmentations | None], ...] = (("ptsam", None), ("decoder_only", "auto"))
    for method, given in cases:
        settings = TrainSettings(method=method, augmentation=given)
        with caplog.at_level(logging.INFO, logger="samtune"):
            chosen = settle_views(settings, choose_recipe(settings, 1), lambda: found)
        plan = planned(settings, chosen.recipe, cached=True)
        assert (plan.augmentation, plan.views) == (word, views)
        told = "The masks tell up from down (by chance once in 4,096)" if found.upright else "The masks do not tell up"
        assert chosen.notes[-1].startswith(told)
        assert chosen.notes[-1] in caplog.text
        caplog.clear()
        assert settle_views(settings, choose_recipe(settings, 1), lambda: found, tell=False) == chosen
        assert told not in caplog.text
    assert planned(TrainSettings(), settled("ptsam", found)).tta == ("mirror" if found.upright else "d4")


def settled(method: str, found: Orientation) -> Recipe:
    settings = TrainSettings(method=method)
    return settle_views(settings, choose_recipe(settings, 1), lambda: found).recipe


@pytest.mark.parametrize(
    "given",
    [{"augmentation": "upright"}, {"augmentation": "varied"}, {"views": 0}, {"method": "decoder_only"},
     {"method": "probe"}, {"method": "lora", "recipe": "paper"}],
)  # fmt: skip
def test_masks_are_not_looked_at_where_the_views_are_settled(given: dict[str, Any]) -> None:
    settings = TrainSettings(**{"method": "lora"} | given)
    chosen = choose_recipe(settings, 1)
    assert settle_views(settings, chosen, never) is chosen


def test_what_the_user_sets_wins(caplog: pytest.LogCaptureFixture) -> None:
    settings = TrainSettings(
        recipe="paper", method="conv_lora", method_fields={"paper": False}, epochs=2, batch_size=3, accumulate=1,
        learning_rate=1e-3, weight_decay=0.0, schedule="warmup_cosine", clip_norm=0, loss="bce", augmentation="varied",
        square=False, evaluations=2, patience=0, views=4,
    )  # fmt: skip
    with caplog.at_level(logging.INFO, logger="samtune"):
        chosen = choose_recipe(settings, 1)
        plan = planned(settings, chosen.recipe)
    assert not chosen.square
    assert method_fields(chosen.method)["paper"] is False
    assert (plan.updates, plan.batch_size, plan.accumulate, plan.evaluate_every, plan.patience) == (8, 3, 1, 4, 0)
    assert (plan.learning_rate, plan.weight_decay, plan.schedule, plan.clip_norm) == (1e-3, 0, "warmup_cosine", 0)
    assert (plan.loss, plan.views) == ("bce", 5)
    told = next(line for line in chosen.notes if line.startswith("Set by you"))
    for words in (
        "epochs=2 (published: 30)", "loss=bce (published: structure_published)", "square=false (published: true)",
        "learning_rate=0.001 (published: 0.0001)", "method.paper=false (published: true)",
    ):  # fmt: skip
        assert words in told
    assert told in caplog.text


def test_nothing_is_told_against_the_recipe_where_nothing_is_set() -> None:
    chosen = choose_recipe(TrainSettings(recipe="paper", method="ts_sam"), 1)
    assert not any(note.startswith("Set by you") for note in chosen.notes)
    again = choose_recipe(TrainSettings(recipe="paper", method="ts_sam", updates=7), 1)
    assert again.notes[-1] == "Set by you against the published recipe: updates=7 (published: 80 epochs)."


@pytest.mark.parametrize("name", METHODS)
def test_auto_is_the_methods_own_recipe_and_paper_its_sources(name: str) -> None:
    auto = choose_recipe(TrainSettings(method=name), 1)
    assert (auto.recipe, auto.square, auto.notes) == (METHODS[name].recipe, False, ())
    paper = choose_recipe(TrainSettings(method=name, recipe="paper"), 1)
    known = isinstance(METHODS[name], WithPaperRecipe)
    assert known == (name not in ("ptsam", "ptsam_encoder", "full", "probe"))
    assert paper.square == known
    assert (paper.recipe == METHODS[name].recipe) == (not known)
    assert ("by the recipe of its source" if known else "no source at hand") in paper.notes[0]
    if "paper" in method_fields(paper.method):
        assert method_fields(paper.method)["paper"] is True
        assert "with method.paper=true" in paper.notes[0]


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [("conv_lora", {}, {"paper": True, "head": "queries", "num_queries": 12}),
     ("lora", {"head": "class_tokens"}, {"head": "class_tokens", "num_queries": 10}),
     ("decoder_only", {"head": "queries", "num_queries": 20}, {"head": "queries", "num_queries": 20}),
     ("sam_adapter", {}, {"paper": False}),
     ("ts_sam", {}, {"paper": True})],
)  # fmt: skip
def test_several_classes(method: str, given: dict[str, Any], expected: dict[str, Any]) -> None:
    chosen = choose_recipe(TrainSettings(method=method, method_fields=given, recipe="paper"), 11)
    assert method_fields(chosen.method).items() >= expected.items()
    own = any("for one class: several are trained in samtune's own" in note for note in chosen.notes)
    assert own == (method == "sam_adapter")


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"recipe": "papr"}, "Expected `recipe` to be one of auto, paper, got 'papr'"),
     ({"schedule": "cosine"}, "Expected `schedule` to be one of warmup_cosine, linear, epoch_cosine"),
     ({"augmentation": "none"}, "Expected `augmentation` to be one of auto, varied, upright, flip"),
     ({"square": "yes"}, "Expected `square` to be true or false"),
     ({"updates": 3, "epochs": 2}, "Expected `updates` or `epochs`, got both .3 and 2.")],
)  # fmt: skip
def test_wrong_words_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TrainSettings(**settings)


def test_a_squashed_run_is_remembered(prepared: Path) -> None:
    """Evaluation and prediction from the saved run see what validation saw in training."""
    result = run(prepared, "paper", method="decoder_only", recipe="paper", updates=None, epochs=2, views=None)
    folder = prepared / "paper"
    assert (result.steps, result.num_train, result.num_val) == (3, 6, 2)
    assert any(note.startswith("Recipe paper: decoder_only") for note in result.notes)
    card = read_card(folder / "specialist")
    assert (card.recipe, card.square) == ("paper", True)
    assert "squashed to" in (folder / "specialist" / "README.md").read_text()
    assert load_specialist(folder)[0].spec.fit == "squash"
    plan = json.loads((folder / "metrics.json").read_text())["plan"]
    assert (plan["schedule"], plan["views"], plan["accumulate"]) == ("linear", 2, 4)
    dataset = open_dataset(prepared / "data" / "images", prepared / "data" / "masks")
    stems = {row["stem"] for row in json.loads((folder / "split.json").read_text())["val"]}
    part = dataset.subset(i for i, pair in enumerate(dataset.pairs) if pair.stem in stems)
    scored = evaluate(folder, part, device="cpu", tell=False)
    assert scored.rows["specialist"].iou_per_image == pytest.approx(result.validation["iou_per_image"], abs=1e-6)
    assert any("squashed to a square" in note for note in scored.notes)
    predictor = load_predictor(folder, device="cpu")
    image = part.image(0)
    assert predictor.images([image])[0].labels.shape == image.shape[:2] == (80, 96)
    kept = predictor.images([image])[0].probabilities
    predictor.sam.spec = replace(predictor.sam.spec, fit="pad")
    assert np.abs(kept - predictor.images([image])[0].probabilities).max() > 1e-4


def test_the_published_form_is_what_is_trained_and_loaded(prepared: Path, tmp_path: Path) -> None:
    run(prepared, "published-adapter", method="sam_adapter", recipe="paper", updates=2)
    assert read_card(prepared / "published-adapter" / "specialist").fields["paper"] is True
    settings = TrainSettings(
        base=str(prepared / "base"), method="conv_lora", recipe="paper", updates=2, device="cpu", shots=4
    )
    train(settings, three_classes(tmp_path / "data"), tmp_path / "run")
    sam, card = load_specialist(tmp_path / "run")
    assert {"paper": True, "head": "queries", "num_queries": 10}.items() <= card.fields.items()
    assert sam.spec.fit == "squash"
    with torch.no_grad():
        assert sam.decode(sam.encode(torch.zeros(1, 3, 96, 96))).shape == (1, 3, 24, 24)


def test_a_specialist_of_few_images_is_averaged_ever_after(prepared: Path) -> None:
    run(prepared, "few", method="ptsam", updates=2)
    assert read_card(prepared / "few" / "specialist").tta == "d4"
    assert load_predictor(prepared / "few", device="cpu").tta == "d4"
    run(prepared, "few-as-it-is", method="ptsam", updates=2, tta="none")
    assert load_predictor(prepared / "few-as-it-is", device="cpu").tta == "none"
    run(prepared, "few-lora", method="lora", updates=2)
    assert read_card(prepared / "few-lora" / "specialist").tta == "none"


def test_the_probe_of_a_squashed_run_is_scored_on_squashed_images(prepared: Path) -> None:
    """With a method that changes the encoder, the floors come from a base of their own."""
    run(prepared, "squashed", method="lora", square=True, updates=2)
    dataset = open_dataset(prepared / "data" / "images", prepared / "data" / "masks")
    found = evaluate(prepared / "squashed", dataset, device="cpu", tell=False).rows["probe"].iou_per_image
    run(prepared, "cached", method="ptsam", square=True, updates=2, tta="none")
    again = evaluate(prepared / "cached", dataset, device="cpu", tell=False).rows["probe"].iou_per_image
    assert again == pytest.approx(found)


@pytest.mark.parametrize(
    ("settings", "decay", "limit"),
    [({"recipe": "paper"}, {1e-2}, math.inf), ({}, {1e-2, 0.0}, 1.0), ({"clip_norm": 0.01}, {1e-2, 0.0}, 0.01)],
)
def test_decay_and_clipping_follow_the_plan(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], decay: set[float], limit: float
) -> None:
    """By TS-SAM's recipe all tensors decay and no gradient is cut."""
    made: list[torch.optim.AdamW] = []
    left: list[float] = []
    adamw, clip = torch.optim.AdamW, nn.utils.clip_grad_norm_

    def keep(*args: Any, **kwargs: Any) -> torch.optim.AdamW:
        made.append(adamw(*args, **kwargs))
        return made[-1]

    def watch(parameters: Any, largest: float) -> torch.Tensor:
        total = clip(parameters, largest)
        squares = [float(parameter.grad.square().sum()) for parameter in parameters if parameter.grad is not None]
        left.append(math.sqrt(sum(squares)))
        return total

    monkeypatch.setattr(torch.optim, "AdamW", keep)
    monkeypatch.setattr(nn.utils, "clip_grad_norm_", watch)
    run(prepared, f"limit-{limit}", method="ts_sam", updates=2, **settings)
    assert {group["weight_decay"] for group in made[-1].param_groups} == decay
    norms = [row["gradient_norm"] for row in RunFolder(prepared / f"limit-{limit}").read_history()]
    assert min(norms) > 0.1
    assert left == pytest.approx([min(norm, limit) for norm in norms], rel=1e-4)
