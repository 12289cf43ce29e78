"""What `resolve` decides: a table of settings and facts against fields of the plan, and the sentences beside them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from samtune.data.views.orientation import Orientation
from samtune.errors import ConfigError
from samtune.methods import METHODS, method_fields
from samtune.training import Facts, Plan, TrainSettings, resolve
from samtune.training.plan import CACHED_VIEWS, FRESH_VIEWS, needs_orientation
from samtune.training.schedule import learning_rate

UPRIGHT, TURNED = Orientation(12, 0.9, 1 / 4096), Orientation(12, 0.01, 0.4)

FACTS = Facts(
    num_images=12, num_classes=1, touches_encoder=False, has_own_loss=False, cell_pixels=4, orientation=TURNED
)


def plan_of(settings: dict[str, Any], **facts: Any) -> Plan:
    return resolve(TrainSettings(**settings), replace(FACTS, **facts))


TABLE: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({}, {}, {"updates": 400, "batch_size": 4, "views": CACHED_VIEWS, "tta": "d4", "augmentation": "varied"}),
    ({}, {"orientation": UPRIGHT}, {"views": 2, "tta": "mirror", "augmentation": "flip"}),
    ({}, {"touches_encoder": True}, {"views": FRESH_VIEWS, "cached": False}),
    ({}, {"num_classes": 3}, {"loss": "ce_dice"}),
    ({}, {"num_images": 3}, {"batch_size": 3}),
    ({}, {"num_images": 3, "num_processes": 4}, {"batch_size": 4}),
    ({}, {"num_images": 12, "num_processes": 3}, {"batch_size": 6}),
    ({}, {"num_images": 16}, {"tta": "d4"}),
    ({}, {"num_images": 17}, {"tta": "none"}),
    ({"tta": "none"}, {}, {"tta": "none"}),
    ({"tta": "d4", "augmentation": "flip"}, {"num_images": 99}, {"tta": "d4"}),
    ({"recipe": "paper"}, {}, {"tta": "none", "square": False}),
    ({"augmentation": "varied"}, {"orientation": None}, {"tta": "d4"}),
    ({"augmentation": "upright"}, {"orientation": None}, {"tta": "mirror", "augmentation": "upright"}),
    ({"augmentation": "flip"}, {"orientation": None}, {"tta": "mirror", "views": 2}),
    ({"views": 0}, {"orientation": None}, {"views": 1, "augmentation": "varied"}),
    ({"views": 4}, {}, {"views": 5}),
    ({"updates": 7}, {}, {"updates": 7, "evaluate_every": 1, "warmup": 1}),
    ({"epochs": 5}, {}, {"updates": 15}),
    ({"updates": 100, "evaluations": 4}, {}, {"evaluate_every": 25, "warmup": 5}),
    ({}, {"cell_pixels": 1}, {"loss_side": "input"}),
    ({}, {"cell_pixels": 2}, {"loss_side": "input"}),
    ({}, {}, {"loss_side": "logits"}),
    ({"loss_side": "input"}, {}, {"loss_side": "input"}),
    ({"loss_side": "logits"}, {"cell_pixels": 2}, {"loss_side": "logits"}),
    ({"method": "lora", "recipe": "paper"}, {}, {"loss_side": "input", "square": True, "augmentation": "flip"}),
    ({"method": "lora", "recipe": "paper", "loss_side": "auto"}, {}, {"loss_side": "logits"}),
    ({"method": "lora", "recipe": "paper"}, {"num_classes": 3}, {"loss": "ce_dice"}),
    ({"method": "lora"}, {"touches_encoder": True}, {"updates": 150, "square": False, "tta": "none"}),
    ({"method": "lora", "recompute": True}, {"touches_encoder": True}, {"recompute": True}),
    ({"method": "probe"}, {"orientation": None}, {"updates": 0, "views": 1}),
    ({"method": "probe", "updates": 5}, {}, {"updates": 5, "views": CACHED_VIEWS}),
    ({"method": "decoder_only"}, {"orientation": None}, {"augmentation": "flip"}),
    ({"method": "decoder_only", "augmentation": "auto"}, {}, {"augmentation": "varied", "views": CACHED_VIEWS}),
]


@pytest.mark.parametrize(("settings", "facts", "expected"), TABLE)
def test_settings_and_facts_decide_the_plan(
    settings: dict[str, Any], facts: dict[str, Any], expected: dict[str, Any]
) -> None:
    plan = plan_of(settings, **facts)
    assert {name: getattr(plan, name) for name in expected} == expected
    assert plan_of(settings, **facts) == plan


def test_nothing_is_said(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    caplog.set_level("DEBUG")
    plan = plan_of({"recipe": "paper", "method": "conv_lora"})
    assert plan.notes
    assert plan.summary
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "needed"),
    [({"augmentation": "upright"}, False), ({"augmentation": "varied"}, False), ({"views": 0}, False),
     ({"method": "decoder_only"}, False), ({"method": "probe"}, False), ({"recipe": "paper"}, False),
     ({}, True), ({"method": "decoder_only", "augmentation": "auto"}, True)],
)  # fmt: skip
def test_masks_are_asked_for_only_where_they_decide(settings: dict[str, Any], needed: bool) -> None:
    settings = {"method": "lora"} | settings
    assert needs_orientation(TrainSettings(**settings)) == needed
    if needed:
        with pytest.raises(ValueError, match=r"need `Facts\.orientation`"):
            plan_of(settings, orientation=None)
    else:
        assert plan_of(settings, orientation=None) == plan_of(settings, orientation=UPRIGHT)


@pytest.mark.parametrize("orientation", [UPRIGHT, TURNED])
def test_the_choice_by_the_masks_is_a_note(orientation: Orientation) -> None:
    expected = "The masks show which way is up (by chance once in 4,096)" if orientation.upright else "The masks do not"
    assert plan_of({}, orientation=orientation).notes[-1].startswith(expected)
    assert not plan_of({"augmentation": "varied"}, orientation=orientation).notes


def test_conv_loras_recipe_in_numbers() -> None:
    plan = plan_of({"recipe": "paper", "method": "lora"})
    assert (plan.updates, plan.batch_size, plan.accumulate, plan.evaluate_every) == (90, 4, 4, 3)
    assert (plan.weight_decay, plan.decay_all, plan.clip_norm, plan.patience) == (1e-4, False, 1.0, 10)
    assert (plan.loss, plan.views, plan.ema) == ("structure_published", 2, 0.0)
    assert [learning_rate(plan, step) for step in (0, 45, 89)] == pytest.approx([1e-4, 0.5e-4, 1e-4 / 90])


def test_ts_sams_recipe_in_numbers() -> None:
    plan = plan_of({"recipe": "paper", "method": "ts_sam"}, touches_encoder=True)
    assert (plan.updates, plan.batch_size, plan.evaluate_every, plan.patience) == (480, 2, 6, 0)
    assert (plan.weight_decay, plan.decay_all, plan.clip_norm, plan.loss) == (1e-2, True, 0, "ce_iou")
    for step in range(480):
        expected = 1e-7 + 0.5 * (8e-4 - 1e-7) * (1 + math.cos(math.pi * (step // 6) / 80))
        assert learning_rate(plan, step) == pytest.approx(expected, rel=1e-12)


def test_averaging_is_part_of_the_summary() -> None:
    expected = "At most 16 training images, so predictions will be the mean over the eight flips"
    assert any(sentence.startswith(expected) for sentence in plan_of({}).summary)
    assert not any("mean over" in sentence for sentence in plan_of({"tta": "d4"}).summary)


@pytest.mark.parametrize(
    ("num_images", "updates", "words"),
    [(12, 150, "the method's 150 updates, which see each image 50 times"),
     (60, 150, "see each image 10 times"),
     (61, 153, "153 updates instead of the method's 150, so that each image is seen 10 times")],
)  # fmt: skip
def test_auto_goes_by_the_number_of_images_and_says_so(num_images: int, updates: int, words: str) -> None:
    plan = plan_of({"method": "lora"}, num_images=num_images, touches_encoder=True)
    assert plan.updates == updates
    assert plan.summary[0].startswith(f"Recipe auto, {num_images} training images: ")
    assert words in plan.summary[0]


def test_a_loss_of_the_methods_own_is_part_of_the_summary() -> None:
    summary = plan_of({"method": "lora"}, has_own_loss=True).summary
    assert summary[-1] == "lora has its own loss, which replaces that one."


@pytest.mark.parametrize(
    ("settings", "facts", "words"),
    [({"loss": "structure"}, {"num_classes": 3}, "structure is for one class, got 3 classes"),
     ({"loss": "mse"}, {}, "Expected `loss` to be auto or one of"),
     ({"loss": "bce"}, {"has_own_loss": True}, "Expected `loss` auto with these fields of ptsam"),
     ({"recompute": True}, {}, "`recompute` has no effect with ptsam"),
     ({"batch_size": 4}, {"num_processes": 3}, "to be a multiple of the 3 processes, got 4"),
     ({"batch_size": 4, "accumulate": 3}, {"num_processes": 2}, "Expected `accumulate` <= 2"),
     ({"tta": "all"}, {}, "Expected `tta` to be one of none, mirror, d4, got 'all'"),
     ({"method": "loar"}, {}, "loar")],
)  # fmt: skip
def test_contradictions_are_refused(settings: dict[str, Any], facts: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        plan_of(settings, **facts)


def test_what_the_user_sets_wins() -> None:
    plan = plan_of({
        "recipe": "paper", "method": "conv_lora", "method_fields": {"paper": False}, "epochs": 2, "batch_size": 3,
        "accumulate": 1, "learning_rate": 1e-3, "weight_decay": 0.0, "schedule": "warmup_cosine", "clip_norm": 0,
        "loss": "bce", "augmentation": "varied", "square": False, "evaluations": 2, "patience": 0, "views": 4,
    })  # fmt: skip
    assert not plan.square
    assert method_fields(plan.method)["paper"] is False
    assert (plan.updates, plan.batch_size, plan.accumulate, plan.evaluate_every, plan.patience) == (8, 3, 1, 4, 0)
    assert (plan.learning_rate, plan.weight_decay, plan.schedule, plan.clip_norm) == (1e-3, 0, "warmup_cosine", 0)
    assert (plan.loss, plan.views) == ("bce", 5)
    against = next(line for line in plan.notes if line.startswith("Your settings override"))
    for words in (
        "epochs=2 (published: 30)", "loss=bce (published: structure_published)", "square=false (published: true)",
        "learning_rate=0.001 (published: 0.0001)", "method.paper=false (published: true)",
    ):  # fmt: skip
        assert words in against


@pytest.mark.parametrize("name", METHODS)
def test_numbers_are_json_values_without_the_method(name: str) -> None:
    numbers = plan_of({"method": name}).numbers()
    assert {"updates", "batch_size", "accumulate", "tta", "augmentation", "loss_side"} <= set(numbers)
    assert all(isinstance(value, str | int | float) for value in numbers.values())
