"""The probe: a convex floor, checked against a naive optimum."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from samtune.bases import build
from samtune.errors import ConfigError
from samtune.methods import Probe, StartsFromData, adapt, cell_shares, fit_probe, make_method, trainable
from samtune.methods.probe import regress
from samtune.types import Features
from tests.tiny import tiny_sam


def planted(num_classes: int, spread: float = 0.3) -> tuple[Tensor, Tensor]:
    """(2, 5, 6, 6) features around one centre per class, and their labels at four times the grid."""
    generator = torch.Generator().manual_seed(0)
    cells = torch.randint(0, num_classes + 1, (2, 6, 6), generator=generator)
    centres = torch.randn(num_classes + 1, 5, generator=generator) * 3
    features = centres[cells] + spread * torch.randn(2, 6, 6, 5, generator=generator)
    labels = cells.repeat_interleave(4, 1).repeat_interleave(4, 2).to(torch.uint8)
    return features.permute(0, 3, 1, 2).contiguous(), labels


@pytest.mark.parametrize("num_classes", [1, 3])
def test_separates_planted_classes(num_classes: int, tmp_path: Path) -> None:
    features, labels = planted(num_classes)
    probe = fit_probe(features, labels, num_classes)
    found = F.pad(probe.logits(Features(features)), (0, 0, 0, 0, 1, 0)).argmax(1)
    assert torch.equal(found, labels[:, ::4, ::4].long())
    probe.save(tmp_path / "probe.safetensors")
    again = Probe.load(tmp_path / "probe.safetensors")
    assert torch.equal(again.weight, probe.weight)
    assert torch.equal(again.bias, probe.bias)


@pytest.mark.parametrize("num_classes", [1, 3])
def test_ignored_pixels_count_nowhere(num_classes: int) -> None:
    features, labels = planted(num_classes)
    labels[:, 8:16] = 255
    poisoned = features.clone()
    poisoned[:, :, 2:4] = 1e4
    one, other = (fit_probe(f, labels, num_classes) for f in (features, poisoned))
    torch.testing.assert_close(one.weight, other.weight, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one.bias, other.bias, atol=1e-5, rtol=1e-4)


def test_shares_leave_ignored_pixels_out() -> None:
    labels = torch.tensor([[[1, 255, 0, 2], [0, 255, 2, 2]]], dtype=torch.uint8)
    share, counted = cell_shares(labels, (1, 2), 2)
    assert torch.allclose(share, torch.tensor([[[[0.5, 0.0], [0.0, 0.75]]]]))
    assert torch.allclose(counted, torch.tensor([[[0.5, 1.0]]]))


def test_nothing_but_ignored_pixels_says_background() -> None:
    features, labels = planted(2)
    probe = fit_probe(features, torch.full_like(labels, 255), 2)
    assert (probe.logits(Features(features)) < 0).all()


def test_the_threshold_is_folded_into_the_bias() -> None:
    """A rare, weakly visible class: the best IoU needs a probability below one half."""
    generator = torch.Generator().manual_seed(1)
    labels = (torch.rand(2, 16, 16, generator=generator) < 0.1).to(torch.uint8)
    features = labels[:, None] * 1.6 + torch.randn(2, 1, 16, 16, generator=generator)
    probe = fit_probe(features, labels, 1)
    share, _ = cell_shares(labels, (16, 16), 1)
    rows = features.flatten()[:, None]
    mean, std = rows.mean(), rows.std(correction=0)
    weight, bias = regress((rows - mean) / std, share.flatten()[:, None], 1e-3)
    unshifted = Probe(weight / std, bias - (weight / std) @ mean[None])

    def iou(candidate: Probe) -> float:
        chosen = candidate.logits(Features(features))[:, 0] > 0
        both, either = (chosen & (labels == 1)).sum((1, 2)), (chosen | (labels == 1)).sum((1, 2))
        return float((both / either).mean())

    assert iou(probe) > iou(unshifted) + 0.02
    assert torch.allclose(probe.weight, unshifted.weight, atol=1e-4)


@pytest.mark.parametrize("num_classes", [1, 3])
def test_reaches_the_optimum_of_plain_gradient_descent(num_classes: int) -> None:
    features, labels = planted(num_classes, spread=3.0)
    share, _ = cell_shares(labels, (6, 6), num_classes)
    rows = features.permute(0, 2, 3, 1).reshape(-1, 5)
    rows = (rows - rows.mean(0)) / rows.std(0, correction=0)
    target = share.reshape(-1, num_classes)

    def objective(weight: Tensor, bias: Tensor) -> Tensor:
        scores = torch.cat([torch.zeros(len(rows), 1), rows @ weight.T + bias], 1)
        full = torch.cat([1 - target.sum(1, keepdim=True), target], 1)
        return (full * (scores.exp().sum(1, keepdim=True).log() - scores)).sum(1).mean() + 1e-3 * (weight**2).sum()

    weight = torch.zeros(num_classes, 5, requires_grad=True)
    bias = torch.zeros(num_classes, requires_grad=True)
    for _ in range(2000):
        step = torch.autograd.grad(objective(weight, bias), (weight, bias))
        with torch.no_grad():
            weight -= 0.5 * step[0]
            bias -= 0.5 * step[1]
    found = float(objective(*regress(rows, target, 1e-3)))
    naive = float(objective(weight.detach(), bias.detach()))
    assert found <= naive + 1e-5
    assert found == pytest.approx(naive, abs=1e-4)


@pytest.mark.parametrize("num_classes", [1, 3])
def test_as_a_method_it_is_the_fit(num_classes: int) -> None:
    features, labels = planted(num_classes)
    features = torch.cat([features, torch.randn(2, 11, 6, 6, generator=torch.Generator().manual_seed(2))], 1)
    model = adapt(tiny_sam(), make_method("probe", strength=0.01), num_classes=num_classes)
    method = make_method("probe", strength=0.01)
    assert isinstance(method, StartsFromData)
    assert not model.decode(Features(features)).any(), "before the fit it says nothing"
    method.start(model, features, labels, seed=0)
    expected = fit_probe(features, labels, num_classes, strength=0.01)
    found, logits = model.decode(Features(features)), expected.logits(Features(features))
    torch.testing.assert_close(found, logits, atol=1e-4, rtol=1e-4)
    default = fit_probe(features, labels, num_classes)
    assert not torch.allclose(expected.weight, default.weight, atol=1e-3)
    assert method.recipe.updates == 0


def test_as_a_method_it_has_257_numbers() -> None:
    model = adapt(build("facebook/sam-vit-base"), make_method("probe"))
    assert sum(parameter.numel() for parameter in trainable(model).values()) == 257
    with pytest.raises(ConfigError, match=r"Expected `probe.strength` >= 0, got -1.0"):
        make_method("probe", strength=-1)
