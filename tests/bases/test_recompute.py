"""Blocks that are computed again instead of kept: the same gradients for every method; what never enters a graph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from samtune.bases import recording
from samtune.methods import METHODS, adapt, make_method, penalty, touches_encoder, trainable
from tests.tiny import tiny_sam


def gradients(method: str, *, recompute: bool, **fields: object) -> dict[str, Tensor]:
    model = adapt(tiny_sam(), make_method(method, **fields), seed=1)
    model.vision_encoder.recompute = recompute
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(5)
    model.train()
    with recording() as outputs:
        loss = model.decode(model.encode(pixels)).square().mean()
    loss = loss + penalty(outputs)
    loss.backward()  # type: ignore[no-untyped-call]
    values = {"": loss.detach(), **{k: p.grad for k, p in trainable(model).items() if p.grad is not None}}
    return values | {key: buffer for key, buffer in model.named_buffers()}


@pytest.mark.parametrize("method", [name for name in METHODS if name != "probe"])
def test_gradients_are_those_of_a_kept_graph(method: str) -> None:
    expected, found = gradients(method, recompute=False), gradients(method, recompute=True)
    assert expected.keys() == found.keys()
    for name, right in expected.items():
        assert torch.allclose(found[name], right, rtol=1e-5, atol=1e-7), name


def test_running_statistics_move_once() -> None:
    expected, found = (gradients("ts_sam", recompute=recompute, paper=True) for recompute in (False, True))
    moved = [name for name in expected if name.endswith("running_mean")]
    assert moved
    assert all(bool(expected[name].any()) for name in moved)
    for name, right in expected.items():
        assert torch.allclose(found[name], right, rtol=1e-5, atol=1e-7), name


@pytest.mark.parametrize("method", ["lora", "lst", "ts_sam"])
def test_less_is_kept(method: str) -> None:
    kept = []
    for recompute in (False, True):
        model = adapt(tiny_sam(), make_method(method))
        model.vision_encoder.recompute = recompute
        sizes: list[int] = []

        def pack(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model.encode(torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(1)))
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2


@pytest.mark.parametrize("recompute", [False, True])
def test_blocks_before_the_first_trained_tensor_have_no_graph(recompute: bool) -> None:
    base = tiny_sam(num_hidden_layers=3)
    base.vision_encoder.recompute = recompute
    base.blocks[1].attn.proj.weight.requires_grad_(True)
    seen: list[bool] = []
    for block in base.blocks:
        block.register_forward_hook(lambda module, inputs, output: seen.append(output.requires_grad))
    assert base.encode(torch.zeros(1, 3, 96, 96)).embedding.requires_grad
    assert seen == [False, True, True]
    assert not touches_encoder(base), "no method is attached"
