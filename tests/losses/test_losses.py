"""Losses against loops over pixels in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from samtune import losses
from samtune.errors import ConfigError, ShapeError
from samtune.types import IGNORE

KINDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": losses.bce,
    "balanced_bce": losses.balanced_bce,
    "cross_entropy": losses.cross_entropy,
    "focal": losses.focal,
    "soft_dice": losses.soft_dice,
    "bce_dice": losses.bce_dice,
    "balanced_bce_dice": losses.balanced_bce_dice,
    "ce_dice": losses.ce_dice,
    "focal_dice": losses.focal_dice,
    "soft_iou": losses.soft_iou,
    "ce_iou": losses.ce_iou,
    "shadow_bce": losses.shadow_bce,
    "structure": losses.structure,
    "structure_published": losses.structure_published,
}
CASES = [(kind, 1) for kind in KINDS]
CASES += [(kind, 3) for kind in KINDS if "bce" not in kind and "structure" not in kind]


def batch(num_classes: int, *, num_images: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(num_images, num_classes, 5, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, num_classes + 1, (num_images, 5, 6), generator=generator, dtype=torch.uint8)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = IGNORE
    return logits, labels


def naive_probabilities(pixel: list[float]) -> list[float]:
    """Of the background and each class."""
    exps = [1.0, *(math.exp(value) for value in pixel)]
    return [value / sum(exps) for value in exps]


def naive_image(kind: str, logits: Tensor, labels: Tensor) -> float:
    """One image's loss, by the definitions: logits (K, H, W), labels (H, W)."""
    num_classes = logits.shape[0]
    pixels = [
        (naive_probabilities(logits[:, y, x].tolist()), int(labels[y, x]))
        for y in range(labels.shape[0])
        for x in range(labels.shape[1])
        if labels[y, x] != IGNORE
    ]
    if kind.startswith("structure"):
        return naive_structure(logits[0], labels, published=kind.endswith("published"))
    if kind == "ce_iou":
        return naive_image("cross_entropy", logits, labels) + naive_image("soft_iou", logits, labels)
    if kind == "soft_iou":
        ratios = []
        for k in range(1, num_classes + 1):
            overlap = sum(p[k] for p, label in pixels if label == k)
            union = sum(p[k] + (label == k) for p, label in pixels) - overlap
            ratios.append(1 - (overlap + 1) / (union + 1))
        return sum(ratios) / num_classes
    if kind.endswith("_dice") and kind != "soft_dice":
        first = kind.removesuffix("_dice")
        dice = naive_image("soft_dice", logits, labels)
        if first == "balanced_bce":
            halves = [naive_image(part, logits, labels) for part in ("bce", "balanced_bce")]
            return sum(halves) / 2 + dice
        weight = 20 if first == "focal" else 1
        return weight * naive_image(first, logits, labels) + dice
    if kind == "soft_dice":
        terms = []
        for k in range(1, num_classes + 1):
            both = sum(p[k] for p, label in pixels if label == k)
            either = sum(p[k] + (label == k) for p, label in pixels)
            terms.append(1 - (2 * both + 1) / (either + 1))
        return sum(terms) / num_classes
    if not pixels:
        return 0.0
    if kind == "balanced_bce":
        sides = [[-math.log(p[label]) for p, label in pixels if label == side] for side in (0, 1)]
        means = [sum(side) / len(side) for side in sides if side]
        return sum(means) / len(means)
    if kind == "shadow_bce":  # torch's own pos_weight form, as the public code has it
        positive, negative = (sum(label == side for _, label in pixels) for side in (1, 0))
        if not positive:
            return 0.0
        number, heavier = len(pixels), negative / positive
        terms = [-(heavier if label else 1.0) * math.log(p[label]) for p, label in pixels]
        return positive / number * sum(terms) / number
    factors = [(1 - p[label]) ** 2 if kind == "focal" else 1.0 for p, label in pixels]
    terms = [-factor * math.log(p[label]) for factor, (p, label) in zip(factors, pixels, strict=True)]
    return sum(terms) / len(terms)


def naive_structure(logits: Tensor, labels: Tensor, *, published: bool) -> float:
    """One image by the definition: logits and labels (H, W)."""
    height, width = labels.shape
    rows = labels.tolist()
    entropies, weights, overlap, union = [], [], 0.0, 0.0
    for y in range(height):
        for x in range(width):
            if rows[y][x] == IGNORE:
                continue
            lines = [row[max(0, x - 15) : x + 16] for row in rows[max(0, y - 15) : y + 16]]
            square = [label for line in lines for label in line if label != IGNORE]
            mean = sum(square) / (31 * 31 if published else len(square))
            target, p = rows[y][x], 1 / (1 + math.exp(-float(logits[y, x])))
            weight = 1 + 5 * abs(mean - target)
            entropies.append(-math.log(p if target else 1 - p))
            weights.append(weight)
            overlap += weight * p * target
            union += weight * (p + target - p * target)
    iou = 1 - (overlap + 1) / (union + 1)
    if not weights:
        return iou
    if published:
        return sum(entropies) / len(entropies) + iou
    return float(sum(w * e for w, e in zip(weights, entropies, strict=True)) / sum(weights) + iou)


def test_structure_looks_at_the_square_around_a_pixel() -> None:
    """An image larger than the square, so that its border matters."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 1, 34, 36, generator=generator, dtype=torch.float64)
    labels = torch.zeros(2, 34, 36, dtype=torch.uint8)
    labels[0, 5:20, 3:30], labels[1, 30:, 10:12], labels[:, 28:, 30:] = 1, 1, IGNORE
    for name in ("structure", "structure_published"):
        expected = sum(naive_image(name, logits[b], labels[b]) for b in range(2)) / 2
        assert KINDS[name](logits, labels).item() == pytest.approx(expected, rel=1e-10)


def test_outlines_weigh_more_as_meant_and_not_as_published() -> None:
    """The same error, in the middle of the background and beside the outline of a small object."""
    labels = torch.zeros(1, 80, 80, dtype=torch.uint8)
    labels[:, 36:44, 8:16] = 1
    correct = torch.where(labels[:, None] == 1, 4.0, -4.0)
    far, near = correct.clone(), correct.clone()
    far[..., 36:44, 64:72], near[..., 36:44, 17:25] = 4.0, 4.0
    change = {
        kind: [float(KINDS[kind](wrong, labels) - KINDS[kind](correct, labels)) for wrong in (far, near)]
        for kind in ("bce", "structure", "structure_published")
    }
    assert change["bce"][0] == pytest.approx(change["bce"][1])
    entropies = {}
    for kind in ("structure", "structure_published"):
        iou = [naive_iou_change(labels[0], wrong[0, 0], correct[0, 0], kind) for wrong in (far, near)]
        entropies[kind] = [change[kind][i] - iou[i] for i in range(2)]
    assert entropies["structure"][1] > 1.1 * entropies["structure"][0]
    assert entropies["structure_published"] == pytest.approx(change["bce"], rel=1e-3)


def naive_iou_change(labels: Tensor, wrong: Tensor, correct: Tensor, kind: str) -> float:
    """Of the weighted IoU term alone, by the loops above less their entropy."""
    target = labels.double()
    sums = []
    for logits in (wrong, correct):
        around = F.avg_pool2d(target[None, None], 31, 1, 15, count_include_pad=kind == "structure_published")[0, 0]
        weight, p = 1 + 5 * (around - target).abs(), logits.double().sigmoid()
        sums.append(1 - ((weight * p * target).sum() + 1) / ((weight * (p + target - p * target)).sum() + 1))
    return float(sums[0] - sums[1])


def test_an_empty_image_has_no_weight_as_published_and_the_same_as_meant() -> None:
    logits = torch.full((1, 1, 4, 4), 2.0)
    labels = torch.zeros(1, 4, 4, dtype=torch.uint8)
    assert losses.shadow_bce(logits, labels).item() == 0
    assert losses.balanced_bce(logits, labels).item() == pytest.approx(2.1269, abs=1e-3)


@pytest.mark.parametrize(("kind", "num_classes"), CASES)
def test_each_loss_agrees_with_loops(kind: str, num_classes: int) -> None:
    for seed in range(3):
        logits, labels = batch(num_classes, seed=seed)
        labels[0] = IGNORE  # one image counts nothing
        labels[1][labels[1] != IGNORE] = 0  # one has background only
        expected = sum(naive_image(kind, logits[b], labels[b]) for b in range(3)) / 3
        assert KINDS[kind](logits, labels).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("kind", "num_classes"), CASES)
def test_a_batch_is_the_mean_of_its_images(kind: str, num_classes: int) -> None:
    logits, labels = batch(num_classes)
    labels[1, :, 2:] = IGNORE  # images with different numbers of counted pixels
    singles = [KINDS[kind](logits[b : b + 1], labels[b : b + 1]) for b in range(3)]
    torch.testing.assert_close(KINDS[kind](logits, labels), torch.stack(singles).mean())


@pytest.mark.parametrize(("kind", "num_classes"), CASES)
def test_ignored_pixels_count_nowhere(kind: str, num_classes: int) -> None:
    logits, labels = batch(num_classes)
    changed = torch.where((labels == IGNORE)[:, None], torch.full_like(logits, 77.0), logits)
    torch.testing.assert_close(KINDS[kind](logits, labels), KINDS[kind](changed, labels))
    logits.requires_grad_()
    KINDS[kind](logits, labels).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert not logits.grad[(labels == IGNORE)[:, None].expand_as(logits)].any()


@pytest.mark.parametrize(("kind", "num_classes"), CASES)
def test_an_image_of_ignored_pixels_adds_zero(kind: str, num_classes: int) -> None:
    logits, labels = batch(num_classes)
    logits.requires_grad_()
    loss = KINDS[kind](logits, torch.full_like(labels, IGNORE))
    assert loss.item() == 0
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("kind", "num_classes"), CASES)
def test_extreme_logits_have_finite_losses_and_gradients(kind: str, num_classes: int, dtype: torch.dtype) -> None:
    logits, labels = batch(num_classes)
    for scale in (0.0, 1e4):
        extreme = (logits.sign() * scale).to(dtype).requires_grad_()
        loss = KINDS[kind](extreme, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        assert extreme.grad is not None
        assert extreme.grad.isfinite().all()


@pytest.mark.parametrize(("kind", "num_classes"), CASES)
def test_gradients_agree_with_differences(kind: str, num_classes: int) -> None:
    logits, labels = batch(num_classes, num_images=2)
    logits = logits[:, :, :3, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: KINDS[kind](x, labels[:, :3, :3]), (logits,))


def test_a_perfect_prediction_costs_nothing() -> None:
    labels = batch(3)[1]
    classes = torch.arange(1, 4)[:, None, None]
    logits = torch.where(labels[:, None] == classes, 50.0, -50.0)
    for kind in ("cross_entropy", "focal", "soft_dice", "soft_iou"):
        assert KINDS[kind](logits, labels).item() == pytest.approx(0, abs=1e-6)


def test_softmax_with_a_zero_background_is_sigmoid_for_one_class() -> None:
    logits, labels = batch(1)
    torch.testing.assert_close(losses.cross_entropy(logits, labels), losses.bce(logits, labels))
    torch.testing.assert_close(losses.probabilities(logits), logits.sigmoid())


def test_probabilities_are_those_of_the_foreground_classes() -> None:
    logits, _ = batch(3)
    found = losses.probabilities(logits)
    for b, y, x in ((0, 0, 0), (1, 4, 5), (2, 3, 1)):
        assert found[b, :, y, x].tolist() == pytest.approx(naive_probabilities(logits[b, :, y, x].tolist())[1:])
    assert losses.probabilities(logits.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_segmentation_loss_works_at_the_resolution_of_the_labels(dtype: torch.dtype) -> None:
    logits, _ = batch(1, num_images=2)
    logits = logits.to(dtype)
    labels = (torch.arange(20 * 24).reshape(1, 20, 24) % 3 == 0).to(torch.uint8).expand(2, -1, -1)
    larger = F.interpolate(logits.double(), (20, 24), mode="bilinear", align_corners=False)
    for kind in get_args(losses.LossKind):
        found = losses.segmentation_loss(logits, labels, kind)
        torch.testing.assert_close(found.double(), KINDS[kind](larger, labels), rtol=1e-5, atol=1e-6)


def test_it_runs_under_bf16_autocast() -> None:
    logits, labels = batch(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = losses.segmentation_loss(logits.float(), labels, "ce_dice")
    torch.testing.assert_close(found, losses.ce_dice(logits.float(), labels), rtol=1e-4, atol=1e-4)


def test_the_losses_for_one_class_are_those_that_refuse_several() -> None:
    logits, labels = batch(3)
    for kind in get_args(losses.LossKind):
        if kind in losses.ONE_CLASS:
            with pytest.raises(ConfigError, match="ce_dice"):
                losses.segmentation_loss(logits, labels, kind)
        else:
            assert losses.segmentation_loss(logits, labels, kind).isfinite()


def test_what_does_not_belong_together_is_refused() -> None:
    logits, labels = batch(3)
    with pytest.raises(ConfigError, match="ce_dice"):
        losses.segmentation_loss(logits, labels, "bce_dice")
    with pytest.raises(ConfigError, match="one of bce_dice, ce_dice"):
        losses.segmentation_loss(logits, labels, "dice")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="gamma"):
        losses.focal(logits, labels, gamma=0.5)
    with pytest.raises(ShapeError, match="same images"):
        losses.segmentation_loss(logits, labels[:2], "ce_dice")
    with pytest.raises(ShapeError, match="same images"):
        losses.soft_dice(logits, labels[:, None])
    with pytest.raises(ShapeError, match="integer"):
        losses.soft_dice(logits, labels.float())
    with pytest.raises(ShapeError, match="B, K, H, W"):
        losses.probabilities(logits[0])


def test_labels_at_the_middle_of_coarser_cells() -> None:
    labels = torch.arange(64, dtype=torch.uint8).view(1, 8, 8)
    labels[:, :, 4:] = IGNORE
    coarse = losses.labels_at(labels, (2, 2))
    assert coarse.tolist() == [[[18, IGNORE], [50, IGNORE]]]
    same = torch.nn.functional.interpolate(labels[None].float(), size=(4, 2), mode="nearest-exact")[0]
    assert torch.equal(losses.labels_at(labels, (4, 2)), same.to(torch.uint8))
    assert torch.equal(losses.labels_at(labels, (8, 8)), labels)
