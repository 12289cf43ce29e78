from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from samtune.bases import Base, recording
from samtune.bases.kernels import grid_bias
from samtune.bases.sam1.model import Sam1
from samtune.losses import segmentation_loss
from samtune.methods import adapt, make_method, penalty, task_loss
from samtune.training import memory
from samtune.training.memory import (
    LiveBytes,
    Load,
    UpdateMemory,
    count_encoding,
    count_memory,
    count_update,
)
from samtune.training.micro_batch import parts_that_fit
from samtune.types import Features
from tests.tiny import tiny_sam
from tests.training.test_plan import plan_of


def adapted(method: str, **fields: Any) -> Sam1:
    return adapt(tiny_sam(), make_method(method, **fields))


def loss_of(base: Base, inputs: Tensor | Features, labels: Tensor) -> Tensor:
    features = inputs if isinstance(inputs, Features) else base.encode(inputs)
    with recording() as outputs:
        logits = base.decode(features)
    return task_loss(outputs, logits, labels, partial(segmentation_loss, kind="bce_dice")) + penalty(outputs)


def test_live_bytes_are_those_of_the_tensors_alive() -> None:
    weight = torch.zeros(100)
    with LiveBytes([weight]) as counted:
        kept = weight + 1
        kept.view(10, 10)
        weight.view(10, 10)
        assert counted.live == 400
        gone = torch.zeros(1000)
        assert counted.live == 4400
        del gone
        assert counted.live == 400
    assert counted.peak == 4400


@pytest.mark.parametrize(("method", "cached"), [("lora", False), ("conv_lora", False), ("ptsam", True)])
def test_a_twin_takes_what_the_model_takes(method: str, cached: bool) -> None:
    model = adapted(method)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = torch.get_rng_state()
    counted = count_update(model, Load(cached, 2), loss_of)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    model.train()
    with LiveBytes([*model.parameters(), *model.buffers()]) as real:
        inputs = Features(torch.randn(2, 16, 6, 6)) if cached else torch.randn(2, 3, 96, 96)
        labels = torch.zeros(2, 96, 96, dtype=torch.uint8)
        loss_of(model, inputs, labels).backward()  # type: ignore[no-untyped-call]
    assert counted == pytest.approx(real.peak, rel=0.02)
    encoding = count_encoding(model, 2)
    assert encoding is not None
    assert encoding > 2 * 4 * 3 * 96 * 96
    if not cached:
        assert counted is not None
        assert encoding < counted


@pytest.mark.parametrize("recompute", [False, True])
def test_the_first_tile_of_attention_stands_for_all(monkeypatch: pytest.MonkeyPatch, recompute: bool) -> None:
    model = adapted("lora")
    model.encoder.recompute = recompute
    monkeypatch.setattr(grid_bias, "TILE", 100)  # three queries a tile
    tiles = []
    add = torch.add

    def counted(*given: Any, **named: Any) -> Tensor:
        tiles.append(1)
        return add(*given, **named)

    monkeypatch.setattr(torch, "add", counted)
    short, few = count_update(model, Load(cached=False), loss_of), len(tiles)
    monkeypatch.setattr(memory, "first_tile_alone", nullcontext)
    assert count_update(model, Load(cached=False), loss_of) == short
    assert short is not None
    assert len(tiles) - few > 5 * few


class Curious(nn.Module):
    """Asks for the content of what comes."""

    def forward(self, features: Features, base: Base) -> Tensor:
        return features.embedding[:, :1] * float(features.embedding.mean())


def test_a_module_that_asks_for_content_leaves_it_open() -> None:
    model = adapted("probe")
    model.head = Curious()
    assert count_memory(model, plan_of({"method": "probe", "updates": 1}), autocast=None) is None


def test_a_loss_that_asks_for_content_is_stood_in_for() -> None:
    method = make_method("decoder_only", head="queries", num_queries=3)
    model = adapt(tiny_sam(), method)
    assert count_update(model, Load(True, 1), loss_of) is None
    memory = count_memory(model, plan_of({"method": "decoder_only"}), autocast=None)
    assert memory is not None
    assert 0 < memory.more_bytes < memory.first_bytes


@pytest.mark.parametrize(
    ("room", "parts"), [(1000, 1), (100 + 7 * 30, 1), (100 + 7 * 30 - 1, 2), (130, 4), (129, 8), (99, 8)]
)
def test_the_fewest_parts_that_fit(room: int, parts: int) -> None:
    memory = UpdateMemory(first_bytes=100, more_bytes=30)
    assert parts_that_fit(memory, 8, room) == parts
    assert parts_that_fit(memory, 8, room, least=3) == max(3, parts)


def test_recomputed_blocks_waste_more_of_the_heap(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert memory.waste(torch.device("cuda"), recompute=True) == memory.waste(torch.device("cuda")) == 1
    model = adapted("lora")
    plan = plan_of({"method": "lora", "recompute": True}, touches_encoder=True)
    model.encoder.recompute = True
    expected = memory.RECOMPUTED_WASTE / memory.CPU_WASTE
    found = count_memory(model, plan, autocast=None)
    monkeypatch.setattr(memory, "RECOMPUTED_WASTE", memory.waste(cpu))
    plain = count_memory(model, plan, autocast=None)
    assert found is not None
    assert plain is not None
    assert found.first_bytes / plain.first_bytes == pytest.approx(expected, rel=0.01)


def test_the_rough_estimate_grows_with_what_a_run_computes() -> None:
    def need(side: int = 96, **facts: Any) -> int:
        plan = plan_of({"recompute": facts.pop("recompute", False)}, **facts)
        return memory.rough_run_bytes(tiny_sam(side=side), plan, shots=4, num_classes=1)

    plain, through = need(), need(touches_encoder=True)
    assert memory.PROCESS_BYTES < plain < through < 1.5e9
    assert memory.rough_run_bytes(tiny_sam(), None, shots=4, num_classes=1) < plain
    assert plain < need(touches_encoder=True, recompute=True) < through < need(192, touches_encoder=True)
