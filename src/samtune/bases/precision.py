"""The numbers the encoder computes in: bfloat16 where the device multiplies it faster than float32, else float32.

In bfloat16 the products of the blocks' linears and attention are rounded to 8 bits; the stream of tokens from block to
block, the norms, the positions and everything that is trained stay float32, and so do the patch embedding and the neck:
one hundredth of the work, and rounding the image itself did most of the harm. The blocks' frozen matrices are kept in
bfloat16, which halves their memory. The mask decoder stays in float32 unless the whole model runs under autocast.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor, nn

from samtune.errors import ConfigError
from samtune.progress import say
from samtune.types import Precision

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from samtune.bases.sam1.model import Sam

WIDE = 512
"""Channels from which bfloat16 is taken: all of Meta's sizes. Not `nano`: it gained no time and lost .004 of IoU by it
(docs/log.md), and so its results depend on the machine by the order of sums alone."""

MATRIX_UNIT, VECTOR_UNIT = "amx_bf16", "avx512_bf16"
"""What /proc/cpuinfo calls the instructions; without them torch computes bfloat16 by way of float32."""

VECTOR_UNIT_PAYS = frozenset({"AuthenticAMD"})
"""Makers whose vector instruction is faster than float32. Intel's is not: where a Xeon has it without the matrix unit,
products took half as long again as in float32 (docs/performance.md). A rule and no measurement, since a timing would
let one machine compute in different numbers from run to run."""


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32; False where that cannot be told."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    facts = processor()
    flags = facts.get("flags", "").split()
    return MATRIX_UNIT in flags or (VECTOR_UNIT in flags and facts.get("vendor_id") in VECTOR_UNIT_PAYS)


def choose_precision(wanted: Precision, device: torch.device, channels: int) -> torch.dtype:
    """The type that the encoder computes in.

    Args:
        wanted: "fp32" and "bf16" are obeyed; "auto" is bfloat16 where the device is faster with it (`has_fast_bf16`)
            and the encoder is `WIDE`, else float32.
        device: where it runs.
        channels: of the encoder's tokens.

    Raises:
        ConfigError: `wanted` is something else.
    """
    words = get_args(Precision)
    if wanted not in words:
        raise ConfigError(f"precision must be {', '.join(words[:-1])} or {words[-1]}, but {wanted!r} came.")
    pays = has_fast_bf16(device) and channels >= WIDE
    return torch.bfloat16 if wanted == "bf16" or (wanted == "auto" and pays) else torch.float32


def compute_in(sam: Sam, wanted: Precision, device: torch.device) -> None:
    """Set what the encoder computes in, and keep its frozen matrices so; in place, for a model as `keep_frozen_low`'s.

    Args:
        sam: adapted, and folded if it will be; or a base that stays one.
        wanted: as for `choose_precision`.
        device: where it will run.

    Raises:
        ConfigError: `wanted` is no precision.
    """
    sam.encoder_dtype = choose_precision(wanted, device, sam.vision_encoder.channels)
    keep_frozen_low(sam)


def keep_frozen_low(sam: Sam) -> None:
    """Keep the frozen matrices of the encoder's blocks in `sam.encoder_dtype`, in place, and say so.

    Nothing happens for float32. Only linears and convolutions of the blocks; what is trained, the norms and the
    positions stay as they are, and each parameter stays the same object. For a model that is adapted, and folded if it
    will be: what is rounded does not come back.
    """
    dtype = sam.encoder_dtype
    if dtype == torch.float32:
        return
    for module in sam.vision_encoder.layers.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            for parameter in (module.weight, module.bias):
                if parameter is not None and not parameter.requires_grad:
                    parameter.data = parameter.data.to(dtype)
    name = str(dtype).removeprefix("torch.")
    say(f"The encoder computes in {name}, which saves time and memory; with the precision fp32 it is exact.")


def autocast_to(dtype: torch.dtype | None, device: torch.device) -> torch.autocast:
    """A context in which products on a device are computed in a type; None leaves them as they are."""
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def unrounded(tensor: Tensor) -> AbstractContextManager[None]:
    """A context in which products on the tensor's device keep its own type, whatever autocast is around it."""
    kind = tensor.device.type
    if not torch.amp.is_autocast_available(kind):  # the meta device, which computes nothing
        return nullcontext()
    return torch.autocast(kind, enabled=False)


@cache
def processor() -> dict[str, str]:
    """What Linux tells of the first processor, by its names (`vendor_id`, `model name`, `flags`); empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
