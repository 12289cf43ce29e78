"""What ptsam has beyond its paper: first values, mask tokens, a mask prompt from the probe, ensembles."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from samtune.adapters import card_of, load_specialist, save
from samtune.bases import Sam
from samtune.errors import ConfigError, MethodError
from samtune.losses import probabilities, segmentation_loss
from samtune.methods import adapt, delta, disagreement, fit_probe, make_method, member_logits, task_loss, trainable
from samtune.methods.parts.mask_prompts import ProbeMasks
from samtune.methods.parts.token_sets import TokenSets
from samtune.types import Features
from tests.tiny import tiny_library, tiny_sam


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def adapted(num_classes: int = 1, seed: int = 0, **fields: Any) -> Sam:
    return adapt(tiny_sam(), make_method("ptsam", **fields), num_classes=num_classes, seed=seed)


def sets_of(sam: Sam) -> TokenSets:
    assert isinstance(sam.decoder.prompts, TokenSets)
    return sam.decoder.prompts


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


# Mask tokens


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_a_mask_token_gives_that_mask_of_sam(index: int) -> None:
    sam = adapted(num_classes=2, mask_token=index)
    features = Features(noise(2, 16, 6, 6))
    dense, positions = sam.dense(features), sam.positions(features.embedding)
    with torch.no_grad():
        sparse = sets_of(sam).tokens.expand(2, -1, -1, -1)
        expected, _ = sam.decoder.masks(dense, positions, sparse, (0, 1, 2, 3))
        torch.testing.assert_close(sam.decode(features), expected[:, :, index], atol=1e-5, rtol=1e-5)


def test_the_mix_is_a_softmax_mean_of_the_four_masks() -> None:
    sam = adapted(num_classes=2, mask_token="mix")
    features = Features(noise(2, 16, 6, 6))
    sets = sets_of(sam)
    assert sets.mix is not None
    with torch.no_grad():
        four = [sam.decoder.masks(
            sam.dense(features), sam.positions(features.embedding), sets.tokens.expand(2, -1, -1, -1), (index,)
        )[0][:, :, 0] for index in range(4)]  # fmt: skip
        assert torch.allclose(sam.decode(features), torch.stack(four).mean(0), atol=1e-5), "equal weights at first"
        sets.mix[1] = torch.tensor([0.0, 1.0, -1.0, 0.5])
        expected = sum(w * mask[:, 1] for w, mask in zip(sets.mix[1].softmax(0), four, strict=True))
        assert torch.allclose(sam.decode(features)[:, 1], torch.as_tensor(expected), atol=1e-5)


# The mask prompt


def test_a_mask_prompt_is_what_the_library_makes_of_input_masks() -> None:
    library, sam = tiny_library(), tiny_sam()
    masks = 4 * noise(2, 1, 24, 24)
    pixels = noise(2, 3, 96, 96, seed=1)
    points = torch.tensor([[[[40.0, 30.0]]], [[[10.0, 70.0]]]])
    labels = torch.ones(2, 1, 1, dtype=torch.long)
    with torch.no_grad():
        expected = library(
            pixel_values=pixels, input_points=points, input_labels=labels, input_masks=masks, multimask_output=False
        ).pred_masks
        sparse, _ = sam.prompt_encoder(points, labels, None, None)
        sam.mask_prompt = Given(masks)
        features = sam.encode(pixels)
        dense = sam.dense(features)
        assert dense.shape == (2, 1, 16, 6, 6)
        found, _ = sam.decoder.masks(dense, sam.positions(features.embedding), sparse, (0,))
    assert torch.allclose(found, expected, atol=1e-4)


class Given(torch.nn.Module):
    """The masks it is given, whatever the image."""

    def __init__(self, masks: Tensor) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, features: Features) -> Tensor:
        return self.masks[: len(features.embedding)]


def test_each_class_gets_its_own_mask_prompt_in_every_member() -> None:
    """Class k of the whole model equals a model of one class with tokens and mask of class k."""
    sam = adapted(num_classes=3, dense="probe", ensemble=2)
    features = Features(noise(2, 16, 6, 6))
    fitted = sam.mask_prompt
    assert isinstance(fitted, ProbeMasks)
    fitted.fit(*planted(num_classes=3), folds=1)
    with torch.no_grad():
        together = member_logits(sam, features)
        for label in range(3):
            for member in range(2):
                one = adapted(dense="probe")
                assert isinstance(one.mask_prompt, ProbeMasks)
                one.mask_prompt.weight.copy_(fitted.weight[label : label + 1])
                one.mask_prompt.bias.copy_(fitted.bias[label : label + 1])
                sets_of(one).tokens.copy_(sets_of(sam).tokens[member, label : label + 1])
                assert torch.allclose(one.decode(features)[:, 0], together[member, :, label], atol=1e-5)
        assert (together[:, :, 0] - together[:, :, 1]).abs().max() > 1e-2


def test_mask_prompts_that_do_not_fit_are_refused() -> None:
    sam = tiny_sam()
    sam.mask_prompt = Given(noise(2, 2, 6, 6))
    features = Features(noise(2, 16, 6, 6))
    assert sam.decode(features).shape == (2, 2, 24, 24), "without tokens there is one mask for each mask prompt"
    adapt(sam, make_method("decoder_only"))
    with pytest.raises(MethodError, match="one mask prompt, but 2 came"):
        sam.decode(features)
    other = adapted(num_classes=3)
    other.mask_prompt = Given(noise(2, 2, 6, 6))
    with pytest.raises(MethodError, match="but 2 came for 3 sets"):
        other.decode(features)


def test_the_probes_map_is_cut_and_saved(tmp_path: Path) -> None:
    sam = adapted(num_classes=2, dense="probe")
    embedding, labels = planted(num_classes=2)
    method = sam.__dict__["_adaptation"].method
    method.start(sam, embedding, labels, seed=0)
    probe = fit_probe(embedding, labels, 2)
    assert isinstance(sam.mask_prompt, ProbeMasks)
    torch.testing.assert_close(sam.mask_prompt.weight, probe.weight, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sam.mask_prompt.bias, probe.bias, atol=1e-5, rtol=1e-4)
    large = Features(100 * embedding)
    torch.testing.assert_close(sam.mask_prompt(large), probe.logits(large).clamp(-8, 8), atol=1e-3, rtol=1e-4)
    assert {key for key in delta(sam) if key.startswith("mask_prompt")} == {"mask_prompt.weight", "mask_prompt.bias"}
    assert set(trainable(sam)) == {"mask_decoder.prompts.tokens"}
    save(sam.eval(), tmp_path, card_of(sam, ("a", "b")))
    loaded, _ = load_specialist(tmp_path, tiny_sam())
    with torch.no_grad():
        torch.testing.assert_close(loaded.decode(large), sam.decode(large), atol=1e-4, rtol=1e-4)


def test_in_training_an_image_is_read_by_a_probe_that_has_not_seen_it() -> None:
    embedding, labels = planted(num=7)
    masks = ProbeMasks(1, 16)
    masks.fit(embedding, labels, folds=3)
    items = torch.tensor([5, 0, 6])
    found = masks(Features(embedding[items], items=items))
    for row, item in enumerate(items.tolist()):
        others = [other for other in range(7) if other % 3 != item % 3]
        probe = fit_probe(embedding[others], labels[others], 1)
        expected = probe.logits(Features(embedding[item : item + 1])).clamp(-8, 8)
        assert torch.allclose(found[row], expected[0], atol=1e-4)
    own = masks(Features(embedding[items]))
    assert not torch.allclose(own, found, atol=1e-2), "elsewhere the probe of all images serves"
    torch.testing.assert_close(copy.deepcopy(masks)(Features(embedding[items], items=items)), found)


def test_one_image_leaves_no_fold(caplog: pytest.LogCaptureFixture) -> None:
    embedding, labels = planted(num=1)
    masks = ProbeMasks(1, 16)
    with caplog.at_level("INFO", logger="samtune"):
        masks.fit(embedding, labels, folds=4)
    assert masks.fold_weight is None
    assert "One training image" in caplog.text


# Ensembles


@pytest.mark.parametrize("init", ["points", "normal", "sam_scale", "prototype"])
def test_the_first_member_starts_where_a_single_one_does_and_the_others_elsewhere(init: str) -> None:
    one, three = adapted(num_classes=2, init=init, seed=4), adapted(num_classes=2, init=init, ensemble=3, seed=4)
    for sam in (one, three):
        sam.__dict__["_adaptation"].method.start(sam, *planted(num_classes=2), seed=4)
    first, *others = sets_of(three).tokens.detach()
    torch.testing.assert_close(first, sets_of(one).tokens.detach())
    assert all((first - other).abs().max() > 1e-3 for other in others)


@pytest.mark.parametrize("num_classes", [1, 2])
def test_an_ensemble_averages_the_probabilities_of_its_members(num_classes: int) -> None:
    sam = adapted(num_classes, ensemble=3, mask_token="mix").eval()
    features = Features(noise(2, 16, 6, 6))
    with torch.no_grad():
        members = member_logits(sam, features)
        assert members.shape == (3, 2, num_classes, 24, 24)
        alone = []
        for number in range(3):
            one = adapted(num_classes, mask_token="mix")
            sets_of(one).tokens.copy_(sets_of(sam).tokens[number])
            alone.append(one.decode(features))
            assert torch.allclose(alone[-1], members[number], atol=1e-5)
        chances = torch.stack([probabilities(logits) for logits in alone])
        assert torch.allclose(probabilities(sam.decode(features)), chances.mean(0), atol=1e-5)
        apart = disagreement(sam, features)
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
        sam = adapted(ensemble=2).train()
        with torch.no_grad():
            sets_of(sam).tokens[1] += shift
        loss = task_loss(sam, sam.decode(features), labels, "bce_dice")
        members = member_logits(sam, features)
        expected = torch.stack([segmentation_loss(logits, labels, "bce_dice") for logits in members]).mean()
        assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-5)
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = sets_of(sam).tokens.grad
        assert gradient is not None
        gradients.append(gradient[0])
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_outside_training_the_loss_is_that_of_the_common_answer() -> None:
    sam = adapted(ensemble=2).train()
    features, labels = Features(noise(1, 16, 6, 6)), torch.ones(1, 24, 24, dtype=torch.uint8)
    sam.decode(features)
    sam.eval()
    with torch.no_grad():
        logits = sam.decode(features)
        assert torch.equal(task_loss(sam, logits, labels, "bce_dice"), segmentation_loss(logits, labels, "bce_dice"))
    copy.deepcopy(sam)


# Fields


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"ensemble": 0}, "ensemble must be 1 or more, but 0 came"),
        ({"dense": "probe", "dense_folds": 0}, "dense_folds must be 1 or more"),
        ({"dense_folds": 2}, "no effect without a mask prompt"),
        ({"mask_token": 4}, "one of 0, 1, 2, 3, mix, got 4"),
        ({"mask_token": True}, "one of 0, 1, 2, 3, mix, got True"),
        ({"init": "sam"}, "sam_scale"),
    ],
)
def test_bad_fields_are_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_method("ptsam", **fields)
