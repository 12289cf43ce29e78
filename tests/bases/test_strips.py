"""A block's MLP in strips of tokens: the same numbers and gradients, and who does not get them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from samtune.bases.kernels import strips
from samtune.methods import adapt, make_method
from tests.tiny import tiny_sam


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven tokens a strip, which divides no grid here."""
    monkeypatch.setattr(strips, "STRIP", 7)


def frozen_mlp(dtype: torch.dtype = torch.float64) -> Any:
    return tiny_sam().blocks[0].mlp.requires_grad_(False).to(dtype)


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=dtype)


def watch(mlp: Any) -> list[int]:
    """Note how many tokens the activation sees at a time."""
    seen: list[int] = []
    act = mlp.act

    class Noting(nn.Module):
        def forward(self, hidden: Tensor) -> Tensor:
            seen.append(hidden.shape[:-1].numel())
            out: Tensor = act(hidden)
            return out

    mlp.act = Noting()
    return seen


def test_without_a_graph_the_numbers_are_the_same_and_no_strip_is_longer() -> None:
    mlp, tokens = frozen_mlp(), drawn(2, 6, 6, 32)
    expected, seen = mlp(tokens), watch(mlp)
    found = strips.run_mlp(mlp, tokens)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-14)
    assert seen == [7] * 10 + [2]


def test_the_gradient_is_the_same_and_hidden_units_are_kept_once() -> None:
    mlp, weights = frozen_mlp(), drawn(2, 6, 6, 32)
    gradients, kept = [], []
    for run in (mlp, lambda tokens: strips.run_mlp(mlp, tokens)):
        tokens = drawn(2, 6, 6, 32).requires_grad_()
        sizes: list[int] = []

        def pack(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = run(tokens)
        (out * weights).sum().backward()
        assert tokens.grad is not None
        gradients.append(tokens.grad)
        kept.append(sum(size for size in sizes if size >= 72 * 48))
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-12, atol=1e-14)
    assert kept == [72 * 48, 72 * 48]


def test_under_autocast_types_are_those_of_the_plain_mlp() -> None:
    mlp, weights = frozen_mlp(torch.float32), drawn(1, 6, 6, 32, dtype=torch.float32)
    found = []
    for run in (mlp, lambda tokens: strips.run_mlp(mlp, tokens)):
        tokens = drawn(1, 6, 6, 32, dtype=torch.float32).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = run(tokens)
        (out * weights).sum().backward()
        assert tokens.grad is not None
        found.append((out, tokens.grad))
    (right, right_grad), (out, grad) = found
    assert out.dtype == right.dtype == torch.bfloat16
    assert grad.dtype == right_grad.dtype == torch.float32
    assert torch.allclose(out, right, rtol=1e-2, atol=1e-3)
    assert (grad - right_grad).norm() <= 1e-2 * right_grad.norm()


def test_a_trained_mlp_learns() -> None:
    mlp = frozen_mlp()
    mlp.lin1.bias.requires_grad_(True)
    seen = watch(mlp)
    strips.run_mlp(mlp, drawn(1, 6, 6, 32)).sum().backward()  # type: ignore[no-untyped-call]
    assert mlp.lin1.bias.grad is not None
    assert seen == [36]


def test_a_methods_linear_sees_the_whole_grid() -> None:
    sam = adapt(tiny_sam(), make_method("lora", roles=["mlp_in"]))
    shapes: list[tuple[int, ...]] = []
    sam.blocks[0].at("mlp_in").register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    with torch.inference_mode():
        sam.encode(torch.zeros(1, 3, 96, 96))
    assert shapes == [(1, 6, 6, 32)]


@pytest.mark.parametrize("method", ["lora", "conv_lora", "adapter", "bitfit", "ptsam_encoder", "lst"])
def test_methods_learn_the_same_in_strips(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for length in (7, 10**6):
        monkeypatch.setattr(strips, "STRIP", length)
        sam = adapt(tiny_sam(), make_method(method), seed=1)
        torch.manual_seed(5)
        sam.train()
        pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
        sam.decode(sam.encode(pixels)).square().mean().backward()  # type: ignore[no-untyped-call]
        found.append({name: p.grad for name, p in sam.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, right in found[1].items():
        assert torch.allclose(found[0][name], right, rtol=1e-4, atol=1e-7), name
