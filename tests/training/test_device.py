"""Runs of one process on different devices, though accelerate remembers the first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState

from samtune.errors import ConfigError
from samtune.training import TrainSettings
from samtune.training.setup import accelerator_of


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def pretend(kind: str) -> None:
    """As if the state had been made on another device."""
    for state in (PartialState._shared_state, AcceleratorState._shared_state):
        state["device"] = torch.device(kind)


def test_a_run_is_not_kept_where_the_one_before_was() -> None:
    default = "cuda" if torch.cuda.is_available() else "cpu"
    assert accelerator_of(TrainSettings()).device.type == default
    pretend("meta")
    assert accelerator_of(TrainSettings()).device.type == "meta", "the same again changes nothing"
    assert accelerator_of(TrainSettings(device="cpu")).device.type == "cpu"
    pretend("meta")
    assert accelerator_of(TrainSettings()).device.type == default


def test_the_callers_own_accelerator_is_left_alone() -> None:
    own = Accelerator(cpu=True)
    pretend("meta")
    with pytest.raises(ConfigError, match="Expected the device 'meta', which an Accelerator"):
        accelerator_of(TrainSettings(device="cpu"))
    assert own.device.type == "meta"
    assert accelerator_of(TrainSettings()).device.type == "meta"
