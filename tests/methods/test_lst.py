"""The ladder against its equations, and that the frozen encoder keeps nothing for a backward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from samtune.bases import build
from samtune.bases.sam1.model import Sam1
from samtune.errors import ConfigError
from samtune.methods import adapt, make_method, touches_encoder, trainable
from samtune.methods.lst import Ladder, SideBlock
from tests.tiny import tiny_sam


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def normalised(planes: Tensor, layer: torch.nn.LayerNorm) -> Tensor:
    centred = planes - planes.mean(-1, keepdim=True)
    return centred / (planes.var(-1, correction=0, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias


def naive_block(block: SideBlock, tokens: Tensor) -> Tensor:
    """By loops over windows, heads and queries; padded tokens are zeros after the norm."""
    batch, height, width, channels = tokens.shape
    window, depth = block.window or max(height, width), channels // block.num_heads
    normed, mixed = normalised(tokens, block.norm1), torch.zeros_like(tokens)
    for b in range(batch):
        for top in range(0, height, window):
            for left in range(0, width, window):
                rows, columns = min(window, height - top), min(window, width - left)
                cell = torch.zeros(window, window, channels) if block.window else torch.zeros(height, width, channels)
                cell[:rows, :columns] = normed[b, top : top + rows, left : left + columns]
                query, key, value = (cell.flatten(0, 1) @ block.qkv.weight.T + block.qkv.bias).chunk(3, -1)
                heads = []
                for h in range(block.num_heads):
                    part = slice(h * depth, (h + 1) * depth)
                    attention = (query[:, part] @ key[:, part].T / depth**0.5).softmax(-1)
                    heads.append(attention @ value[:, part])
                joined = torch.cat(heads, -1).reshape(cell.shape)[:rows, :columns]
                mixed[b, top : top + rows, left : left + columns] = joined @ block.proj.weight.T + block.proj.bias
    tokens = tokens + mixed
    inner = normalised(tokens, block.norm2) @ block.mlp_in.weight.T + block.mlp_in.bias
    inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
    return tokens + inner @ block.mlp_out.weight.T + block.mlp_out.bias


def ladder(**fields: Any) -> tuple[Sam1, Ladder]:
    model = adapt(tiny_sam(), make_method("lst", **fields))
    side = model.vision_encoder.side
    assert isinstance(side, Ladder)
    return model, side


def test_the_ladder_is_its_equations() -> None:
    """Beside SAM's own blocks, one of them with padded windows, run by hand."""
    base, side = ladder(width=6, num_heads=2)
    plain, pixels = tiny_sam().vision_encoder, noise(2, 3, 96, 96)
    assert plain.pos_embed is not None
    with torch.no_grad():
        for number, parameter in enumerate(side.parameters()):
            parameter.add_(0.3 * noise(*parameter.shape, seed=number))
        tokens = plain.patch_embed.projection(pixels).permute(0, 2, 3, 1) + plain.pos_embed
        state = torch.zeros(0)
        for index, block in enumerate(plain.blocks):
            tokens = block(tokens)
            down, own = side.down[index], side.blocks[index]
            assert isinstance(own, SideBlock)
            assert isinstance(down, torch.nn.Linear)
            assert own.window == block.window_size
            seen = torch.einsum("bhwc,dc->bhwd", tokens, down.weight) + down.bias
            if index:
                gate = 1 / (1 + torch.exp(-side.gates[index - 1]))
                seen = gate * state + (1 - gate) * seen
            state = naive_block(own, seen)
        added = torch.einsum("bhwd,cd->bchw", normalised(state, side.norm), side.up.weight)
        expected = plain.neck(tokens) + added + side.up.bias[:, None, None]
        found = base.encode(pixels).embedding
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert added.abs().max() > 0.1


def kept_bytes(model: Sam1, pixels: Tensor) -> int:
    """Bytes that the encoder's forward pass keeps for the backward pass, each storage once, parameters not counted."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        held.append(tensor)  # so that no storage is freed and its address used again
        return tensor

    held: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.encode(pixels)
    return sum(kept.values())


def test_it_keeps_a_fraction_of_what_lora_keeps() -> None:
    """What the ladder keeps is its own, w wide; what LoRA keeps is the encoder's, and does not depend on its rank."""
    pixels = noise(2, 3, 96, 96)
    narrow = kept_bytes(adapt(tiny_sam(), make_method("lst", width=4, num_heads=1)), pixels)
    lora = kept_bytes(adapt(tiny_sam(), make_method("lora", rank=1)), pixels)
    frozen = kept_bytes(adapt(tiny_sam(), make_method("decoder_only")), pixels)
    assert frozen == 0
    assert narrow < 0.4 * lora


def test_a_deeper_encoder_costs_only_the_side_blocks() -> None:
    """Bytes kept for each more block: the tap (C wide, once) and the side block, far below LoRA's."""
    pixels = noise(1, 3, 96, 96)

    def slope(method: str, **fields: Any) -> float:
        shallow, deep = (
            kept_bytes(adapt(tiny_sam(num_hidden_layers=n), make_method(method, **fields)), pixels) for n in (3, 7)
        )
        return (deep - shallow) / 4

    assert slope("lst", width=4, num_heads=1) < 0.35 * slope("lora", rank=1)


def test_the_frozen_encoder_and_its_neck_run_without_a_graph() -> None:
    found = {}
    for method in ("lst", "lora"):
        model = adapt(tiny_sam(), make_method(method))
        graphs: list[bool] = []
        encoder = model.vision_encoder
        for module in (encoder.patch_embed.projection, *encoder.layers, encoder.neck):
            module.register_forward_hook(lambda _m, _i, out, to=graphs: to.append(out.requires_grad))
        assert model.encode(noise(1, 3, 96, 96)).embedding.requires_grad
        found[method] = graphs
    assert found["lst"] == [False, False, False, False]
    assert found["lora"] == [False, True, True, True]


def test_numbers_on_sams_sizes() -> None:
    for size, blocks, channels in (("base", 12, 768), ("large", 24, 1024), ("huge", 32, 1280)):
        model = adapt(build(f"facebook/sam-vit-{size}"), make_method("lst"))
        side = blocks * (121_300 + channels * 100 + 100) + blocks - 1 + 200 + 25_856
        assert sum(parameter.numel() for parameter in trainable(model).values()) == side + 3_505_536
        assert touches_encoder(model)
    assert side + 3_505_536 == 11_512_423


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 10, "num_heads": 3}, r"multiple of `lst\.num_heads`"),
        ({"width": 0}, r"Expected `lst\.width` >= 1, got 0\."),
        ({"num_heads": 0}, r"Expected `lst\.num_heads` >= 1, got 0\."),
    ],
)
def test_refusals(fields: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_method("lst", **fields)
