"""The record of a forward pass: nested, recomputed, interrupted, and absent."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from samtune.bases import current_outputs, recording
from samtune.bases.recording import replayed


class Costly(nn.Module):
    """A module whose penalty is its weight's square."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def forward(self, values: Tensor) -> Tensor:
        penalty, outputs = self.weight.square(), current_outputs()
        if outputs is not None:
            outputs.penalties.append(penalty)
        return values * self.weight


def test_without_a_recording_nothing_is_kept() -> None:
    assert current_outputs() is None
    assert float(Costly()(torch.tensor(2.0)).detach()) == 6


def test_passes_add_up_in_their_order_and_an_inner_record_has_its_own() -> None:
    layer = Costly()
    with recording() as outer:
        layer(torch.tensor(1.0))
        with recording() as inner:
            layer(torch.tensor(1.0))
            layer(torch.tensor(1.0))
        layer(torch.tensor(1.0))
    assert (len(outer.penalties), len(inner.penalties)) == (2, 2)
    assert current_outputs() is None


def test_an_error_ends_the_record() -> None:
    with recording() as outer:
        with pytest.raises(ValueError, match="broken"), recording():
            raise ValueError("broken")
        assert current_outputs() is outer
    assert current_outputs() is None


@pytest.mark.parametrize("inside", [True, False], ids=["backward while recording", "backward afterwards"])
def test_a_recomputed_pass_adds_nothing_a_second_time(inside: bool) -> None:
    layer, values = Costly(), torch.tensor(2.0, requires_grad=True)
    with recording() as outputs:
        out = checkpoint(layer, values, use_reentrant=False, context_fn=replayed)
        loss = out + sum(outputs.penalties)
        if inside:
            loss.backward()
    if not inside:
        loss.backward()
    assert len(outputs.penalties) == 1
    assert float(layer.weight.grad or 0) == 2 + 2 * 3


def test_another_thread_is_not_recorded() -> None:
    seen: list[object] = []
    with recording():
        thread = threading.Thread(target=lambda: seen.append(current_outputs()))
        thread.start()
        thread.join()
    assert seen == [None]
