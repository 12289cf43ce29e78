"""Method and recipe by the `recipe` setting, the notes on them, and runs that are squashed or averaged."""

from __future__ import annotations

import json
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
from samtune.errors import ConfigError
from samtune.methods import METHODS, WithPaperRecipe, method_fields
from samtune.predict import evaluate, load_predictor
from samtune.training import RunFolder, TrainSettings, train
from samtune.training.recipe import method_of, recipe_notes, recipe_of
from tests.training.test_train import three_classes
from tests.training.tiny_run import run


def test_nothing_is_noted_against_the_recipe_where_nothing_is_set() -> None:
    notes = recipe_notes(TrainSettings(recipe="paper", method="ts_sam"), 1)
    assert not any(note.startswith("Set by you") for note in notes)
    notes = recipe_notes(TrainSettings(recipe="paper", method="ts_sam", updates=7), 1)
    assert notes[-1] == "Your settings override the published recipe: updates=7 (published: 80 epochs)."


@pytest.mark.parametrize("name", METHODS)
def test_auto_is_the_methods_own_recipe_and_paper_its_sources(name: str) -> None:
    auto = TrainSettings(method=name)
    assert (recipe_of(auto), recipe_notes(auto, 1)) == (METHODS[name].recipe, ())
    paper = TrainSettings(method=name, recipe="paper")
    notes = recipe_notes(paper, 1)
    known = isinstance(METHODS[name], WithPaperRecipe)
    assert known == (name not in ("ptsam", "ptsam_encoder", "full", "probe"))
    assert recipe_of(paper).square == known
    assert (recipe_of(paper) == METHODS[name].recipe) == (not known)
    assert ("by the recipe of its source" if known else "no source describes") in notes[0]
    fields = method_fields(method_of(paper, 1))
    if "paper" in fields:
        assert fields["paper"] is True
        assert "with method.paper=true" in notes[0]


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [("conv_lora", {}, {"paper": True, "head": "queries", "num_queries": 12}),
     ("lora", {"head": "class_tokens"}, {"head": "class_tokens", "num_queries": 10}),
     ("decoder_only", {"head": "queries", "num_queries": 20}, {"head": "queries", "num_queries": 20}),
     ("sam_adapter", {}, {"paper": False}),
     ("ts_sam", {}, {"paper": True})],
)  # fmt: skip
def test_several_classes(method: str, given: dict[str, Any], expected: dict[str, Any]) -> None:
    settings = TrainSettings(method=method, method_fields=given, recipe="paper")
    assert method_fields(method_of(settings, 11)).items() >= expected.items()
    own = any("for one class; samtune's own form replaces it" in note for note in recipe_notes(settings, 11))
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
    predictor.model.spec = replace(predictor.model.spec, fit="pad")
    assert np.abs(kept - predictor.images([image])[0].probabilities).max() > 1e-4


def test_the_published_form_is_what_is_trained_and_loaded(prepared: Path, tmp_path: Path) -> None:
    run(prepared, "published-adapter", method="sam_adapter", recipe="paper", updates=2)
    assert read_card(prepared / "published-adapter" / "specialist").fields["paper"] is True
    settings = TrainSettings(
        base=str(prepared / "base"), method="conv_lora", recipe="paper", updates=2, device="cpu", shots=4
    )
    train(settings, three_classes(tmp_path / "data"), tmp_path / "run")
    model, card = load_specialist(tmp_path / "run")
    assert {"paper": True, "head": "queries", "num_queries": 10}.items() <= card.fields.items()
    assert model.spec.fit == "squash"
    with torch.no_grad():
        assert model.decode(model.encode(torch.zeros(1, 3, 96, 96))).shape == (1, 3, 24, 24)


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
