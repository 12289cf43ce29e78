"""Numbers that are none: a loss, a gradient, a prediction or a trained value that is NaN or infinite."""

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
    """A number is NaN or infinite; the text says which, as in "the loss is NaN"."""


class Diverged(ConfigError):  # noqa: N818
    """A run met a number that is NaN or infinite, which no further update can mend."""


def name_of(value: float) -> str:
    """What a number is that is not finite, in a word."""
    return "NaN" if math.isnan(value) else "infinite"


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no tensor holds NaN or an infinite value; tensors of integers hold none."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors if tensor.is_floating_point())


def diverged(step: int, plan: Plan, what: str, precision: str | None) -> Diverged:
    """The error of a run that diverged, with what most often causes it.

    Args:
        step: the update at which it was seen, from 1.
        plan: of the run.
        what: is not finite, as in "the loss is NaN".
        precision: the reduced precision it computes in, as in "bf16"; None for fp32.
    """
    rate = plan.learning_rate
    reduced = "" if precision is None else f"the precision {precision} (--set precision=fp32 is safer), "
    return Diverged(
        f"Training diverged at update {min(step, plan.updates)} of {plan.updates}: {what}. The usual causes are a "
        f"learning rate that is too high (it is {rate:g}; try --set learning_rate={rate / 10:.1g}), {reduced}or images "
        "and masks that are not what they should be (samtune doctor)."
    )
