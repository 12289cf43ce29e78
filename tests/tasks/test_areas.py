"""Areas: decisions pixel by pixel, losses by the number of classes, shares and scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from samtune.errors import ConfigError
from samtune.tasks import Areas
from samtune.tasks.areas import decide


def test_one_class_is_decided_by_the_threshold() -> None:
    logits = torch.tensor([[[-1.0, 0.0, 0.1, 2.0]]])
    assert decide(logits).tolist() == [[0, 0, 1, 1]]
    assert decide(logits, 0.8).tolist() == [[0, 0, 0, 1]]
    assert decide(logits, 0.2).dtype == torch.uint8


def test_of_several_classes_the_largest_wins_unless_the_background_is_larger() -> None:
    logits = torch.tensor([[-1.0, 2.0, 0.5], [-2.0, 1.0, 3.0]])[:, None]
    assert decide(logits, 0.99).tolist() == [[0, 1, 2]]
    assert decide(torch.stack([logits, -logits])).tolist() == [[[0, 1, 2]], [[2, 0, 0]]]


def test_an_answer_has_the_map_and_the_probabilities_with_the_background_left_out() -> None:
    logits = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    found = Areas().answer(logits, 0.5)
    assert found.labels.dtype == np.uint8
    with_background = torch.cat([torch.zeros(1, 4, 5), logits]).softmax(0)
    np.testing.assert_allclose(found.probabilities, with_background[1:].numpy(), atol=1e-6)
    assert found.labels.tolist() == with_background.argmax(0).tolist()


def test_targets_at_the_logits_size_are_the_labels_under_the_middle_of_cells() -> None:
    annotations = torch.arange(64, dtype=torch.uint8).reshape(1, 8, 8)
    assert Areas().targets(annotations, None) is annotations
    assert Areas().targets(annotations, (2, 2)).shape == (1, 2, 2)


def test_a_loss_is_resolved_by_the_number_of_classes() -> None:
    assert [Areas().loss_name("auto", num) for num in (1, 3)] == ["bce_dice", "ce_dice"]
    assert Areas().loss_name("focal_dice", 3) == "focal_dice"
    with pytest.raises(ConfigError, match="for one class, got 3 classes"):
        Areas().loss_name("bce_dice", 3)
    with pytest.raises(ConfigError, match="Expected `loss` to be auto or one of"):
        Areas().loss_name("huber", 1)


def test_shares_count_no_ignored_pixel_of_the_annotation() -> None:
    annotations = torch.tensor([[[0, 1], [2, 255]]], dtype=torch.uint8)
    logits = torch.tensor([[[[1.0, -1.0], [-1.0, -1.0]], [[-1.0, -1.0], [-1.0, -1.0]]]])
    predicted, annotated = Areas().shares(logits, annotations)
    assert float(predicted) == 0.25
    assert float(annotated) == pytest.approx(2 / 3)
    assert float(Areas().shares(logits, torch.full_like(annotations, 255))[1]) == 0


def test_scores_of_several_processes_are_those_of_all_images() -> None:
    target = np.array([[0, 1], [1, 255]], np.uint8)
    parts = [Areas().scores(("cell",)) for _ in range(2)]
    for number, part in enumerate(parts):
        part.add(str(number), np.full_like(target, number), target)
    merged = parts[0].merged(parts[1:])
    assert merged.per_image() == {"0": 0.0, "1": pytest.approx(2 / 3)}
    assert merged.summary()["iou_per_image"] == pytest.approx(1 / 3)
    assert set(Areas.columns) <= set(merged.to_dict())
    assert len(parts[0].per_image()) == 1
