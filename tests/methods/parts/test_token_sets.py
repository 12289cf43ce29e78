"""What ptsam has beyond its paper: first values and ensembles; and the fields that it no longer has."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from samtune.bases import recording
from samtune.bases.sam1.model import Sam1
from samtune.errors import ConfigError, MethodError
from samtune.losses import probabilities, segmentation_loss
from samtune.methods import adapt, disagreement, make_method, member_logits, method_fields, task_loss
from samtune.methods.parts.token_sets import TokenSets
from samtune.types import Features
from tests.tiny import tiny_sam

bce_dice = partial(segmentation_loss, kind="bce_dice")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def adapted(num_classes: int = 1, seed: int = 0, **fields: Any) -> Sam1:
    return adapt(tiny_sam(), make_method("ptsam", **fields), num_classes=num_classes, seed=seed)


def sets_of(model: Sam1) -> TokenSets:
    assert isinstance(model.decoder.prompts, TokenSets)
    return model.decoder.prompts


def planted(num: int = 6, num_classes: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (N, 16, 6, 6) in which each class has a direction, under noise, and label maps (N, 24, 24)."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randint(0, num_classes + 1, (num, 6, 6), generator=generator)
    directions = torch.randn(num_classes + 1, 16, generator=generator)
    embedding = directions[cells].permute(0, 3, 1, 2) + torch.randn(num, 16, 6, 6, generator=generator)
    return embedding, cells.to(torch.uint8).repeat_interleave(4, 1).repeat_interleave(4, 2)


# First values


def test_sam_scale_has_the_spread_of_sams_points_and_none_of_their_directions() -> None:
    points, drawn = (
        adapt(tiny_sam(), make_method("ptsam", init=init, num_tokens=500)) for init in ("points", "sam_scale")
    )
    wanted, found = sets_of(points).tokens.detach(), sets_of(drawn).tokens.detach()
    assert float(found.square().mean() / wanted.square().mean()) == pytest.approx(1, abs=0.1)
    assert wanted.mean(1).square().mean() > 20 * found.mean(1).square().mean()


# Ensembles


@pytest.mark.parametrize("init", ["points", "normal", "sam_scale", "prototype"])
def test_the_first_member_starts_where_a_single_one_does_and_the_others_elsewhere(init: str) -> None:
    one, three = adapted(num_classes=2, init=init, seed=4), adapted(num_classes=2, init=init, ensemble=3, seed=4)
    for model in (one, three):
        model.__dict__["_adaptation"].method.start(model, *planted(num_classes=2), seed=4)
    first, *others = sets_of(three).tokens.detach()
    torch.testing.assert_close(first, sets_of(one).tokens.detach())
    assert all((first - other).abs().max() > 1e-3 for other in others)


@pytest.mark.parametrize("num_classes", [1, 2])
def test_an_ensemble_averages_the_probabilities_of_its_members(num_classes: int) -> None:
    model = adapted(num_classes, ensemble=3).eval()
    features = Features(noise(2, 16, 6, 6))
    with torch.no_grad():
        members = member_logits(model, features)
        assert members.shape == (3, 2, num_classes, 24, 24)
        alone = []
        for number in range(3):
            one = adapted(num_classes)
            sets_of(one).tokens.copy_(sets_of(model).tokens[number])
            alone.append(one.decode(features))
            assert torch.allclose(alone[-1], members[number], atol=1e-5)
        chances = torch.stack([probabilities(logits) for logits in alone])
        assert torch.allclose(probabilities(model.decode(features)), chances.mean(0), atol=1e-5)
        apart = disagreement(model, features)
        assert torch.allclose(apart, chances.std(0, correction=0), atol=1e-5)
        assert 0 < float(apart.max()) <= 0.5
        assert float(disagreement(adapted(num_classes), features).max()) == 0
    with pytest.raises(MethodError, match="learned token sets"):
        member_logits(tiny_sam(), features)


def test_each_member_is_held_to_the_loss_by_itself() -> None:
    """The loss is the mean of the members' losses, and a member's gradient does not depend on the others."""
    features = Features(noise(2, 16, 6, 6))
    labels = torch.randint(0, 2, (2, 24, 24), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    gradients = []
    for shift in (0.0, 1.0):
        model = adapted(ensemble=2).train()
        with torch.no_grad():
            sets_of(model).tokens[1] += shift
        with recording() as outputs:
            logits = model.decode(features)
        loss = task_loss(outputs, logits, labels, bce_dice)
        members = member_logits(model, features)
        expected = torch.stack([segmentation_loss(logits, labels, "bce_dice") for logits in members]).mean()
        assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-5)
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = sets_of(model).tokens.grad
        assert gradient is not None
        gradients.append(gradient[0])
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_one_member_is_no_ensemble() -> None:
    model = adapted().train()
    features, labels = Features(noise(1, 16, 6, 6)), torch.ones(1, 24, 24, dtype=torch.uint8)
    with recording() as outputs:
        logits = model.decode(features)
    assert outputs.members == []
    assert torch.equal(
        task_loss(outputs, logits, labels, bce_dice),
        segmentation_loss(logits, labels, "bce_dice"),
    )
    copy.deepcopy(model)  # no graph of the last pass stands in the way


# Fields


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"ensemble": 0}, "Expected 1 <= `ptsam.ensemble` <= 64, got 0"),
        ({"num_tokens": 0}, "Expected `ptsam.num_tokens` >= 1, got 0"),
        ({"dense": "probe"}, "`ptsam.dense`, which is no longer a hyper-parameter, to be 'none', got 'probe'"),
        ({"dense_folds": 2}, "`ptsam.dense_folds`, which is no longer .* to be 4, got 2"),
        ({"mask_token": "mix"}, "`ptsam.mask_token`, which is no longer .* to be 0, got 'mix'"),
        ({"mask_token": False}, "`ptsam.mask_token`, which is no longer .* to be 0, got False"),
        ({"init": "sam"}, "sam_scale"),
    ],
)
def test_bad_fields_are_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_method("ptsam", **fields)


def test_fields_of_earlier_versions_pass_at_their_defaults() -> None:
    method = make_method("ptsam", num_tokens=3, mask_token=0, dense="none", dense_folds=4)
    assert method_fields(method) == {"num_tokens": 3, "init": "prototype", "ensemble": 1}
