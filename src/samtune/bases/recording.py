"""Record of a forward pass: what modules compute beside its logits, kept apart from the modules.

    with recording() as outputs:
        logits = base.decode(base.encode(pixels))
    loss = task_loss(outputs, logits, targets, loss) + penalty(outputs)

A module calls `current_outputs()` in its forward pass and appends to the record if there is one. What it computes must
not depend on whether there is one, because a block that is recomputed in the backward pass runs without a record and
has to build the same graph. A record holds that graph, so drop it after the update.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from torch import Tensor


@runtime_checkable
class Supervised(Protocol):
    """A module with a loss of its own against the labels, which replaces the recipe's; see `Outputs.answers`."""

    def supervised_loss(self, answers: Any, labels: Tensor) -> Tensor:
        """Compute the loss of a forward pass.

        Args:
            answers: what the module recorded.
            labels: uint8 (B, H, W) of the same images: 0 background, 1..K, 255 ignored.

        Returns:
            A scalar, the mean over images.
        """
        ...


@dataclass(eq=False)
class Outputs:
    """The record of one forward pass; each list is in the order in which the modules ran.

    Attributes:
        penalties: scalars to add to the task's loss.
        members: logits (M, B, K, h, w) of the members of each ensemble.
        answers: pairs of a module with a loss of its own, and the values that its loss is computed from.
    """

    penalties: list[Tensor] = field(default_factory=list)
    members: list[Tensor] = field(default_factory=list)
    answers: list[tuple[Supervised, Any]] = field(default_factory=list)


class _Local(threading.local):
    """The record of each thread. Not a context variable, which torch.compile cannot trace."""

    outputs: Outputs | None = None


_CURRENT = _Local()


def current_outputs() -> Outputs | None:
    """Return the record of the running forward pass, None outside `recording`."""
    return _CURRENT.outputs


@contextmanager
def recording() -> Iterator[Outputs]:
    """Record the forward passes in this context; a nested recording adds nothing to the outer one."""
    with _as_current(Outputs()) as outputs:
        assert outputs is not None
        yield outputs


def replayed() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Return contexts for `context_fn` of `torch.utils.checkpoint`, in which a recomputed pass records nothing."""
    return nullcontext(), _as_current(None)


@contextmanager
def _as_current(outputs: Outputs | None) -> Iterator[Outputs | None]:
    outer, _CURRENT.outputs = _CURRENT.outputs, outputs
    try:
        yield outputs
    finally:
        _CURRENT.outputs = outer
