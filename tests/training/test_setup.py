"""Facts of a method are learned on a twin without content, and are those of the model itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from samtune.bases import Base
from samtune.errors import MethodError
from samtune.methods import METHODS, adapt, adaptation, has_own_loss, make_method, touches_encoder
from samtune.training.setup import effects_of
from tests.tiny import tiny_sam

CASES: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in METHODS]
CASES += [("decoder_only", {"head": "queries"}), ("lora", {"head": "queries"}), ("ts_sam", {"paper": True})]


@pytest.mark.parametrize(("name", "fields"), CASES)
@pytest.mark.parametrize("num_classes", [1, 3])
def test_a_twin_has_the_effects_of_the_model(name: str, fields: dict[str, Any], num_classes: int) -> None:
    model, method = tiny_sam(), make_method(name, **fields)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    drawn = torch.get_rng_state()
    effects = effects_of(model, method, num_classes)
    assert adaptation(model) is None
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    adapted = adapt(model, method, num_classes=num_classes)
    assert effects == (touches_encoder(adapted), has_own_loss(adapted))


def test_a_method_that_does_not_fit_is_refused_on_the_twin() -> None:
    with pytest.raises(MethodError, match="classes"):
        effects_of(tiny_sam(), make_method("ptsam"), 300)


def test_a_method_that_reads_the_base_is_tried_on_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make_method("probe")

    def attach(self: Any, model: Base, *, num_classes: int) -> None:
        assert float(next(model.parameters()).sum()) is not None
        next(model.encoder.parameters()).requires_grad_(True)

    monkeypatch.setattr(type(method), "attach", attach)
    model = tiny_sam()
    assert effects_of(model, method, 1) == (True, False)
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())
