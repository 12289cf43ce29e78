"""Full fine-tuning and training from scratch: what is trained, what is drawn, and that the whole model is saved."""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from samtune.adapters import card_of, load_specialist, read_card, save, saving_to
from samtune.adapters.card import write_card
from samtune.bases import build
from samtune.bases.sam1.model import Sam1
from samtune.errors import WeightsError
from samtune.losses import segmentation_loss
from samtune.methods import adapt, delta, make_method, trainable
from tests.tiny import tiny_sam

methods = pytest.mark.parametrize("method", ["full", "scratch"])


def adapted(method: str, seed: int = 0) -> Sam1:
    return adapt(tiny_sam(), make_method(method), seed=seed)


def disc(seed: int) -> tuple[Tensor, Tensor]:
    """Two noisy images (2, 3, 96, 96) with a bright disc, and their label maps."""
    generator = torch.Generator().manual_seed(seed)
    centres = 30 + 36 * torch.rand(2, 2, 1, 1, generator=generator)
    grid = torch.stack(torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij"))
    labels = ((grid - centres).square().sum(1) < 18**2).to(torch.uint8)
    pixels = 0.3 * torch.randn(2, 3, 96, 96, generator=generator) + 2.0 * labels[:, None]
    return pixels, labels


@methods
def test_everything_is_trained_but_the_positional_matrix(method: str) -> None:
    model = adapted(method)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"shared_image_embedding.positional_embedding"}


@methods
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"]
)
def test_a_copy_decodes_with_its_own_weights(method: str, copied: Callable[[Sam1], Sam1]) -> None:
    model = adapted(method)
    twin, (pixels, _) = copied(model), disc(0)
    with torch.no_grad():
        expected = model.decode(model.encode(pixels))
        model.decoder.mask_tokens.weight.add_(1.0)
        torch.testing.assert_close(twin.decode(twin.encode(pixels)), expected, atol=1e-5, rtol=1e-5)
        twin.decoder.mask_tokens.weight.add_(1.0)
        assert not torch.allclose(twin.decode(twin.encode(pixels)), expected, atol=1e-3)


@methods
def test_several_classes_have_heads_of_their_own(method: str) -> None:
    model = adapt(tiny_sam(), make_method(method), num_classes=3)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert {name.rpartition("_mlps.")[0] for name in frozen} == {"", "mask_decoder.output_hypernetworks"}
    assert any(name.startswith("mask_decoder.classes.") for name in trainable(model))


@methods
@pytest.mark.parametrize(("size", "number"), [("base", 93_735_472), ("large", 312_342_832), ("huge", 641_090_608)])
def test_numbers_on_sams_sizes(method: str, size: str, number: int) -> None:
    """Those of the whole models as published."""
    base = build(f"facebook/sam-vit-{size}")
    matrix = base.get_parameter("shared_image_embedding.positional_embedding").numel()
    assert sum(parameter.numel() for parameter in base.parameters()) - matrix == number
    assert sum(p.numel() for p in trainable(adapt(base, make_method(method))).values()) == number


def test_scratch_keeps_nothing_of_the_base_that_the_mask_depends_on() -> None:
    """Two bases with other weights and one seed give the same model, but for the positional matrix."""
    one = adapted("scratch", seed=7)
    other = adapt(tiny_sam(seed=1), make_method("scratch"), seed=7)
    with torch.no_grad():
        other.get_parameter("shared_image_embedding.positional_embedding").copy_(
            one.get_parameter("shared_image_embedding.positional_embedding")
        )
        pixels = disc(0)[0]
        ours, theirs = one.decode(one.encode(pixels)), other.decode(other.encode(pixels))
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        third = adapted("scratch", seed=8)
        assert not torch.allclose(one.decode(one.encode(pixels)), third.decode(third.encode(pixels)))


def test_first_values_of_scratch_have_the_spread_that_is_said() -> None:
    model = adapt(tiny_sam(hidden_size=64), make_method("scratch"), num_classes=3)
    encoder, decoder = model.vision_encoder, model.decoder
    for weight, std in (
        (encoder.blocks[0].attn.qkv.weight, 64**-0.5),
        (encoder.blocks[1].get_parameter("mlp.lin2.weight"), 48**-0.5),
        (encoder.patch_embed.projection.weight, 768**-0.5),
        (encoder.get_parameter("neck.conv2.weight"), (16 * 9) ** -0.5),
        (decoder.upscale_conv1.get_parameter("weight"), 16**-0.5),
        (encoder.pos_embed, 0.02),
        (decoder.mask_tokens.weight, 1.0),
    ):
        assert weight is not None
        assert float(weight.detach().std()) == pytest.approx(std, rel=0.25)
    assert not encoder.blocks[0].attn.rel_pos_h.any()
    assert not encoder.blocks[0].attn.qkv.bias.any()
    assert (encoder.blocks[0].layer_norm1.get_parameter("weight") == 1).all()
    assert decoder.classes is not None
    assert len(set(map(tuple, decoder.classes.tokens.tolist()))) == 3
    with torch.no_grad():
        features = model.encode(disc(0)[0])
        assert 0.1 < float(features.embedding.std()) < 10
        assert 0.01 < float(model.decode(features).std()) < 100


@pytest.mark.parametrize(("method", "rate", "share"), [("full", 3e-3, 0.9), ("scratch", 1e-3, 0.65)])
def test_it_learns(method: str, rate: float, share: float) -> None:
    """The tiny base is noise of another kind, which fine-tuning leaves more slowly than fan-in values."""
    model = adapted(method)
    optimiser = torch.optim.AdamW(trainable(model).values(), lr=rate)
    losses = []
    for step in range(75):
        pixels, labels = disc(step)
        loss = segmentation_loss(model.decode(model.encode(pixels)), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(trainable(model).values()), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < share * sum(losses[:5])


@methods
def test_the_whole_model_is_saved_strictly(method: str, tmp_path: Path) -> None:
    model = adapted(method)
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.add_(0.1)
    card = save(model, tmp_path, card_of(model, ("thing",)))
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    assert set(tensors) == set(delta(model)) == set(trainable(model))
    loaded, _ = load_specialist(tmp_path, tiny_sam())
    for key, tensor in delta(loaded).items():
        assert torch.equal(tensor, delta(model)[key]), key
    del tensors["vision_encoder.layers.1.attn.qkv.weight"]
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    assert read_card(tmp_path) == card
    with pytest.raises(WeightsError, match="sha256"):
        load_specialist(tmp_path, tiny_sam())
    digest = hashlib.sha256((tmp_path / "adapter_model.safetensors").read_bytes()).hexdigest()
    write_card(saving_to(tmp_path, overwrite=True), replace(card, adapter_sha256=digest), 0)
    with pytest.raises(WeightsError, match=r"missing \['vision_encoder.layers.1.attn.qkv.weight'\]"):
        load_specialist(tmp_path, tiny_sam())
