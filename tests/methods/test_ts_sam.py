"""TS-SAM: each part against its equations written out, the wiring against SAM's blocks, the published numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from samtune.adapters import card_of, load_specialist, save
from samtune.bases import build
from samtune.bases.sam1.model import Sam1
from samtune.errors import ConfigError, MethodError
from samtune.methods import adapt, delta, make_method, touches_encoder, trainable
from samtune.methods.parts.frequency import high_frequency
from samtune.methods.ts_sam.method import FusionHead, SideStream
from samtune.methods.ts_sam.modules import FusionDecoder, Gate, Refinement, SideAdapter, norm
from samtune.types import Features
from tests.tiny import tiny_sam

both = pytest.mark.parametrize("paper", [False, True])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def randomise(module: nn.Module) -> None:
    """Every parameter random, so that none can be left out unseen."""
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.add_(0.3 * noise(*parameter.shape, seed=number))


# Independent pieces: sums by einsum and loops, with the modules' parameters.


def naive_norm(layer: nn.Module, planes: Tensor) -> Tensor:
    """By the definitions: BatchNorm in training over batch and pixels, GroupNorm over an image's group of channels."""
    out = torch.empty_like(planes)
    batch, channels = planes.shape[:2]
    if isinstance(layer, nn.BatchNorm2d):
        for c in range(channels):
            values = planes[:, c]
            out[:, c] = (values - values.mean()) / (values.var(correction=0) + 1e-5).sqrt()
    else:
        assert isinstance(layer, nn.GroupNorm)
        width = channels // layer.num_groups
        for b in range(batch):
            for first in range(0, channels, width):
                values = planes[b, first : first + width]
                out[b, first : first + width] = (values - values.mean()) / (values.var(correction=0) + 1e-5).sqrt()
    assert isinstance(layer.weight, Tensor)
    assert isinstance(layer.bias, Tensor)
    return out * layer.weight[:, None, None] + layer.bias[:, None, None]


def naive_convolution(layer: nn.Module, planes: Tensor) -> Tensor:
    """A sum over the taps of a kernel, shifted images with zeros around."""
    assert isinstance(layer, nn.Conv2d)
    side = layer.weight.shape[-1]
    half = side // 2
    batch, _, height, width = planes.shape
    padded = torch.zeros(batch, planes.shape[1], height + 2 * half, width + 2 * half)
    padded[..., half : half + height, half : half + width] = planes
    out = torch.zeros(batch, layer.weight.shape[0], height, width)
    for v in range(side):
        for u in range(side):
            shifted = padded[..., v : v + height, u : u + width]
            out = out + torch.einsum("bihw,oi->bohw", shifted, layer.weight[..., v, u])
    return out if layer.bias is None else out + layer.bias[:, None, None]


def naive_doubling(layer: nn.Module, planes: Tensor) -> Tensor:
    """Each cell becomes 2 x 2 cells, by a matrix for each."""
    assert isinstance(layer, nn.ConvTranspose2d)
    assert layer.bias is not None
    batch, _, height, width = planes.shape
    out = torch.empty(batch, layer.weight.shape[1], 2 * height, 2 * width)
    for v in (0, 1):
        for u in (0, 1):
            cells = torch.einsum("bihw,io->bohw", planes, layer.weight[..., v, u])
            out[..., v::2, u::2] = cells + layer.bias[:, None, None]
    return out


def naive_unit(module: nn.Module, planes: Tensor) -> Tensor:
    assert isinstance(module, nn.Sequential)
    convolution = naive_doubling if isinstance(module[0], nn.ConvTranspose2d) else naive_convolution
    return naive_norm(module[1], convolution(module[0], planes)).clamp(min=0)


def naive_adapter(module: SideAdapter, main: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
    main = main + naive_unit(module.inject, side)
    return naive_unit(module.collect, main), main


def naive_refinement(module: Refinement, main: Tensor) -> tuple[Tensor, Tensor]:
    squeezed = naive_unit(module.squeeze, main)
    maps = [squeezed, naive_unit(module.twofold, squeezed)]
    for stage in module.fourfold:
        maps[0] = naive_unit(stage, maps[0])
    gated = []
    for gate, planes in zip(module.gates, maps, strict=True):
        assert isinstance(gate, Gate)
        inner, outer = (layer.weight[..., 0, 0] for layer in (gate.inner, gate.outer))
        hidden = torch.einsum("bihw,oi->bohw", planes, inner).clamp(min=0)
        gated.append(planes * torch.tanh(torch.einsum("bihw,oi->bohw", hidden, outer)))
    return gated[0], gated[1]


def naive_enlarged(planes: Tensor, *, corners: bool) -> Tensor:
    """Bilinear, twice the size: each new row and column between two old ones."""

    def weights(length: int) -> Tensor:
        matrix = torch.zeros(2 * length, length)
        for new in range(2 * length):
            place = new * (length - 1) / (2 * length - 1) if corners else max(0.0, (new + 0.5) / 2 - 0.5)
            low = min(math.floor(place), length - 1)
            matrix[new, low] += 1 - (place - low)
            matrix[new, min(low + 1, length - 1)] += place - low
        return matrix

    return torch.einsum("yh,xw,bchw->bcyx", weights(planes.shape[2]), weights(planes.shape[3]), planes)


def naive_fusion(module: FusionDecoder, side: Tensor, twofold: Tensor, fourfold: Tensor, *, paper: bool) -> Tensor:
    mixed = naive_unit(module.enter, side)
    for stage, fine in zip(module.stages, (twofold, fourfold), strict=True):
        own = naive_unit(stage.fine, fine)  # type: ignore[arg-type]
        cells = torch.stack([own[..., v::2, u::2] for v in (0, 1) for u in (0, 1)])
        pooled = cells.amax(0) + cells.mean(0)
        mixed = naive_unit(stage.coarse, torch.cat([mixed, pooled], 1))  # type: ignore[arg-type]
        mixed = torch.cat([naive_enlarged(mixed, corners=paper), fine], 1)
        mixed = naive_unit(stage.merged, mixed)  # type: ignore[arg-type]
    return naive_convolution(module.logits, mixed)


@both
def test_side_adapter_is_its_equations(paper: bool) -> None:
    module = SideAdapter(24, 8, 16, paper=paper)
    randomise(module)
    main, side = noise(2, 24, 5, 7), noise(2, 8, 5, 7, seed=1)
    for found, expected in zip(module(main, side), naive_adapter(module, main, side), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@both
def test_refinement_is_its_equations(paper: bool) -> None:
    module = Refinement(24, 8, paper=paper)
    randomise(module)
    main = noise(2, 24, 3, 5)
    fourfold, twofold = module(main)
    assert fourfold.shape == (2, 8, 12, 20)
    assert twofold.shape == (2, 8, 6, 10)
    for found, expected in zip((fourfold, twofold), naive_refinement(module, main), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@both
def test_fusion_decoder_is_its_equations(paper: bool) -> None:
    module = FusionDecoder(12, 8, 3, paper=paper)
    randomise(module)
    maps = noise(2, 12, 3, 5), noise(2, 8, 6, 10, seed=1), noise(2, 8, 12, 20, seed=2)
    found = module(*maps)
    assert found.shape == (2, 3, 12, 20)
    torch.testing.assert_close(found, naive_fusion(module, *maps, paper=paper), atol=1e-4, rtol=1e-4)


def test_norms_divide_the_channels() -> None:
    for channels, groups in ((768, 32), (1024, 32), (1280, 32), (256, 32), (128, 32), (24, 6), (10, 2), (3, 1)):
        layer = norm(channels, paper=False)
        assert isinstance(layer, nn.GroupNorm)
        assert layer.num_groups == groups
    assert isinstance(norm(8, paper=True), nn.BatchNorm2d)


def naive_scrambled(patches: Tensor) -> Tensor:
    """What the public code's `init_embeddings` reads, number by number: a map (H, W, C) in a row, taken as (C, H W)."""
    out = torch.empty_like(patches)
    batch, height, width, channels = patches.shape
    for b in range(batch):
        row = [float(number) for number in patches[b].flatten()]
        for token in range(height * width):
            for channel in range(channels):
                out[b, token // width, token % width, channel] = row[channel * height * width + token]
    return out


def adapted(**fields: Any) -> tuple[Sam1, SideStream]:
    model = adapt(tiny_sam(), make_method("ts_sam", **fields))
    side = model.vision_encoder.side
    assert isinstance(side, SideStream)
    return model, side


def silence(*adapters: nn.Module) -> None:
    """Let the norm ahead of each injection give zeros."""
    for adapter in adapters:
        assert isinstance(adapter, SideAdapter)
        for parameter in adapter.inject[1].parameters():
            parameter.zero_()


@pytest.mark.parametrize(
    ("fields", "mixed"),
    [
        ({}, False),
        ({"paper": True}, True),
        ({"paper": True, "frequency": True}, True),
        ({"paper": True, "stem": "equation"}, False),
        ({"stem": "scrambled"}, True),
        ({"frequency": True}, False),
        ({"refinements": 1}, False),
        ({"refinements": 0, "side_channels": 12}, False),
    ],
)
def test_wiring_is_the_order_of_the_equations(fields: dict[str, Any], mixed: bool) -> None:
    """SAM's own blocks (one windowed, its windows padded) run by hand between naive side adapters and refinements."""
    model, side = adapted(**fields)
    randomise(side)
    plain, pixels = tiny_sam().vision_encoder, noise(2, 3, 96, 96)
    assert plain.pos_embed is not None
    sums: list[tuple[Tensor, Tensor]] = []
    with torch.no_grad():
        patches = plain.patch_embed.projection(pixels).permute(0, 2, 3, 1)
        read = naive_scrambled(patches) if mixed else patches
        stream = torch.einsum("bhwc,sc->bshw", read, side.enter.weight) + side.enter.bias[:, None, None]
        if side.edges is not None:
            cut = high_frequency(pixels).unfold(2, 16, 16).unfold(3, 16, 16)
            assert side.edges.bias is not None
            stream = stream + torch.einsum("bchwij,qcij->bqhw", cut, side.edges.weight)
            stream = stream + side.edges.bias[:, None, None]
        tokens = patches + plain.pos_embed
        stream = naive_adapter(side.stem, tokens.permute(0, 3, 1, 2), stream)[0]
        refinements = list(side.refinements)
        for index, block in enumerate(plain.blocks):
            main = block(tokens).permute(0, 3, 1, 2)
            if index >= len(plain.blocks) - len(refinements):
                module = refinements[index - len(plain.blocks)]
                assert isinstance(module, Refinement)
                sums.append(naive_refinement(module, main))
            adapter = side.adapters[index]
            assert isinstance(adapter, SideAdapter)
            stream, main = naive_adapter(adapter, main, stream)
            tokens = main.permute(0, 2, 3, 1)
        embedding = plain.neck(tokens)
        sums.append(naive_refinement(side.last_refinement, embedding))
        stream = naive_adapter(side.last_adapter, embedding, stream)[0]
        features = model.encode(pixels)
        logits = model.decode(features)
        assert len(sums) == min(2, fields.get("refinements", 12)) + 1
        fourfold, twofold = (torch.stack(maps).sum(0) for maps in zip(*sums, strict=True))
        assert isinstance(model.head, FusionHead)
        expected = naive_fusion(model.head.decoder, stream, twofold, fourfold, paper=bool(fields.get("paper")))
    for found, wanted in (
        (features.embedding, embedding),
        (features.extras["side"], stream),
        (features.extras["refined_4x"], fourfold),
        (features.extras["refined_2x"], twofold),
        (logits, expected),
    ):
        torch.testing.assert_close(found, wanted, atol=2e-3, rtol=2e-3)


@both
def test_without_the_injection_the_embedding_is_sams_own(paper: bool) -> None:
    model, side = adapted(paper=paper)
    pixels = noise(2, 3, 96, 96)
    with torch.no_grad():
        before = model.encode(pixels).embedding
        silence(*side.adapters, side.stem, side.last_adapter)
        after = model.encode(pixels).embedding
        expected = tiny_sam().encode(pixels).embedding
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)  # the stream has another layout here
    assert not torch.allclose(before, expected, atol=1e-2)


def test_what_the_stem_and_the_last_adapter_add_stays_out_of_the_stream() -> None:
    model, side = adapted()
    pixels = noise(1, 3, 96, 96)
    with torch.no_grad():
        silence(*side.adapters)
        found = model.encode(pixels).embedding
        expected = tiny_sam().encode(pixels).embedding
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@both
def test_published_norms_depend_on_the_batch_and_the_default_does_not(paper: bool) -> None:
    model, _ = adapted(paper=paper)
    pixels = noise(2, 3, 96, 96)
    with torch.no_grad():
        together, alone = (model.decode(model.encode(images))[:1] for images in (pixels, pixels[:1]))
    assert torch.allclose(together, alone, atol=1e-4) != paper
    assert any(name.endswith("running_mean") for name in delta(model)) == paper


def test_running_statistics_are_saved_and_loaded(tmp_path: Path) -> None:
    model = adapt(tiny_sam(), make_method("ts_sam", paper=True))
    with torch.no_grad():
        for seed in range(3):
            model.decode(model.encode(noise(2, 3, 96, 96, seed=seed)))
    save(model, tmp_path, card_of(model, ("thing",)))
    loaded, _ = load_specialist(tmp_path, tiny_sam())
    expected, found = delta(model), delta(loaded)
    key = "vision_encoder.side.stem.inject.1.running_mean"
    assert expected[key].abs().max() > 0
    assert torch.equal(found[key], expected[key])
    assert int(found["head.decoder.enter.1.num_batches_tracked"]) == 3


@pytest.mark.parametrize("size_and_number", [("base", 11_892_865), ("large", 20_403_073), ("huge", 29_437_569)])
def test_numbers_on_sams_sizes(size_and_number: tuple[str, int]) -> None:
    size, number = size_and_number
    for fields, more in (({}, 0), ({"paper": True}, 0), ({"frequency": True}, 196_864)):
        model = adapt(build(f"facebook/sam-vit-{size}"), make_method("ts_sam", **fields))
        assert sum(parameter.numel() for parameter in trainable(model).values()) == number + more
    assert touches_encoder(model)
    three = adapt(build(f"facebook/sam-vit-{size}"), make_method("ts_sam"), num_classes=3)
    assert sum(parameter.numel() for parameter in trainable(three).values()) == number + 2 * 129


def test_a_specialist_of_before_the_published_stem_keeps_the_equation(tmp_path: Path) -> None:
    """Its card does not name the field `stem`; its tensors were learned with the equation, `paper=true` or not."""
    model = adapt(tiny_sam(), make_method("ts_sam", paper=True, stem="equation")).eval()
    save(model, tmp_path, card_of(model, ("thing",)))
    card = json.loads((tmp_path / "adapter_config.json").read_text())
    assert card["fields"].pop("stem") == "equation"
    (tmp_path / "adapter_config.json").write_text(json.dumps(card))
    pixels = noise(1, 3, 96, 96)
    with torch.no_grad():
        loaded, _ = load_specialist(tmp_path, tiny_sam())
        expected = model.decode(model.encode(pixels))
        torch.testing.assert_close(loaded.decode(loaded.encode(pixels)), expected, atol=1e-5, rtol=1e-5)
        published = adapt(tiny_sam(), make_method("ts_sam", paper=True)).eval()
        assert not torch.allclose(published.decode(published.encode(pixels)), expected, atol=1e-2)


def test_features_of_another_model_are_refused() -> None:
    model = adapt(tiny_sam(), make_method("ts_sam"))
    with pytest.raises(MethodError, match="encode with this model"):
        model.decode(Features(torch.zeros(1, 16, 6, 6)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"side_channels": 7}, "to be even and >= 2, got 7"), ({"refinements": -1}, ">= 0, got -1")],
)
def test_refusals(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_method("ts_sam", **fields)


def test_maps_have_the_published_shapes_at_1024_pixels() -> None:
    model = adapt(build("facebook/sam-vit-base"), make_method("ts_sam", frequency=True), num_classes=4)
    features = model.encode(torch.zeros(2, 3, 1024, 1024, device="meta"))
    side, twofold, fourfold = (features.extras[name] for name in ("side", "refined_2x", "refined_4x"))
    assert side.shape == (2, 256, 64, 64)
    assert fourfold.shape == (2, 128, 256, 256)
    assert twofold.shape == (2, 128, 128, 128)
    assert model.decode(features).shape == (2, 4, 256, 256)
