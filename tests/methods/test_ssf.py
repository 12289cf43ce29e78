"""SSF's wrappers against naive ones, its places, and folding back to a plain SAM."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samtune.bases import build
from samtune.bases.sam1.encoder import ImageEncoder
from samtune.bases.sam1.model import Sam1
from samtune.errors import ConfigError, MethodError
from samtune.methods import Foldable, adapt, fold, make_method, trainable
from samtune.methods.ssf import SSFConv2d, SSFLayerNorm, SSFLinear, scaled
from tests.tiny import tiny_library, tiny_sam


def pixels() -> Tensor:
    return torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))


def randomise(model: Sam1) -> Sam1:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("gamma", "beta")):
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def channels_first_norm(channels: int) -> nn.Module:
    norm = tiny_library().vision_encoder.neck.layer_norm1
    assert norm.data_format == "channels_first"
    assert tuple(norm.weight.shape) == (channels,)
    return norm  # type: ignore[no-any-return]


CASES = {
    "linear": (nn.Linear(4, 6), (2, 3, 3, 4), -1),
    "linear without bias": (nn.Linear(4, 6, bias=False), (2, 3, 3, 4), -1),
    "strided convolution": (nn.Conv2d(3, 5, 2, stride=2), (2, 3, 4, 6), 1),
    "convolution without bias": (nn.Conv2d(3, 5, 3, padding=1, bias=False), (2, 3, 4, 6), 1),
    "layer norm": (nn.LayerNorm(4), (2, 3, 3, 4), -1),
    "layer norm, channels first": (channels_first_norm(16), (2, 16, 3, 5), 1),
}


@pytest.mark.parametrize(("base", "shape", "axis"), CASES.values(), ids=CASES)
def test_scales_and_shifts_every_output_channel_and_folds(base: nn.Module, shape: tuple[int, ...], axis: int) -> None:
    torch.manual_seed(0)
    module, inputs = scaled(base), torch.randn(shape)
    assert module.weight is base.weight
    with torch.no_grad():
        torch.testing.assert_close(module(inputs), base(inputs))  # 1 and 0 at the start
        module.gamma.normal_()
        if module.beta is not None:
            module.beta.normal_()
        plain = base(inputs)
        expected = torch.empty_like(plain)
        for channel in range(plain.shape[axis]):
            shift = 0.0 if module.beta is None else module.beta[channel]
            expected.select(axis, channel).copy_(plain.select(axis, channel) * module.gamma[channel] + shift)
        folded = module.folded()
        assert torch.allclose(module(inputs), expected, atol=1e-6)
        assert torch.allclose(folded(inputs), expected, atol=1e-5)
        torch.testing.assert_close(base(inputs), plain)  # folding leaves the base's tensors alone
    assert type(folded) is type(base)
    assert set(folded.state_dict()) == set(base.state_dict())
    assert (module.beta is None) == (getattr(base, "bias", None) is None)


def test_encoder_equals_a_naive_one() -> None:
    """Every operation of a global block, the patch embedding and the neck, each followed by its own gamma and beta."""
    base, model = tiny_sam(), randomise(adapt(tiny_sam(), make_method("ssf")))

    def ssf(value: Tensor, module: nn.Module) -> Tensor:
        assert isinstance(module, SSFLinear | SSFConv2d | SSFLayerNorm)
        return value * module.gamma + (0.0 if module.beta is None else module.beta)

    with torch.no_grad():
        plain, block = base.blocks[1], model.blocks[1]
        tokens = torch.randn(2, 6, 6, 32, generator=torch.Generator().manual_seed(3))
        seen: list[Tensor] = []
        handle = block.at("proj").register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
        fused: list[Tensor] = []
        other = block.at("qkv").register_forward_hook(lambda _m, _i, out: fused.append(out))
        found = block(tokens)
        handle.remove()
        other.remove()
        normed = ssf(plain.layer_norm1(tokens), block.at("norm1"))
        assert torch.allclose(fused[0], ssf(plain.at("qkv")(normed), block.at("qkv")), atol=1e-5)
        stream = tokens + ssf(plain.at("proj")(seen[0]), block.at("proj"))
        hidden = ssf(plain.at("mlp_in")(ssf(plain.layer_norm2(stream), block.at("norm2"))), block.at("mlp_in"))
        expected = stream + ssf(plain.at("mlp_out")(F.gelu(hidden)), block.at("mlp_out"))
        assert torch.allclose(found, expected, atol=1e-4)

        encoder, plain_encoder = model.vision_encoder, base.vision_encoder

        def planes(value: Tensor, role: str) -> Tensor:
            out = plain_encoder.at(role)(value)
            return ssf(out.permute(0, 2, 3, 1), encoder.at(role)).permute(0, 3, 1, 2)

        assert torch.allclose(encoder.at("patch")(pixels()), planes(pixels(), "patch"), atol=1e-4)
        value = tokens.permute(0, 3, 1, 2)
        for role in ("neck_conv1", "neck_norm1", "neck_conv2", "neck_norm2"):
            value = planes(value, role)
        assert torch.allclose(encoder.neck(tokens), value, atol=1e-4)


def test_the_patch_embedding_and_the_neck_are_heard() -> None:
    for role in ImageEncoder.role_paths:
        model = adapt(tiny_sam(), make_method("ssf", init="identity"))
        with torch.no_grad():
            before = model.encode(pixels()).embedding
            generator = torch.Generator().manual_seed(0)
            gamma = model.vision_encoder.get_parameter(f"{ImageEncoder.role_paths[role]}.gamma")
            gamma.copy_(torch.randn(gamma.shape, generator=generator))
            assert not torch.allclose(model.encode(pixels()).embedding, before, atol=1e-3), role


def test_folds_into_a_plain_encoder_that_the_library_loads() -> None:
    model = randomise(adapt(tiny_sam(), make_method("ssf")))
    with torch.no_grad():
        before = model.encode(pixels()).embedding
        fold(model)
        state = {
            k.removeprefix("vision_encoder."): v for k, v in model.state_dict().items() if k.startswith("vision_e")
        }
        library = tiny_library()
        library.vision_encoder.load_state_dict(state, strict=True)
        after = library.vision_encoder(pixels()).last_hidden_state
        base = tiny_sam().encode(pixels()).embedding
    assert torch.allclose(before, after, atol=1e-4)
    assert not torch.allclose(before, base, atol=1e-1)
    assert not any(isinstance(module, Foldable) for module in model.modules())


def test_starts_near_sam_or_from_it() -> None:
    near, at = adapt(tiny_sam(), make_method("ssf")), adapt(tiny_sam(), make_method("ssf", init="identity"))
    gammas = torch.cat([p.detach() for name, p in near.named_parameters() if name.endswith("gamma")])
    betas = torch.cat([p.detach() for name, p in near.named_parameters() if name.endswith("beta")])
    for values, centre in ((gammas, 1.0), (betas, 0.0)):
        assert abs(float(values.mean()) - centre) < 0.003
        assert 0.018 < float(values.std()) < 0.022
    with torch.no_grad():
        assert torch.allclose(at.encode(pixels()).embedding, tiny_sam().encode(pixels()).embedding, atol=1e-6)


def test_on_vit_h_the_count_is_the_documented_one() -> None:
    counts = {k: p.numel() for k, p in trainable(adapt(build("facebook/sam-vit-huge"), make_method("ssf"))).items()}
    assert sum(n for k, n in counts.items() if k.startswith("vision_encoder.layers.")) == 32 * 28_160
    assert sum(n for k, n in counts.items() if k.startswith("vision_encoder.")) == 905_216
    assert sum(counts.values()) == 4_410_752


def test_refusals_leave_nothing_behind() -> None:
    with pytest.raises(ConfigError, match="one of normal, identity"):
        make_method("ssf", init="zeros")
    model = tiny_sam()
    model.vision_encoder.put("neck_conv2", nn.Identity())
    keys = set(model.state_dict())
    with pytest.raises(MethodError, match="'neck_conv2' to be free"):
        adapt(model, make_method("ssf"))
    assert set(model.state_dict()) == keys
    assert all(type(block.at(role)) in (nn.Linear, nn.LayerNorm) for block in model.blocks for role in block.roles())
