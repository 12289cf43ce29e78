"""Conv-LoRA against loops over samples written from its equations; routing, gradients, compilation."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from samtune.bases import build, recording
from samtune.bases.kernels.attention import to_windows
from samtune.errors import ConfigError, MethodError, ShapeError
from samtune.methods import Foldable, adapt, make_method, penalty, trainable
from samtune.methods.conv_lora import ConvLoRALinear, balance_loss
from tests.tiny import tiny_sam

EXPERTS = 8


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer_of(*, rank: int = 3, seed: int = 0, bias: bool = True, **fields: Any) -> ConvLoRALinear:
    """A layer in float64 whose every number is random, so that nothing is hidden by a zero."""
    layer = ConvLoRALinear.from_linear(nn.Linear(6, 10, bias=bias), rank=rank, **fields).double()
    with torch.no_grad():
        for number, parameter in enumerate(layer.parameters()):
            parameter.copy_(noise(*parameter.shape, seed=seed + number))
    return layer


@contextmanager
def routed_experts() -> Iterator[list[Tensor]]:
    """Collect the experts (N,) that each forward pass of a layer selects."""
    experts: list[Tensor] = []
    apply = ConvLoRALinear.apply_experts

    def collected(layer: ConvLoRALinear, low: Tensor, expert: Tensor) -> Tensor:
        experts.append(expert)
        return apply(layer, low, expert)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ConvLoRALinear, "apply_experts", collected)
        yield experts


def naive_expert(layer: ConvLoRALinear, z: Tensor, expert: int) -> Tensor:
    """One expert on one grid (R, H, W), by enlarging, convolving, GELU and reducing the whole grid."""
    scale, size_hw = expert + 1, z.shape[1:]
    image = z[None]
    if scale > 1:
        image = F.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False)
    bias = layer.expert_bias.reshape(-1, layer.rank)[expert]
    image = F.gelu(F.conv2d(image, layer.expert_weight[expert], bias, padding=1))
    if scale > 1:
        image = F.interpolate(image, size=size_hw, mode="bicubic", align_corners=False)
    return image[0]


def naive_layer(layer: ConvLoRALinear, tokens: Tensor, draws: Tensor | None) -> tuple[Tensor, list[int]]:
    """The whole layer, grid by grid; `draws` (N, M) are the standard normal draws of training, None in evaluation."""
    outputs, chosen = [], []
    for number, grid in enumerate(tokens):
        z = torch.einsum("rc,hwc->rhw", layer.lora_a, grid)
        pooled = z.mean(dim=(1, 2))
        logits = pooled @ layer.gate
        if draws is not None:
            logits = logits + draws[number] * (F.softplus(pooled @ layer.gate_noise) + 0.01)
        values = logits.tolist()
        expert = values.index(max(values))
        chosen.append(expert)
        z = z + naive_expert(layer, z, expert)
        update = torch.einsum("or,rhw->hwo", layer.lora_b, z)
        outputs.append(F.linear(grid, layer.weight, layer.bias) + 32.0 / layer.rank * update)
    return torch.stack(outputs), chosen


def windows_with_padding() -> Tensor:
    """The windows of two 6 x 7 grids; two of each row of windows and two of each column hold padding."""
    windows, padded_hw = to_windows(noise(2, 6, 7, 6, seed=50), 4)
    assert windows.shape == (8, 4, 4, 6)
    assert padded_hw == (8, 8)
    return windows


GRIDS = {
    "padded windows": windows_with_padding(),
    "global": noise(9, 6, 6, 6, seed=51),
    "not square": noise(9, 2, 5, 6, seed=52),
    "smaller than the kernel": noise(9, 1, 3, 6, seed=53),
}


@pytest.mark.parametrize("tokens", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("rank", [1, 3])
def test_equals_a_loop_over_samples(tokens: Tensor, rank: int) -> None:
    layer = layer_of(rank=rank).eval()
    with torch.no_grad(), recording() as outputs:
        expected, chosen = naive_layer(layer, tokens, None)
        with routed_experts() as experts:
            found = layer(tokens)
    (expert,) = experts
    assert expert.tolist() == chosen
    assert len(set(chosen)) > 1, "the case routes to more than one expert"
    assert (found - expected).abs().max() <= 1e-10
    assert outputs.penalties == []


@pytest.mark.parametrize("paper", [False, True])
def test_equals_the_loop_in_training_given_the_same_noise(paper: bool) -> None:
    tokens = torch.cat([GRIDS["padded windows"], 2 * GRIDS["padded windows"]])
    layer = layer_of(paper=paper)
    torch.manual_seed(3)
    with routed_experts() as experts:
        found = layer(tokens)
    torch.manual_seed(3)
    expected, chosen = naive_layer(layer, tokens, torch.randn(len(tokens), EXPERTS))
    (expert,) = experts
    assert expert.tolist() == chosen
    assert len(set(chosen)) > 3
    assert (found - expected).abs().max() <= 1e-10


@pytest.mark.parametrize("expert", range(EXPERTS))
def test_every_expert_and_its_gradients_equal_the_naive_one(expert: int) -> None:
    layer = layer_of().eval()
    grids = noise(3, 3, 5, 4, seed=9).requires_grad_()
    weights = noise(3, 3, 5, 4, seed=10)
    wanted = (grids, layer.expert_weight, layer.expert_bias)
    found = layer.apply_experts(grids, torch.full((3,), expert))
    expected = torch.stack([naive_expert(layer, grid, expert) for grid in grids])
    assert (found - expected).abs().max() <= 1e-10
    pairs = zip(
        torch.autograd.grad((found * weights).sum(), wanted),
        torch.autograd.grad((expected * weights).sum(), wanted),
        strict=True,
    )
    assert all((one - other).abs().max() <= 1e-9 for one, other in pairs)


def test_the_experts_see_the_scale_their_number_says() -> None:
    """With 1 at the kernel's middle and a linear answer, every expert returns the grid itself."""
    layer = layer_of().eval()
    grids = noise(8, 3, 6, 6) + 50.0  # far out, GELU is the identity
    with torch.no_grad():
        layer.expert_weight.zero_()
        layer.expert_bias.zero_()
        for channel in range(3):
            layer.expert_weight[:, channel, channel, 1, 1] = 1.0
        found = layer.apply_experts(grids, torch.arange(8))
    for scale in (1, 3, 5, 7):
        assert torch.allclose(found[scale - 1], grids[scale - 1], atol=1e-9), "an odd scale keeps the tokens' centres"
    for scale in (2, 4, 6, 8):
        assert not torch.allclose(found[scale - 1], grids[scale - 1], atol=1e-3), "an even one smooths"


def test_the_layer_starts_as_the_linear() -> None:
    plain = nn.Linear(6, 10)
    layer = ConvLoRALinear.from_linear(plain)
    tokens = torch.randn(5, 4, 4, 6)
    torch.testing.assert_close(layer(tokens), plain(tokens))
    assert layer.weight is plain.weight
    assert isinstance(layer, nn.Linear)
    assert not isinstance(layer, Foldable)


def naive_balance(logits: Tensor, noisy: Tensor, spread: Tensor) -> float:
    importance, load = [0.0] * EXPERTS, [0.0] * EXPERTS
    for clean, drawn, sigma in zip(logits.tolist(), noisy.tolist(), spread.tolist(), strict=True):
        order = sorted(drawn, reverse=True)
        importance[drawn.index(order[0])] += 1.0
        for i in range(EXPERTS):
            others = order[1] if drawn[i] == order[0] else order[0]
            load[i] += 0.5 * (1 + math.erf((clean[i] - others) / sigma[i] / math.sqrt(2)))
    total = 0.0
    for values in (importance, load):
        mean = sum(values) / EXPERTS
        total += sum((value - mean) ** 2 for value in values) / (EXPERTS - 1) / mean**2
    return total


def test_balance_loss_equals_plain_loops() -> None:
    logits, spread = noise(9, EXPERTS, seed=1), noise(9, EXPERTS, seed=2).abs() + 0.3
    noisy = logits + spread * noise(9, EXPERTS, seed=3)
    assert float(balance_loss(logits, noisy, spread)) == pytest.approx(naive_balance(logits, noisy, spread), rel=1e-6)


def test_one_grid_alone_has_the_known_importance_term() -> None:
    """CV^2 of (1, 0, .., 0) over 8 experts is 8."""
    logits = torch.zeros(1, EXPERTS, dtype=torch.float64)
    noisy = noise(1, EXPERTS)
    spread = torch.full_like(logits, 1e6)  # all chances 1/2: the load is even
    assert float(balance_loss(logits, noisy, spread)) == pytest.approx(8.0, abs=1e-6)


def test_an_even_load_costs_less_than_an_uneven_one() -> None:
    spread = torch.full((EXPERTS, EXPERTS), 0.1, dtype=torch.float64)
    even = torch.eye(EXPERTS, dtype=torch.float64)
    uneven = torch.eye(EXPERTS, dtype=torch.float64)[:1].expand(EXPERTS, -1)
    assert float(balance_loss(even, even, spread)) == pytest.approx(0.0, abs=1e-6)
    assert float(balance_loss(uneven, uneven, spread)) > 10


def test_windowed_blocks_route_each_window_and_global_ones_each_image() -> None:
    model = adapt(tiny_sam(), make_method("conv_lora"))
    with torch.no_grad():
        for block in model.blocks:
            block.at("qkv").gate.normal_(0, 10, generator=torch.Generator().manual_seed(0))
        with routed_experts() as experts:
            model.encode(torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(0)))
    windowed, whole = experts
    assert (windowed.shape, whole.shape) == ((3 * 4,), (3,)), "6 x 6 tokens make 2 x 2 windows of 4 with padding"
    assert len(set(windowed.tolist())) > 1


def test_the_block_hands_over_windows_as_the_loop_expects() -> None:
    """The whole windowed block, padding included, with the layer in its qkv's place."""
    model = adapt(tiny_sam(), make_method("conv_lora")).eval()
    block = model.blocks[0]
    layer = block.at("qkv")
    tokens = torch.randn(1, 6, 6, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        layer.lora_b.normal_(0, 0.1, generator=torch.Generator().manual_seed(2))
        layer.gate.normal_(0, 10, generator=torch.Generator().manual_seed(3))
        padded = F.pad(block.layer_norm1(tokens), (0, 0, 0, 2, 0, 2))
        windows = torch.stack([padded[0, r : r + 4, c : c + 4] for r in (0, 4) for c in (0, 4)])
        expected, chosen = naive_layer(layer, windows, None)
        seen: list[Tensor] = []
        handle = layer.register_forward_hook(lambda _m, _i, out: seen.append(out))
        with routed_experts() as experts:
            block(tokens)
        handle.remove()
    (expert,) = experts
    assert expert.tolist() == chosen
    assert (seen[0] - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("paper", [False, True])
def test_the_router_hears_the_task_unless_as_in_the_paper(paper: bool) -> None:
    layer = layer_of(paper=paper)
    tokens = GRIDS["padded windows"]
    torch.manual_seed(0)
    task = layer(tokens).square().mean()
    task.backward()
    for parameter in (layer.gate, layer.gate_noise):
        assert (parameter.grad is None) == paper
    layer.zero_grad()
    torch.manual_seed(0)
    with recording() as outputs:
        layer(tokens)
    outputs.penalties[0].backward()  # type: ignore[no-untyped-call]
    for parameter in (layer.gate, layer.gate_noise):
        assert parameter.grad is not None
        assert float(parameter.grad.abs().max()) > 0


def test_the_routers_gradient_is_that_of_the_probability_times_the_answer() -> None:
    """For one grid: d/dWg of p_e times <output gradient, scaled answer>."""
    layer = layer_of()
    tokens = noise(1, 4, 4, 6, seed=7)
    torch.manual_seed(0)
    direction = noise(1, 4, 4, 10, seed=8)
    with routed_experts() as experts:
        (layer(tokens) * direction).sum().backward()
    expert = int(experts[0][0])
    torch.manual_seed(0)
    draws = torch.randn(1, EXPERTS)
    with torch.no_grad():
        z = F.linear(tokens, layer.lora_a)[0].permute(2, 0, 1)
        answer = torch.einsum("or,rhw->hwo", layer.lora_b, naive_expert(layer, z, expert)) * layer.scale
        credit = (answer * direction[0]).sum()
        pooled = z.mean(dim=(1, 2)).float()
    gate = layer.gate.detach().float().requires_grad_()
    spread = F.softplus(pooled @ layer.gate_noise.detach().float()) + 0.01
    probability = (pooled @ gate + draws[0] * spread).softmax(0)[expert]
    (probability * credit).backward()  # type: ignore[no-untyped-call]
    assert gate.grad is not None
    assert layer.gate.grad is not None
    assert float(gate.grad.abs().max()) > 1e-6
    assert torch.allclose(layer.gate.grad.float(), gate.grad, rtol=1e-3, atol=1e-6)


def test_noise_follows_the_seed_and_is_absent_in_evaluation() -> None:
    layer, tokens = layer_of(), GRIDS["global"]
    with torch.no_grad():
        torch.manual_seed(1)
        one = layer(tokens)
        torch.manual_seed(1)
        assert torch.equal(layer(tokens), one)
        assert any(not torch.equal(layer(tokens), one) for _ in range(5)), "another draw, another expert"
        layer.eval()
        state = torch.get_rng_state()
        assert torch.equal(layer(tokens), layer(tokens))
        assert torch.equal(torch.get_rng_state(), state), "evaluation draws nothing"


def test_the_penalty_is_the_sum_over_the_blocks_of_one_pass() -> None:
    model = adapt(tiny_sam(), make_method("conv_lora", balance=0.5))
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    model.train()
    with torch.no_grad(), recording() as outputs:
        model.encode(pixels)
    assert len(outputs.penalties) == len(model.blocks)
    assert min(map(float, outputs.penalties)) > 0
    assert float(penalty(outputs)) == pytest.approx(sum(map(float, outputs.penalties)))
    model.encode(pixels)
    copy.deepcopy(model)  # no graph of the last pass stands in the way
    with torch.inference_mode(), recording() as outputs:
        model.eval().encode(pixels)
    assert float(penalty(outputs)) == 0.0


def test_prediction_first_does_not_hinder_training() -> None:
    """The tables that prediction makes are used in training, where a tensor of inference mode would be refused."""
    layer, tokens = layer_of(), noise(2, 3, 7, 6)
    with torch.inference_mode():
        layer.eval()(tokens)
    layer.train()(tokens).sum().backward()


@pytest.mark.parametrize("index", [0, 1], ids=["windowed", "global"])
def test_gradient_checkpointing_gives_the_same_gradients(index: int) -> None:
    model = adapt(tiny_sam(), make_method("conv_lora")).train()
    block = model.blocks[index]
    with torch.no_grad():
        block.at("qkv").lora_b.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    tokens = torch.randn(2, 6, 6, 32, generator=torch.Generator().manual_seed(1))
    own = [parameter for name, parameter in block.named_parameters() if parameter.requires_grad]
    gradients = []
    for keep in (True, False):
        torch.manual_seed(5)
        with recording() as outputs:
            out = block(tokens) if keep else checkpoint(block, tokens, use_reentrant=False)
        (balance,) = outputs.penalties
        gradients.append(torch.autograd.grad(out.square().mean() + balance, own))
    for one, other in zip(*gradients, strict=True):
        assert float(one.abs().max()) > 0
        assert torch.allclose(one, other, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
def test_compiles_without_a_graph_break(training: bool) -> None:
    torch.compiler.reset()
    layer, tokens = layer_of().train(training), GRIDS["padded windows"]
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.manual_seed(2)
    with recording() as outputs:
        expected = layer(tokens)
    expected_loss = expected.square().mean() + penalty(outputs)
    wanted = [layer.lora_a, layer.lora_b, layer.expert_weight]
    expected_gradients = torch.autograd.grad(expected_loss, wanted)
    torch.manual_seed(2)
    with recording() as outputs:
        found = compiled(tokens)
    gradients = torch.autograd.grad(found.square().mean() + penalty(outputs), wanted)
    assert torch.allclose(found, expected, atol=1e-9)
    assert all(torch.allclose(g, e, atol=1e-9) for g, e in zip(gradients, expected_gradients, strict=True))
    torch.compiler.reset()


def test_half_precision_chooses_the_same_experts() -> None:
    layer, tokens = layer_of().float().eval(), GRIDS["padded windows"].float()
    with torch.no_grad():
        with routed_experts() as experts:
            exact = layer(tokens)
            with torch.autocast("cpu", torch.bfloat16):
                rough = layer(tokens)
        chosen, roughly_chosen = experts
        assert (roughly_chosen == chosen).float().mean() >= 0.75, "but for logits that rounding makes equal"
        same = roughly_chosen == chosen
        assert (rough - exact)[same].abs().max() <= 0.1 * exact.abs().max()
        whole = copy.deepcopy(layer).bfloat16()
        assert whole(tokens.bfloat16()).isfinite().all()


def test_stands_alone_on_a_flat_sequence_with_a_class_token() -> None:
    layer = layer_of(grid=(2, 5), prefix=1).eval()
    tokens = GRIDS["not square"]
    ahead = noise(9, 1, 6, seed=60)
    with torch.no_grad():
        found = layer(torch.cat([ahead, tokens.flatten(1, 2)], dim=1))
        expected, _ = naive_layer(layer, tokens, None)
        plain = F.linear(ahead, layer.weight, layer.bias)
        plain = plain + layer.scale * F.linear(F.linear(ahead, layer.lora_a), layer.lora_b)
        assert torch.allclose(found[:, 1:], expected.flatten(1, 2), atol=1e-10)
        assert torch.allclose(found[:, :1], plain, atol=1e-10)
        other = layer(torch.cat([ahead, tokens[:, :1].flatten(1, 2)], dim=1), grid=(1, 5))
        assert other.shape == (9, 6, 10)
    with pytest.raises(ShapeError, match=r"got \(9, 10, 6\) with the grid \(2, 5\)"):
        layer(tokens.flatten(1, 2))
    with pytest.raises(ShapeError, match="pass `grid` and `prefix` to from_linear"):
        layer_of()(tokens.flatten(1, 2))


@pytest.mark.parametrize(
    ("base", "encoder"),
    [
        ("facebook/sam-vit-base", 119_232),
        ("facebook/sam-vit-large", 312_192),
        ("facebook/sam-vit-huge", 514_560),
    ],
)
def test_counts_on_metas_sizes(base: str, encoder: int) -> None:
    counts = {k: p.numel() for k, p in trainable(adapt(build(base), make_method("conv_lora"))).items()}
    assert sum(n for k, n in counts.items() if k.startswith("vision_encoder.")) == encoder
    assert sum(counts.values()) == encoder + 3_505_536


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"rank": 0}, "Expected `conv_lora.rank` >= 1, got 0"),
        ({"num_experts": 1}, "`conv_lora.num_experts` >= 2"),
        ({"balance": -1.0}, "`conv_lora.balance` >= 0"),
        ({"balance": float("nan")}, "`conv_lora.balance` to be a finite number, got nan"),
        ({"paper": True, "balance": 0.0}, "the router does not learn"),
    ],
)
def test_refusals(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_method("conv_lora", **fields)


def test_a_refusal_leaves_nothing_behind() -> None:
    with pytest.raises(ConfigError, match="`prefix` >= 0"):
        ConvLoRALinear.from_linear(nn.Linear(2, 2), prefix=-1)
    model = tiny_sam()
    model.blocks[1].put("qkv", nn.Identity())
    keys = set(model.state_dict())
    with pytest.raises(MethodError, match="'qkv' to be free"):
        adapt(model, make_method("conv_lora"))
    assert set(model.state_dict()) == keys
