"""Deep and shallow prompts against full concatenation, window by window, through the whole encoder."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from samtune.bases import EncoderPrompts, build
from samtune.bases.sam1.encoder import Sam1Block
from samtune.bases.sam1.model import Sam1
from samtune.errors import ConfigError, MethodError
from samtune.methods import adapt, make_method, trainable
from tests.tiny import tiny_sam


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def concatenated_attention(block: Sam1Block, prompts: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
    """All tokens ask, all answer: (n, C) and (H, W, C) after the norm -> the same before the residual."""
    height, width, channels = window.shape
    n, heads = len(prompts), block.attn.num_heads
    depth = channels // heads
    joined = torch.cat([prompts, window.reshape(-1, channels)])
    query, key, value = block.attn.qkv(joined).split(channels, dim=1)
    out = torch.zeros(len(joined), channels)
    for head in range(heads):
        part = slice(head * depth, (head + 1) * depth)
        logits = query[:, part] @ key[:, part].T * depth**-0.5
        for q in range(height * width):
            for k in range(height * width):
                bias = block.attn.rel_pos_h[q // width - k // width + height - 1]
                bias = bias + block.attn.rel_pos_w[q % width - k % width + width - 1]
                logits[n + q, n + k] += query[n + q, part] @ bias
        out[:, part] = logits.softmax(1) @ value[:, part]
    out = block.attn.proj(out)
    return out[:n], out[n:].reshape(height, width, channels)


def concatenated_block(block: Sam1Block, prompts: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """One image: prompts (n, C) and tokens (6, 6, C) through a block, each window with its own copy of the prompts."""
    side = block.window_size or 6
    padded_side = -(-6 // side) * side
    normed = F.pad(block.layer_norm1(tokens), (0, 0, 0, padded_side - 6, 0, padded_side - 6))
    mixed, seen = torch.zeros_like(normed), []
    for top in range(0, padded_side, side):
        for left in range(0, padded_side, side):
            cell = (slice(top, top + side), slice(left, left + side))
            of_prompts, mixed[cell] = concatenated_attention(block, block.layer_norm1(prompts), normed[cell])
            seen.append(of_prompts)
    prompts, tokens = prompts + torch.stack(seen).mean(0), tokens + mixed[:6, :6]
    return prompts + block.mlp(block.layer_norm2(prompts)), tokens + block.mlp(block.layer_norm2(tokens))


def concatenated_encoder(model: Sam1, images: Tensor, *, deep: bool) -> Tensor:
    encoder = model.vision_encoder
    assert encoder.pos_embed is not None
    outputs = []
    for image in images:
        tokens = (encoder.patch_embed.projection(image[None]).permute(0, 2, 3, 1) + encoder.pos_embed)[0]
        prompts: Tensor | None = None if encoder.prompts is None else encoder.prompts.tokens
        for block in model.blocks:
            if deep:
                assert block.prompts is not None
                prompts = block.prompts.tokens
            assert prompts is not None
            prompts, tokens = concatenated_block(block, prompts, tokens)
        outputs.append(encoder.neck(tokens[None])[0])
    return torch.stack(outputs)


@pytest.mark.parametrize("deep", [True, False], ids=["deep", "shallow"])
def test_equals_full_concatenation_window_by_window(deep: bool) -> None:
    model = adapt(tiny_sam(), make_method("vpt", deep=deep, num_tokens=3))
    images = noise(2, 3, 96, 96)
    with torch.no_grad():
        for name, parameter in trainable(model).items():
            if name.startswith("vision_encoder."):
                parameter.mul_(5.0)  # loud enough to matter everywhere
        found = model.encode(images).embedding
        expected = concatenated_encoder(model, images, deep=deep)
        base = tiny_sam().encode(images).embedding
    assert (found - base).abs().max() > 1e-2
    assert (found - expected).abs().max() <= 1e-5


def test_shallow_prompts_become_each_images_own() -> None:
    model = adapt(tiny_sam(), make_method("vpt", deep=False, num_tokens=3))
    assert isinstance(model.vision_encoder.prompts, EncoderPrompts)
    tokens = noise(2, 6, 6, 32)
    prompts = model.vision_encoder.prompts.tokens.expand(2, -1, -1)
    for block in model.blocks:
        with torch.no_grad():
            after, states = block.forward_with(tokens, prompts)
        assert after.shape == tokens.shape
        assert states.shape == (2, 3, 32)
        assert not torch.allclose(states[0], states[1], atol=1e-3)


def test_shallow_prompts_that_travel_differ_from_prompts_that_stay() -> None:
    """The second block sees what the first made of the prompts."""
    images = noise(1, 3, 96, 96)
    with torch.no_grad():
        shallow = adapt(tiny_sam(), make_method("vpt", deep=False, num_tokens=3))
        deep = adapt(tiny_sam(), make_method("vpt", num_tokens=3))
        assert shallow.vision_encoder.prompts is not None
        for block in deep.blocks:
            assert block.prompts is not None
            block.prompts.tokens.copy_(shallow.vision_encoder.prompts.tokens)
        difference = shallow.encode(images).embedding - deep.encode(images).embedding
    assert difference.abs().max() > 1e-3


@pytest.mark.parametrize("deep", [True, False], ids=["deep", "shallow"])
def test_no_token_at_all_is_plain_sam(deep: bool) -> None:
    model = adapt(tiny_sam(), make_method("vpt", deep=deep))
    for owner in [*model.blocks, model.vision_encoder]:
        if owner.prompts is not None:
            owner.prompts = EncoderPrompts(0, 32, None)
    images = noise(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.allclose(model.encode(images).embedding, tiny_sam().encode(images).embedding, atol=1e-5)


@pytest.mark.parametrize("fields", [{}, {"deep": False, "num_tokens": 384}], ids=["deep", "shallow"])
def test_on_vit_h_both_forms_have_the_count_of_the_table(fields: dict[str, int]) -> None:
    counts = {
        k: p.numel() for k, p in trainable(adapt(build("facebook/sam-vit-huge"), make_method("vpt", **fields))).items()
    }
    assert sum(n for k, n in counts.items() if k.startswith("vision_encoder.")) == 491_520
    assert sum(counts.values()) == 3_997_056


def test_first_values_are_uniform_within_vpts_bound() -> None:
    model = adapt(tiny_sam(), make_method("vpt", num_tokens=200))
    bound = (6 / (3 * 16**2 + 32)) ** 0.5
    values = torch.cat([block.prompts.tokens.detach().flatten() for block in model.blocks])
    assert 0.99 * bound < float(values.abs().max()) <= bound
    assert float(values.std()) == pytest.approx(bound / 3**0.5, rel=0.02)


def test_refusals_leave_nothing_behind() -> None:
    with pytest.raises(ConfigError, match=r"`vpt\.num_tokens` >= 1, got 0"):
        make_method("vpt", num_tokens=0)
    for deep in (True, False):
        model = tiny_sam()
        model.vision_encoder.prompts = EncoderPrompts(2, 32, None)
        keys = set(model.state_dict())
        with pytest.raises(MethodError, match=r"Expected the site '.*prompts' to be free"):
            adapt(model, make_method("vpt", deep=deep))
        assert set(model.state_dict()) == keys
