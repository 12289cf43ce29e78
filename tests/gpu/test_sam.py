"""The parts a GPU runs in another way: attention, the encoder in bfloat16, and Conv-LoRA's layer compiled."""

from __future__ import annotations

import pytest
import torch

from samtune.bases import keep_frozen_low
from samtune.bases.kernels.grid_bias import biased_attention
from samtune.bases.sam1.model import Sam1
from samtune.methods.conv_lora import ConvLoRALinear
from tests.bases.kernels.test_grid_bias import GRIDS as BIASED
from tests.bases.kernels.test_grid_bias import inputs
from tests.bases.kernels.test_grid_bias import run as attend
from tests.methods.test_conv_lora import GRIDS, layer_of
from tests.tiny import tiny_library, tiny_sam

DEVICE = "cuda"


@pytest.mark.parametrize("grid_hw", BIASED.values(), ids=BIASED.keys())
@pytest.mark.parametrize("num_lead", [0, 3])
def test_attention_and_its_gradients_are_plain_arithmetics(grid_hw: tuple[int, int], num_lead: int) -> None:
    tensors = inputs(grid_hw, num_lead)
    there = [tensor.to(DEVICE) for tensor in tensors]
    for found, right in zip(
        attend(biased_attention, there, torch.float32), attend(None, tensors, torch.float64), strict=True
    ):
        assert torch.allclose(found.cpu().double(), right, atol=1e-4)


def test_the_encoder_is_the_librarys_and_near_it_in_bfloat16() -> None:
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    library = tiny_library().to(DEVICE)
    base = Sam1(tiny_library(), name="tiny", sha256="").requires_grad_(False).eval().to(DEVICE)
    with torch.no_grad():
        expected = library.vision_encoder(pixels).last_hidden_state
        found = base.encode(pixels).embedding
        base.encoder_dtype = torch.bfloat16
        keep_frozen_low(base)
        rough = base.encode(pixels).embedding
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert rough.dtype == torch.float32
    assert 0 < (rough - expected).norm() <= 0.05 * expected.norm()


def test_a_global_blocks_attention_is_plain_arithmetic() -> None:
    """More keys than longer vectors would take, so that the other way is taken."""
    tensors = inputs((12, 14), 2)
    there = [tensor.to(DEVICE) for tensor in tensors]
    for found, right in zip(
        attend(biased_attention, there, torch.float32), attend(None, tensors, torch.float64), strict=True
    ):
        assert torch.allclose(found.cpu().double(), right, atol=1e-3)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_conv_lora_compiles_in_one_graph(training: bool, dtype: torch.dtype | None) -> None:
    torch._dynamo.reset()
    layer = layer_of().float().to(DEVICE).train(training)
    tokens = GRIDS["padded windows"].float().to(DEVICE)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    wanted = [layer.lora_a, layer.lora_b, layer.expert_weight]
    results = []
    for run in (layer, compiled):
        torch.manual_seed(2)
        with torch.autocast(DEVICE, dtype or torch.bfloat16, enabled=dtype is not None):
            answer = run(tokens)
        loss = answer.float().square().mean()
        results.append((answer.detach(), *torch.autograd.grad(loss, wanted)))
    limit = 1e-4 if dtype is None else 2e-2
    for expected, found in zip(*results, strict=True):
        assert (found - expected).abs().max() <= limit * expected.abs().max()
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores")  # the compiler's advice
def test_conv_lora_goes_through_the_compiler_and_its_kernels() -> None:
    """In evaluation, where no noise is drawn, which compiled code draws otherwise."""
    torch._dynamo.reset()
    layer = layer_of().float().to(DEVICE).eval()
    tokens = GRIDS["padded windows"].float().to(DEVICE)
    with torch.no_grad():
        expected = layer(tokens)
        found = torch.compile(layer, fullgraph=True)(tokens)
    assert isinstance(layer, ConvLoRALinear)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    torch._dynamo.reset()


def test_features_lie_where_the_model_is() -> None:
    base = tiny_sam().to(DEVICE)
    features = base.encode(torch.zeros(1, 3, 96, 96, device=DEVICE))
    assert features.embedding.device.type == DEVICE
    assert base.decode(features).device.type == DEVICE
