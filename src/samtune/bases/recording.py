"""What a forward pass leaves beside its logits, in a record of its own instead of on modules.

    with recording() as outputs:
        logits = base.decode(base.encode(pixels))
    loss = task_loss(outputs, logits, labels, "bce_dice") + penalty(outputs)

A module asks `current_outputs()` in its forward pass and adds to the record where there is one. What it computes does
not depend on whether there is one, since a pass that is recomputed for its gradients, with no record, has to build the
same graph. A record holds that graph, so it is dropped with the update.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from torch import Tensor


class BringsLoss(Protocol):
    """A module with a loss of its own against the labels."""

    def supervised_loss(self, answers: Any, labels: Tensor) -> Tensor:
        """Return the loss of what the module recorded; a scalar, the mean over images."""
        ...


@dataclass(eq=False)
class Outputs:
    """The record of one forward pass, in the order of the modules.

    Attributes:
        penalties: scalars to add to the task's loss.
        members: of each ensemble the logits (M, B, K, h, w) of its members.
        answers: modules that bring a loss of their own, each with what its loss is computed from.
    """

    penalties: list[Tensor] = field(default_factory=list)
    members: list[Tensor] = field(default_factory=list)
    answers: list[tuple[BringsLoss, Any]] = field(default_factory=list)


class _Local(threading.local):
    """The record of each thread; torch.compile follows it, and not a context variable."""

    outputs: Outputs | None = None


_CURRENT = _Local()


def current_outputs() -> Outputs | None:
    """Return the record of the forward pass that is running; None where nobody records."""
    return _CURRENT.outputs


@contextmanager
def recording() -> Iterator[Outputs]:
    """Record the forward passes inside; a recording inside of another takes its own and leaves the outer one alone."""
    with _as_current(Outputs()) as outputs:
        assert outputs is not None
        yield outputs


def replayed() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Return the `context_fn` of `torch.utils.checkpoint` with which a recomputed pass adds to no record."""
    return nullcontext(), _as_current(None)


@contextmanager
def _as_current(outputs: Outputs | None) -> Iterator[Outputs | None]:
    outer, _CURRENT.outputs = _CURRENT.outputs, outputs
    try:
        yield outputs
    finally:
        _CURRENT.outputs = outer
