"""Precision of an encoder: bfloat16 on devices that multiply it faster than float32, else float32.

With bfloat16 the blocks compute their linears and attention in it, and store their frozen matrices in it, which halves
their memory. The tokens between blocks, the norms, the positions and all trained tensors stay in float32; so do the
patch embedding and the neck, which are one hundredth of the work, while rounding the image itself caused most of the
error. The mask decoder stays in float32 unless the whole model runs under autocast.
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
"""Least number of channels for which "auto" selects bfloat16. Meta's sizes have more; `nano` is no faster with it
(docs/log.md)."""


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 faster than float32; False if that is unknown."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and cpu.has_fast_bf16()


def choose_precision(precision: Precision, device: torch.device, channels: int) -> torch.dtype:
    """Return the dtype that an encoder computes in.

    Args:
        precision: "fp32", "bf16", or "auto": bfloat16 if the device is faster with it (`has_fast_bf16`) and the encoder
            has `WIDE` channels or more, else float32.
        device: of the encoder.
        channels: the largest number of channels of its tokens.

    Raises:
        ConfigError: `precision` is another word.
    """
    words = get_args(Precision)
    if precision not in words:
        raise ConfigError(f"Expected `precision` to be {', '.join(words[:-1])} or {words[-1]}, got {precision!r}.")
    is_faster = has_fast_bf16(device) and channels >= WIDE
    return torch.bfloat16 if precision == "bf16" or (precision == "auto" and is_faster) else torch.float32


def compute_in(base: Base, precision: Precision, device: torch.device) -> None:
    """Set the dtype that the encoder computes in, and convert its frozen matrices, in place; see `keep_frozen_low`.

    Args:
        base: a base, or an adapted model after `fold` if it will be folded.
        precision: as for `choose_precision`.
        device: that it will run on.

    Raises:
        ConfigError: `precision` is unknown.
    """
    base.encoder_dtype = choose_precision(precision, device, base.width)
    keep_frozen_low(base)


def keep_frozen_low(base: Base) -> None:
    """Convert the frozen matrices of the encoder's blocks to `base.encoder_dtype`, in place, and report it.

    Has no effect for float32. Converts linears and convolutions; trained tensors, the norms and the positions stay as
    they are, and each parameter stays the same object. Call it after `adapt` and `fold`, since rounding cannot be
    undone.
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
    say(f"The encoder computes in {name}, which saves time and memory; precision=fp32 is exact.")
