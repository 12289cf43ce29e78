"""The bottleneck against its equation, and where it stands in a block."""

from __future__ import annotations

import math

import pytest
import torch

from samtune.errors import ConfigError, MethodError
from samtune.methods import adapt, make_method
from samtune.methods.adapter import Bottleneck
from tests.tiny import tiny_sam


def test_equals_a_naive_loop() -> None:
    torch.manual_seed(0)
    layer = Bottleneck(4, 3).double()
    tokens = torch.randn(2, 3, 2, 4, dtype=torch.float64)
    assert torch.equal(layer(tokens), tokens), "the identity at the start"
    with torch.no_grad():
        layer.up.weight.normal_()
        layer.up.bias.normal_()
        found = layer(tokens)
        for place in [(b, h, w) for b in range(2) for h in range(3) for w in range(2)]:
            z = tokens[place]
            hidden = [float(layer.down.weight[m] @ z + layer.down.bias[m]) for m in range(3)]
            hidden = [h * 0.5 * (1 + math.erf(h / math.sqrt(2))) for h in hidden]
            correction = layer.up.weight @ torch.tensor(hidden, dtype=torch.float64) + layer.up.bias
            assert torch.allclose(found[place], z + correction, atol=1e-12)


def test_stands_serially_after_attention_and_after_the_mlp() -> None:
    model = adapt(tiny_sam(), make_method("adapter"))
    block = model.blocks[1]
    tokens = torch.randn(1, 6, 6, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in (block.after_attn, block.after_mlp):
            layer.up.bias.normal_()
        mixed = block.attn(block.layer_norm1(tokens))
        middle = tokens + block.after_attn(mixed)
        expected = middle + block.after_mlp(block.mlp(block.layer_norm2(middle)))
        assert torch.allclose(block(tokens), expected, atol=1e-6)


def test_refusals_leave_nothing_behind() -> None:
    with pytest.raises(ConfigError, match=r"`adapter\.bottleneck` >= 1, got 0"):
        make_method("adapter", bottleneck=0)
    model = tiny_sam()
    model.blocks[1].after_mlp = torch.nn.Identity()
    with pytest.raises(MethodError, match=r"Expected the site .* to be free"):
        adapt(model, make_method("adapter"))
    assert set(model.state_dict()) == set(tiny_sam().state_dict())
