"""Every method's outputs and gradients on a GPU are those of the CPU, also recomputed and in bfloat16."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from samtune.adapters import card_of, load_specialist, save
from samtune.bases.sam1.model import Sam1
from samtune.methods import adapt, trainable
from tests.methods.contract import ROWS, Row
from tests.methods.test_contract import forward, pixels
from tests.tiny import tiny_sam

if TYPE_CHECKING:
    from pathlib import Path

DEVICE = "cuda"
every_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())


def moved(row: Row, device: str, *, recompute: bool = False) -> Sam1:
    """A model adapted on a device, as a run does it, away from its first values by the same noise everywhere."""
    model = adapt(tiny_sam().to(device), row.build(), seed=1)
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=draw).to(device))
    model.vision_encoder.recompute = recompute
    return model.eval()


def outcome(model: Sam1, device: str) -> dict[str, Tensor]:
    """Logits, and the gradient of each trained tensor."""
    logits = forward(model, pixels().to(device))
    logits.square().mean().backward()  # type: ignore[no-untyped-call]
    gradients = {name: p.grad.cpu() for name, p in trainable(model).items() if p.grad is not None}
    return {"logits": logits.detach().cpu()} | gradients


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Equal to a thousandth of a tensor's largest number, or of the largest gradient times 1e-5 where all are small."""
    assert found.keys() == expected.keys()
    floor = 1e-5 * max(float(tensor.abs().max()) for tensor in expected.values())
    far = {
        name: float((found[name] - right).abs().max())
        for name, right in expected.items()
        if (found[name] - right).abs().max() > max(1e-3 * float(right.abs().max()), floor)
    }
    assert not far


@every_row
def test_outputs_and_gradients_are_the_cpus(row: Row) -> None:
    assert_close(outcome(moved(row, DEVICE), DEVICE), outcome(moved(row, "cpu"), "cpu"))


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.touches_encoder], ids=lambda row: row.method)
def test_recomputed_gradients_are_those_of_a_kept_graph(row: Row) -> None:
    kept, again = (outcome(moved(row, DEVICE, recompute=recompute), DEVICE) for recompute in (False, True))
    assert_close(again, kept)


@every_row
def test_runs_under_bfloat16_autocast(row: Row) -> None:
    base = moved(row, DEVICE)
    with torch.no_grad():
        exact = forward(base, pixels().to(DEVICE))
        with torch.autocast(DEVICE, torch.bfloat16):
            rough = forward(base, pixels().to(DEVICE))
    assert (rough.float() - exact).abs().max() <= 0.25 * exact.abs().max(), "the same, but for rounding"
    base.train()
    with torch.autocast(DEVICE, torch.bfloat16):
        forward(base, pixels().to(DEVICE)).float().square().mean().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None or p.grad.isfinite().all() for p in trainable(base).values())


@every_row
def test_saved_on_a_gpu_is_loaded_on_a_cpu(row: Row, tmp_path: Path) -> None:
    model = moved(row, DEVICE)
    save(model, tmp_path, card_of(model, ("thing",)))
    loaded, _ = load_specialist(tmp_path, tiny_sam())
    with torch.no_grad():
        expected, found = forward(model, pixels().to(DEVICE)).cpu(), forward(loaded.eval(), pixels())
    assert (found - expected).abs().max() <= 1e-3 * expected.abs().max()
