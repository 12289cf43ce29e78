"""Contexts that switch autocast on and off."""

from __future__ import annotations

import pytest
import torch

from samtune.bases.autocast import autocast_to, without_autocast

CPU = torch.device("cpu")


@pytest.mark.parametrize(("dtype", "expected"), [(torch.bfloat16, torch.bfloat16), (None, torch.float32)])
def test_products_have_the_dtype_that_is_set(dtype: torch.dtype | None, expected: torch.dtype) -> None:
    with autocast_to(dtype, CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected


def test_none_switches_an_outer_autocast_off() -> None:
    with autocast_to(torch.bfloat16, CPU), autocast_to(None, CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_without_autocast_an_outer_one_has_no_effect() -> None:
    matrix = torch.ones(2, 2)
    with autocast_to(torch.bfloat16, CPU):
        with without_autocast(matrix):
            assert (matrix @ matrix).dtype == torch.float32
        assert (matrix @ matrix).dtype == torch.bfloat16


def test_tensors_without_content_need_no_autocast() -> None:
    matrix = torch.ones(2, 2, device="meta")
    with without_autocast(matrix):
        assert (matrix @ matrix).device.type == "meta"
