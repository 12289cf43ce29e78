"""Contexts that switch autocast on or off for a device."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor


def autocast_to(dtype: torch.dtype | None, device: torch.device) -> torch.autocast:
    """Return a context with autocast to `dtype` on a device; with autocast off for None."""
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def without_autocast(tensor: Tensor) -> AbstractContextManager[None]:
    """Return a context with autocast off on the tensor's device, also inside a context that switched it on."""
    kind = tensor.device.type
    if not torch.amp.is_autocast_available(kind):  # the meta device, which computes nothing
        return nullcontext()
    return torch.autocast(kind, enabled=False)
