"""The running mean against the plain mean of probabilities."""

from __future__ import annotations

import pytest
import torch

from samtune.averaging import ProbabilityMean
from samtune.losses import probabilities


def mean_of(*answers: torch.Tensor) -> torch.Tensor:
    mean = ProbabilityMean()
    for answer in answers:
        mean.add(answer)
    return mean.logits()


@pytest.mark.parametrize("num_classes", [1, 3])
def test_it_is_the_mean_of_the_probabilities(num_classes: int) -> None:
    answers = 4 * torch.randn(5, 2, num_classes, 3, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([probabilities(answer) for answer in answers]).mean(0)
    assert torch.allclose(probabilities(mean_of(*answers)), expected, atol=1e-6)


def test_one_prediction_stays_what_it_is() -> None:
    answer = torch.tensor([-60.0, -3.0, 0.0, 0.5, 60.0]).reshape(1, 1, 5)
    assert torch.allclose(mean_of(answer), answer, atol=1e-5)
    assert mean_of(answer.to(torch.bfloat16)).dtype == torch.float32


def test_one_that_is_far_off_does_not_outvote_the_others() -> None:
    answers = [torch.full((1, 1, 1), value) for value in (30.0, -5.0, -5.0, -5.0, -5.0)]
    assert float(torch.stack(answers).mean()) == 2
    assert float(mean_of(*answers)) == pytest.approx(-1.353, abs=1e-3)


def test_the_largest_logits_stay_finite() -> None:
    answers = [torch.tensor([1e4, -1e4]).reshape(2, 1, 1), torch.tensor([-1e4, 1e4]).reshape(2, 1, 1)]
    assert mean_of(*answers).isfinite().all()
    with pytest.raises(ValueError, match="at least one prediction"):
        mean_of()
