"""Devices by name."""

from __future__ import annotations

import pytest
import torch

from samtune.errors import ConfigError
from samtune.system.device import choose_device


def test_without_a_name_it_is_cuda_where_there_is_one() -> None:
    assert choose_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["tpu", "", "cpu:1", "cuda:99", "cuda:", "cuda:x"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"Expected a device of this machine \(cpu.*\), got"):
        choose_device(name)
