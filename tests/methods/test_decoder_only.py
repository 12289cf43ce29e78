"""Decoder-only: where its fixed prompt tokens come from, that the decoder hears them, and that they stay."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from samtune.adapters import card_of, load_specialist, save
from samtune.bases.sam1.model import Sam1
from samtune.errors import ConfigError
from samtune.methods import StartsFromData, adapt, delta, make_method, trainable
from samtune.methods.parts.prompt_tokens import start_tokens
from samtune.types import Features
from tests.tiny import tiny_sam


def data(num_classes: int) -> tuple[Tensor, Tensor]:
    """Features (4, 16, 6, 6) and labels of 0 .. num_classes."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, num_classes + 1, (4, 6, 6), generator=generator).to(torch.uint8)
    return torch.randn(4, 16, 6, 6, generator=generator), labels


def started(num_classes: int = 1) -> Sam1:
    method = make_method("decoder_only")
    assert isinstance(method, StartsFromData)
    model = adapt(tiny_sam(), method, num_classes=num_classes, seed=0)
    method.start(model, *data(num_classes), seed=0)
    return model


@pytest.mark.parametrize("num_classes", [1, 3])
def test_the_tokens_are_those_that_ptsam_starts_from(num_classes: int) -> None:
    other = adapt(tiny_sam(), make_method("ptsam"), num_classes=num_classes, seed=0)
    start_tokens(other, *data(num_classes), seed=0)
    ours, theirs = started(num_classes).decoder.prompts, other.decoder.prompts
    assert ours is not None
    assert theirs is not None
    torch.testing.assert_close(ours.tokens, theirs.tokens)


def test_one_class_starts_as_sam_answers_to_those_tokens() -> None:
    model, other = started(), adapt(tiny_sam(), make_method("ptsam"), seed=0)
    start_tokens(other, *data(1), seed=0)
    features = Features(data(1)[0])
    assert torch.allclose(model.decode(features), other.decode(features), atol=1e-5)


def test_every_class_hears_the_tokens_of_all() -> None:
    base = started(num_classes=3)
    features = Features(data(3)[0])
    before = base.decode(features)
    prompts = base.decoder.prompts
    assert prompts is not None
    with torch.no_grad():
        prompts.tokens[2] += 5
    assert (base.decode(features) - before).abs().amax((0, 2, 3)).min() > 1e-3


def test_the_tokens_are_saved_but_not_trained(tmp_path: Path) -> None:
    model = started()
    prompts = model.decoder.prompts
    assert prompts is not None
    assert not any("prompts" in name for name in trainable(model))
    assert any("prompts" in name for name in delta(model))
    save(model, tmp_path, card_of(model, ("thing",)))
    loaded, _ = load_specialist(tmp_path, tiny_sam())
    assert loaded.decoder.prompts is not None
    assert torch.equal(loaded.decoder.prompts.tokens, prompts.tokens)


def test_without_prompts_it_is_the_published_form() -> None:
    model = adapt(tiny_sam(), make_method("decoder_only", prompts="none"), seed=0)
    assert model.decoder.prompts is None
    features = Features(data(1)[0])
    assert torch.allclose(model.decode(features), tiny_sam().decode(features), atol=1e-6)


def test_other_prompts_are_refused() -> None:
    with pytest.raises(ConfigError, match="prompts"):
        make_method("decoder_only", prompts="clicks")
