"""Contexts in which products are computed in another type, or in their own."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor


def autocast_to(dtype: torch.dtype | None, device: torch.device) -> torch.autocast:
    """Return a context in which products on a device are computed in a type; None leaves them as they are."""
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def unrounded(tensor: Tensor) -> AbstractContextManager[None]:
    """Return a context in which products on the tensor's device keep their own type, whatever autocast is around it."""
    kind = tensor.device.type
    if not torch.amp.is_autocast_available(kind):  # the meta device, which computes nothing
        return nullcontext()
    return torch.autocast(kind, enabled=False)
