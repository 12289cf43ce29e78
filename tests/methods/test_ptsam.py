"""PTSAM: counts, and the key/value form against an independent naive implementation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from samtune.adapters import card_of, save
from samtune.bases import EncoderPrompts, build
from samtune.bases.sam1.encoder import Sam1Block
from samtune.bases.sam1.model import Sam1
from samtune.methods import adapt, make_method, trainable
from samtune.methods.parts.prompt_tokens import start_tokens
from samtune.methods.parts.prototypes import prototypes
from tests.tiny import tiny_config, tiny_sam


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def outputs(model: Sam1, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model.decode(model.encode(images))


@pytest.mark.parametrize(
    ("method", "fields", "count"),
    [
        ("ptsam", {}, 2_048),
        ("ptsam_encoder", {}, 2_048 + 73_728),
        ("ptsam_encoder", {"gated": True}, 2_048 + 73_728 + 12),
    ],
)
def test_counts_on_vit_b_are_the_papers(method: str, fields: dict[str, bool], count: int) -> None:
    model = adapt(build("facebook/sam-vit-base"), make_method(method, **fields))
    assert sum(p.numel() for p in trainable(model).values()) == count
    encoder = sum(p.numel() for n, p in trainable(model).items() if n.startswith("vision_encoder"))
    assert encoder == count - 2_048


def test_the_order_of_decoder_tokens_does_not_matter() -> None:
    model = adapt(tiny_sam(), make_method("ptsam"))
    before = outputs(model, noise(1, 3, 96, 96))
    assert model.decoder.prompts is not None
    with torch.no_grad():
        model.decoder.prompts.tokens.copy_(model.decoder.prompts.tokens.flip(1))
    assert torch.allclose(outputs(model, noise(1, 3, 96, 96)), before, atol=1e-5)


def naive_attention(block: Sam1Block, normed: Tensor, prompts: Tensor, gate: float) -> Tensor:
    """Concatenate the prompts to one window's tokens, attend with all queries, drop the prompts' outputs.

    normed: (H, W, C) one window after norm1; prompts: (n, C) raw; they have no relative bias.
    """
    height, width, channels = normed.shape
    n, heads = len(prompts), block.attn.num_heads
    depth = channels // heads
    joined = torch.cat([block.layer_norm1(prompts), normed.reshape(-1, channels)])
    query, key, value = block.attn.qkv(joined).split(channels, dim=1)
    out = torch.zeros(n + height * width, channels)
    for head in range(heads):
        part = slice(head * depth, (head + 1) * depth)
        logits = query[:, part] @ key[:, part].T * depth**-0.5
        logits[:, :n] += gate
        for q in range(height * width):
            for k in range(height * width):
                rows = q // width - k // width + height - 1
                columns = q % width - k % width + width - 1
                bias = block.attn.rel_pos_h[rows] + block.attn.rel_pos_w[columns]
                logits[n + q, n + k] += query[n + q, part] @ bias
        out[:, part] = logits.softmax(1) @ value[:, part]
    return block.attn.proj(out)[n:].reshape(height, width, channels)  # type: ignore[no-any-return]


@pytest.mark.parametrize("gate", [None, -1.5])
@pytest.mark.parametrize("index", [0, 1], ids=["padded windows", "global"])
def test_key_value_prefix_equals_full_concatenation(index: int, gate: float | None) -> None:
    base = tiny_sam()
    block: Sam1Block = base.blocks[index]
    prompts = EncoderPrompts(3, 32, gate)
    tokens = noise(1, 6, 6, 32)
    with torch.no_grad():
        prompts.tokens.copy_(noise(3, 32, seed=1))
        block.prompts = prompts
        normed = block.layer_norm1(tokens)[0]
        window = block.window_size or 6
        assert window in (4, 6)
        padded_side = -(-6 // window) * window
        padded = torch.zeros(padded_side, padded_side, 32)
        padded[:6, :6] = normed
        mixed = torch.zeros_like(padded)
        for top in range(0, padded_side, window):
            for left in range(0, padded_side, window):
                cell = (slice(top, top + window), slice(left, left + window))
                mixed[cell] = naive_attention(block, padded[cell], prompts.tokens, gate or 0.0)
        stream = tokens + mixed[:6, :6]
        expected = stream + block.mlp(block.layer_norm2(stream))
        found = block(tokens)
        block.prompts = None
        assert (block(tokens) - found).abs().max() > 1e-3, "the prompts matter"
    assert (expected - found).abs().max() <= 1e-5


def test_a_closed_gate_is_plain_sam() -> None:
    model = adapt(tiny_sam(), make_method("ptsam_encoder", gated=True, gate_start=-1e4))
    with torch.no_grad():
        found = model.encode(noise(2, 3, 96, 96)).embedding
        expected = tiny_sam().encode(noise(2, 3, 96, 96)).embedding
    assert torch.allclose(found, expected, atol=1e-6)


def test_tokens_of_length_zero_are_plain_sam() -> None:
    model = adapt(tiny_sam(), make_method("ptsam_encoder"))
    for block in model.blocks:
        block.prompts = EncoderPrompts(0, 32, None)
    assert model.decoder.prompts is not None
    model.decoder.prompts.tokens = nn.Parameter(torch.zeros(1, 0, 16))
    assert torch.allclose(outputs(model, noise(2, 3, 96, 96)), outputs(tiny_sam(), noise(2, 3, 96, 96)), atol=1e-6)


def test_the_adapter_file_stays_under_ten_kilobytes(tmp_path: Path) -> None:
    from transformers import SamConfig, SamModel

    fields = tiny_config().to_dict()
    fields["vision_config"]["output_channels"] = 256
    fields["vision_config"]["num_pos_feats"] = 128
    fields["prompt_encoder_config"]["hidden_size"] = 256
    fields["mask_decoder_config"]["hidden_size"] = 256
    model = Sam1(SamModel(SamConfig.from_dict(fields)).eval(), name="wide", sha256="0")
    adapt(model, make_method("ptsam"))
    assert sum(p.numel() for p in trainable(model).values()) == 2_048
    save(model, tmp_path, card_of(model, ("thing",)))
    assert 8_192 < (tmp_path / "adapter_model.safetensors").stat().st_size < 10_240


def test_prototypes_are_the_means_of_planted_clusters() -> None:
    centres = torch.eye(4)[:3] * 5
    vectors = (centres[:, None] + 0.01 * noise(3, 50, 4)).reshape(-1, 4)
    for seed in range(20):
        found = prototypes(vectors, 6, seed=seed)
        nearest = torch.cdist(centres, found).amin(1)
        assert torch.cdist(found, centres).amin(1).max() < 2.6, "each centre lies at or between clusters"
        if nearest.max() < 0.1:
            break
    else:
        pytest.fail("no draw of six centres found the three planted clusters")


@pytest.mark.parametrize("method", ["ptsam", "ptsam_encoder"])
def test_prototype_start_puts_tokens_at_the_classes_features(method: str) -> None:
    model = adapt(tiny_sam(), make_method(method), num_classes=2)
    labels = torch.zeros(1, 6, 6, dtype=torch.uint8)
    labels[:, :3, :3], labels[:, 5] = 1, 255
    planted = noise(3, 16, seed=4) * 3
    embedding = planted[0].reshape(1, 16, 1, 1).repeat(1, 1, 6, 6)
    embedding[:, :, :3, :3] = planted[1][:, None, None]
    embedding[:, :, 5] = 1e3  # ignored pixels, to be seen nowhere
    assert model.decoder.prompts is not None
    before = model.decoder.prompts.tokens.detach().clone()
    assert hasattr(model.__dict__["_adaptation"].method, "start")
    start_tokens(model, embedding, labels, seed=0)
    after = model.decoder.prompts.tokens.detach()
    negative, positive = (model.prompt_encoder.point_embed[i].weight[0] for i in (0, 1))
    assert torch.allclose(after[0, :5], planted[1] + positive, atol=1e-4)
    assert torch.allclose(after[0, 5:], planted[0] + negative, atol=1e-4)
    assert torch.equal(after[1, :5], before[1, :5]), "a class without a pixel keeps its first values"


def test_overfits_one_synthetic_blob() -> None:
    model = adapt(tiny_sam(seed=2), make_method("decoder_only"), seed=0)
    blob = torch.zeros(1, 1, 6, 6)
    blob[..., 1:4, 2:5] = 1
    images = (2 * blob - 1).repeat_interleave(16, 2).repeat_interleave(16, 3).expand(1, 3, 96, 96)
    target = blob.repeat_interleave(4, 2).repeat_interleave(4, 3)
    with torch.no_grad():
        features = model.encode(images)
    steps = 400
    optimiser = torch.optim.AdamW(trainable(model).values(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    for _ in range(steps):
        loss = nn.functional.binary_cross_entropy_with_logits(model.decode(features), target)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trainable(model).values(), 1.0)
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        found = model.decode(features) > 0
    iou = (found & (target > 0)).sum() / (found | (target > 0)).sum()
    assert iou > 0.95
