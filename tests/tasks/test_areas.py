"""The decision on logits, pixel by pixel."""

from __future__ import annotations

import numpy as np
import torch

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
