"""The worked example of docs/adding-a-method.md runs, and keeps the contract's checks."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from samtune.methods import adapt, touches_encoder, trainable
from tests.methods import test_contract as contract
from tests.methods.contract import BLOCKS, CHANNELS, linear
from tests.tiny import tiny_sam

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-method.md"


@pytest.fixture
def example() -> Iterator[Any]:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code is not None
    module = types.ModuleType("docs_example")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(code[1], str(PAGE), "exec"), module.__dict__)
    yield module.MLPAdapter
    del sys.modules[module.__name__]


def test_the_example_keeps_the_contract(example: Any) -> None:
    for check in (
        contract.check_base_keys_survive,
        contract.check_base_tensors_are_untouched,
        contract.check_gradients,
        contract.check_frozen_tensors_stay,
        contract.check_batch_equals_singles,
    ):
        check(adapt(tiny_sam(), example()))
    model = adapt(tiny_sam(), example())
    contract.check_identity(model, declared=True)
    assert touches_encoder(model)
    count = BLOCKS * (linear(CHANNELS, 4) + linear(4, CHANNELS))
    assert sum(parameter.numel() for parameter in trainable(model).values()) == count
