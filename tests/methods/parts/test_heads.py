"""Mask queries: the joined answer, and the loss against plain loops over all ways to match."""

from __future__ import annotations

import copy
import itertools
import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from samtune.bases import build, recording
from samtune.errors import MethodError
from samtune.losses import probabilities, segmentation_loss
from samtune.methods import Method, adapt, has_own_loss, make_method, task_loss, trainable
from samtune.methods.parts.heads import QueryHeads, class_logits, matching_loss
from samtune.methods.parts.shares import class_shares
from samtune.types import Features
from tests.tiny import tiny_sam

ce_dice = partial(segmentation_loss, kind="ce_dice")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def queries(num: int = 10) -> Method:
    return make_method("decoder_only", head="queries", num_queries=num, prompts="none")


def test_logits_are_the_scores_of_the_reference_on_a_logarithmic_scale() -> None:
    classes, masks = noise(2, 4, 5), noise(2, 4, 3, 2, seed=1)
    scores = torch.zeros(2, 4, 3, 2, dtype=torch.float64)
    for b, c, q, h, w in itertools.product(range(2), range(4), range(4), range(3), range(2)):
        chance = math.exp(classes[b, q, c]) / sum(math.exp(value) for value in classes[b, q])
        scores[b, c, h, w] += chance / (1 + math.exp(-masks[b, q, h, w]))
    found = class_logits(classes, masks)
    assert torch.allclose(found, scores[:, 1:].log() - scores[:, :1].log(), atol=1e-12)
    assert torch.allclose(probabilities(found), scores[:, 1:] / scores.sum(1, keepdim=True), atol=1e-12)
    whole = torch.cat([torch.zeros_like(found[:, :1]), found], dim=1)
    assert torch.equal(whole.argmax(1), scores.argmax(1)), "the same class wins as by the scores"
    extreme = class_logits(classes.float() * 1e3, masks.float() * 1e3)
    assert extreme.isfinite().all()


def naive_loss(classes: Tensor, masks: Tensor, labels: Tensor) -> float:
    """One image, cell by cell, with the best of all ways to match; labels on the masks' own grid."""
    num_queries, kinds = len(classes), classes.shape[1] - 1
    counted = [(h, w) for h in range(labels.shape[0]) for w in range(labels.shape[1]) if labels[h, w] != 255]
    present = [kind for kind in range(kinds) if any(int(labels[cell]) == kind for cell in counted)]
    if not present:
        return 0.0
    chance = classes.softmax(1)

    def bce(query: int, kind: int) -> float:
        values = [torch.sigmoid(masks[query][cell] * (1 if int(labels[cell]) == kind else -1)) for cell in counted]
        return -sum(math.log(value) for value in values) / len(counted)

    def dice(query: int, kind: int) -> float:
        filled = [float(masks[query][cell].sigmoid()) for cell in counted]
        truth = [float(int(labels[cell]) == kind) for cell in counted]
        overlap = sum(f * t for f, t in zip(filled, truth, strict=True))
        return 1 - (2 * overlap + 1) / (sum(filled) + sum(truth) + 1)

    def cost(matched: tuple[int, ...]) -> float:
        pairs = zip(matched, present, strict=True)
        return sum(5 * bce(q, k) + 5 * dice(q, k) - float(chance[q, k]) for q, k in pairs)

    best = min(itertools.permutations(range(num_queries), len(present)), key=cost)
    of_query = dict(zip(best, present, strict=True))
    weights = [1.0 if q in of_query else 0.1 for q in range(num_queries)]
    entropy = sum(-weights[q] * math.log(chance[q, of_query.get(q, kinds)]) for q in range(num_queries)) / sum(weights)
    pairs = list(of_query.items())
    return entropy + sum(bce(q, k) + dice(q, k) for q, k in pairs) / len(pairs)


def some_labels() -> Tensor:
    """Three images of 3 x 4: all kinds and ignored cells; one kind; nothing that counts."""
    labels = torch.randint(0, 3, (3, 3, 4), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    labels[0, 0] = 255
    labels[1] = 2
    labels[2] = 255
    assert set(labels[0].flatten().tolist()) == {0, 1, 2, 255}
    return labels


def test_the_matching_loss_equals_plain_loops() -> None:
    classes, masks, labels = noise(3, 5, 4, seed=5), noise(3, 5, 3, 4, seed=6), some_labels()
    expected = [naive_loss(*image) for image in zip(classes, masks, labels, strict=True)]
    assert expected[2] == 0.0
    found = matching_loss(classes, masks, labels)
    assert float(found) == pytest.approx(sum(expected) / 3, abs=1e-9)
    fine = labels.repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert float(matching_loss(classes, masks, fine)) == pytest.approx(float(found), abs=1e-9)


def test_finer_labels_become_shares() -> None:
    labels = torch.tensor([[[0, 1, 255, 255], [1, 1, 255, 2]]], dtype=torch.uint8)
    shares, counted = class_shares(labels, (1, 2), 3)
    assert shares[0, :, 0].tolist() == [[0.25, 0.0], [0.75, 0.0], [0.0, 0.25]]
    assert counted.tolist() == [[[1.0, 0.25]]]


def test_perfect_queries_cost_nothing_and_every_image_has_gradients() -> None:
    labels = some_labels()[:2]
    masks = torch.full((2, 4, 3, 4), -50.0)
    classes = torch.full((2, 4, 4), -50.0)
    for kind, query in ((0, 3), (1, 0), (2, 1)):
        masks[:, query] = torch.where(labels == kind, 50.0, -50.0)
        classes[0, query, kind] = 50.0
    classes[0, 2, 3] = 50.0
    classes[1, :, 3] = 50.0
    classes[1, 1] = torch.tensor([-50.0, -50.0, 50.0, -50.0])
    assert float(matching_loss(classes, masks, labels)) < 1e-3
    empty = torch.full((1, 3, 4), 255, dtype=torch.uint8)
    leaves = [noise(1, 4, 4).requires_grad_(), noise(1, 4, 3, 4).requires_grad_()]
    gradients = torch.autograd.grad(matching_loss(leaves[0], leaves[1], empty), leaves)
    assert all(float(gradient.abs().max()) == 0.0 for gradient in gradients)


def test_the_heads_loss_takes_the_place_of_the_recipes() -> None:
    features = Features(torch.randn(2, 16, 6, 6, generator=torch.Generator().manual_seed(0)))
    labels = torch.randint(0, 3, (2, 96, 96), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    model = adapt(tiny_sam(), queries(), num_classes=2).train()
    with recording() as outputs:
        logits = model.decode(features)
    ((heads, answers),) = outputs.answers
    assert isinstance(heads, QueryHeads)
    assert heads is model.decoder.classes
    assert has_own_loss(model)
    assert torch.equal(
        task_loss(outputs, logits, labels, ce_dice),
        matching_loss(answers[0], answers[1], labels),
    )
    copy.deepcopy(model)  # no graph of the last pass stands in the way
    plain = adapt(tiny_sam(), make_method("decoder_only"), num_classes=2)
    with recording() as outputs:
        logits = plain.decode(features)
    assert not has_own_loss(plain)
    assert torch.equal(
        task_loss(outputs, logits, labels, ce_dice),
        segmentation_loss(logits, labels, "ce_dice"),
    )


def test_queries_learn_to_stand_for_different_classes() -> None:
    model = adapt(tiny_sam(seed=2), queries(4), num_classes=2).train()
    labels = torch.zeros(1, 6, 6, dtype=torch.uint8)
    labels[:, :3, :3], labels[:, 3:, 3:] = 1, 2
    image = labels.float().repeat_interleave(16, 1).repeat_interleave(16, 2)[:, None] - 1
    with torch.no_grad():
        features = model.encode(image.expand(1, 3, 96, 96))
    optimiser = torch.optim.AdamW(trainable(model).values(), lr=2e-3)
    losses = []
    for _ in range(150):
        with recording() as outputs:
            logits = model.decode(features)
        loss = task_loss(outputs, logits, labels, ce_dice)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trainable(model).values(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    classes, _ = outputs.answers[0][1]
    assert len(set(classes[0].argmax(1).tolist())) >= 3, "queries for at least three of 0, 1, 2, no object"
    with torch.no_grad():
        best, kind = model.eval().decode(features).max(1)
    found = torch.where(best > 0, kind + 1, 0)[:, ::4, ::4]
    assert (found == labels).float().mean() > 0.5, "more than calling everything background gives"


def test_too_few_queries_are_refused_and_leave_nothing_behind() -> None:
    model = tiny_sam()
    with pytest.raises(MethodError, match="Expected `num_queries` >= 4, one for each class"):
        adapt(model, queries(3), num_classes=3)
    for name in ("lora", "conv_lora"):
        with pytest.raises(MethodError, match="Expected `num_queries` >= 11, one for each class"):
            adapt(model, make_method(name, head="queries"), num_classes=10)
    assert set(model.state_dict()) == set(tiny_sam().state_dict())


def test_the_documented_counts_at_sams_sizes() -> None:
    model = adapt(build("facebook/sam-vit-base"), queries(), num_classes=3)
    assert model.decoder.classes is not None
    assert sum(p.numel() for p in model.decoder.classes.parameters()) == 143_653
    model = adapt(build("facebook/sam-vit-base"), make_method("decoder_only"), num_classes=3)
    assert model.decoder.classes is not None
    assert sum(p.numel() for p in model.decoder.classes.parameters()) == 420_192
