"""How a run's encoder computes: bfloat16 on request, recomputation, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from samtune.errors import ConfigError
from samtune.methods import load_specialist
from samtune.training import RunFolder
from tests.training.tiny_run import run


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in RunFolder(folder).read_history()]


def test_recomputation_changes_no_loss(prepared: Path) -> None:
    for recompute in (False, True):
        run(prepared, f"recompute-{recompute}", method="conv_lora", updates=3, recompute=recompute)
    kept, again = (losses(prepared / f"recompute-{recompute}") for recompute in (False, True))
    assert again == pytest.approx(kept, rel=1e-5)


def test_recomputation_without_effect_is_refused(prepared: Path) -> None:
    with pytest.raises(ConfigError, match="recompute has no effect with ptsam"):
        run(prepared, "refused", method="ptsam", updates=1, recompute=True)


def test_a_run_in_bfloat16_leaves_float32_tensors_and_its_own_features(prepared: Path) -> None:
    run(prepared, "bf16", method="lora", updates=2, precision="bf16")
    run(prepared, "fp32", method="lora", updates=2, precision="fp32")
    assert losses(prepared / "bf16") == pytest.approx(losses(prepared / "fp32"), rel=0.1)
    assert losses(prepared / "bf16") != losses(prepared / "fp32")
    sam, _ = load_specialist(prepared / "bf16")
    assert all(parameter.dtype == torch.float32 for parameter in sam.parameters())
