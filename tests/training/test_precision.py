"""How a run's encoder computes: bfloat16 on request, recomputation, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from samtune.adapters import load_specialist
from samtune.bases import compute_in
from samtune.data import open_dataset
from samtune.errors import ConfigError
from samtune.tasks import Areas
from samtune.training import RunFolder, TrainSettings
from samtune.training.setup import autocast_of
from samtune.training.validation import Validation
from samtune.types import Precision
from tests.training.tiny_run import run


def test_validation_scores_what_will_predict(prepared: Path) -> None:
    """Training casts the whole model to bfloat16, prediction its encoder alone."""
    result = run(prepared, "validated", method="decoder_only", updates=2, precision="bf16")
    model, _ = load_specialist(prepared / "validated")
    compute_in(model, "bf16", model.device)
    dataset = open_dataset(prepared / "data" / "images", prepared / "data" / "masks")
    stems = {row["stem"] for row in json.loads((prepared / "validated" / "split.json").read_text())["val"]}
    indices = tuple(i for i, pair in enumerate(dataset.pairs) if pair.stem in stems)
    with torch.inference_mode():
        scores = Validation(dataset, Areas(), indices, encoder=None).scores(model.eval())
    assert scores["iou_per_image"] == pytest.approx(result.validation["iou_per_image"], abs=1e-9)
    assert scores["iou_per_image"] > 0


@pytest.mark.parametrize(
    ("device", "encoder", "wanted", "expected"),
    [
        ("cuda", torch.bfloat16, "auto", torch.bfloat16),
        ("cuda", torch.float32, "auto", None),
        ("cpu", torch.bfloat16, "auto", None),
        ("cpu", torch.bfloat16, "bf16", torch.bfloat16),
        ("cuda", torch.float32, "fp32", None),
    ],
)
def test_training_casts_the_whole_model_where_a_gpus_encoder_is_cast(
    device: str, encoder: torch.dtype, wanted: Precision, expected: torch.dtype | None
) -> None:
    model: Any = SimpleNamespace(device=torch.device(device), encoder_dtype=encoder)
    assert autocast_of(TrainSettings(precision=wanted), model) == expected


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in RunFolder(folder).read_history()]


def test_recomputation_changes_no_loss(prepared: Path) -> None:
    for recompute in (False, True):
        run(prepared, f"recompute-{recompute}", method="conv_lora", updates=3, recompute=recompute)
    kept, again = (losses(prepared / f"recompute-{recompute}") for recompute in (False, True))
    assert again == pytest.approx(kept, rel=1e-5)


def test_recomputation_without_effect_is_refused(prepared: Path) -> None:
    with pytest.raises(ConfigError, match="`recompute` has no effect with ptsam"):
        run(prepared, "refused", method="ptsam", updates=1, recompute=True)


def test_a_run_in_bfloat16_leaves_float32_tensors_and_its_own_features(prepared: Path) -> None:
    run(prepared, "bf16", method="lora", updates=2, precision="bf16")
    run(prepared, "fp32", method="lora", updates=2, precision="fp32")
    assert losses(prepared / "bf16") == pytest.approx(losses(prepared / "fp32"), rel=0.1)
    assert losses(prepared / "bf16") != losses(prepared / "fp32")
    model, _ = load_specialist(prepared / "bf16")
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
