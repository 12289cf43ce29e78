"""The type that an encoder computes in: bfloat16 where the device multiplies it faster than float32, else float32.

In bfloat16 the products of the blocks' linears and attention are rounded to 8 bits; the stream of tokens from block to
block, the norms, the positions and everything that is trained stay float32, and so do the patch embedding and the neck:
one hundredth of the work, and rounding the image itself did most of the harm. The blocks' frozen matrices are kept in
bfloat16, which halves their memory. The mask decoder stays in float32 unless the whole model runs under autocast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import torch
from torch import nn

from samtune.errors import ConfigError
from samtune.progress import say
from samtune.system import cpu
from samtune.types import Precision

if TYPE_CHECKING:
    from samtune.bases.base import Base

WIDE = 512
"""Channels from which "auto" takes bfloat16: Meta's sizes have more. `nano` gains no time by it (docs/log.md)."""


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 faster than float32; False where that is unknown."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and cpu.has_fast_bf16()


def choose_precision(precision: Precision, device: torch.device, channels: int) -> torch.dtype:
    """Return the type that an encoder computes in.

    Args:
        precision: "fp32" or "bf16" as asked for; "auto" is bfloat16 where the device is faster with it
            (`has_fast_bf16`) and the encoder is `WIDE`, else float32.
        device: where it runs.
        channels: of the encoder's tokens, at its widest.

    Raises:
        ConfigError: `precision` is another word.
    """
    words = get_args(Precision)
    if precision not in words:
        raise ConfigError(f"Expected `precision` to be {', '.join(words[:-1])} or {words[-1]}, got {precision!r}.")
    pays = has_fast_bf16(device) and channels >= WIDE
    return torch.bfloat16 if precision == "bf16" or (precision == "auto" and pays) else torch.float32


def compute_in(base: Base, precision: Precision, device: torch.device) -> None:
    """Set the type that the encoder computes in, and keep its frozen matrices so, in place; see `keep_frozen_low`.

    Args:
        base: adapted, and folded if it will be; or a base that stays one.
        precision: as for `choose_precision`.
        device: where it will run.

    Raises:
        ConfigError: `precision` is unknown.
    """
    base.encoder_dtype = choose_precision(precision, device, base.width)
    keep_frozen_low(base)


def keep_frozen_low(base: Base) -> None:
    """Keep the frozen matrices of the encoder's blocks in `base.encoder_dtype`, in place, and say so.

    Nothing happens for float32. Only linears and convolutions of the blocks; trained tensors, the norms and the
    positions stay as they are, and each parameter stays the same object. For a model that is adapted, and folded if it
    will be: a rounded matrix does not come back.
    """
    dtype = base.encoder_dtype
    if dtype == torch.float32:
        return
    for module in (module for block in base.blocks for module in block.modules()):
        if isinstance(module, nn.Linear | nn.Conv2d):
            for parameter in (module.weight, module.bias):
                if parameter is not None and not parameter.requires_grad:
                    parameter.data = parameter.data.to(dtype)
    name = str(dtype).removeprefix("torch.")
    say(f"The encoder computes in {name}, which saves time and memory; with the precision fp32 it is exact.")
