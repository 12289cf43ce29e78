"""Divergence: a loss, a gradient, a prediction or a trained value that is NaN or infinite."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from samtune.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from samtune.training.plan import Plan


class NotFinite(ArithmeticError):  # noqa: N818
    """A number is NaN or infinite; the message names it, as in "the loss is NaN"."""


class Diverged(ConfigError):  # noqa: N818
    """Training met a number that is NaN or infinite, and kept no values."""


def name_of(value: float) -> str:
    """Return "NaN" or "infinite" for a number that is not finite."""
    return "NaN" if math.isnan(value) else "infinite"


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether all floating-point tensors are free of NaN and infinite values; tensors of integers pass."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors if tensor.is_floating_point())


def diverged(step: int, plan: Plan, cause: str, precision: str | None) -> Diverged:
    """Return the error of a run that diverged, with the usual causes.

    Args:
        step: update at which it was noticed, from 1.
        plan: numbers of the run.
        cause: number that is not finite, as in "the loss is NaN".
        precision: reduced precision of the run, such as "bf16"; None for fp32.
    """
    rate = plan.learning_rate
    reduced = "" if precision is None else f"the precision {precision} (--set precision=fp32 is safer), "
    return Diverged(
        f"Training diverged at update {min(step, plan.updates)} of {plan.updates}: {cause}. The usual causes are a "
        f"learning rate that is too high (it is {rate:g}; try --set learning_rate={rate / 10:.1g}), {reduced}or faulty "
        "images or masks (run samtune doctor)."
    )
