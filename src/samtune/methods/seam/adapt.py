"""Functions for every method: attach, trained parameters, learned tensors, fold, and losses of modules.

Learned tensors are found by identity (trained, or not part of the base), never by matching names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from samtune.bases import Supervised
from samtune.errors import MethodError
from samtune.methods.seam.protocol import Foldable

if TYPE_CHECKING:
    from collections.abc import Callable

    from samtune.bases import Base, Outputs
    from samtune.methods.seam.protocol import Method

AnyBase = TypeVar("AnyBase", bound="Base")


@dataclass(frozen=True)
class Adaptation:
    """Record that `adapt` keeps on the model.

    Attributes:
        method: what was attached.
        num_classes: K.
        base_tensors: identities of the base's tensors.
        base_parameters: the tensors themselves, which keeps their identities alive.
        trained: identities of those of them that the method trains; a loaded specialist is frozen, so that
            `requires_grad` no longer says so.
    """

    method: Method
    num_classes: int
    base_tensors: frozenset[int] = field(repr=False)
    base_parameters: tuple[nn.Parameter, ...] = field(repr=False)
    trained: frozenset[int] = field(repr=False)


def adapt(base: AnyBase, method: Method, *, num_classes: int = 1, seed: int = 0) -> AnyBase:
    """Freeze a base and attach a method to it, in place.

    Args:
        base: a base as loaded.
        method: what to attach.
        num_classes: K, without the background; 1..254.
        seed: of the initial values of the method's tensors; the state of torch's global generator does not change.

    Returns:
        The same object.

    Raises:
        MethodError: a method is attached already, K is out of range, or the method does not fit this model.
    """
    present = adaptation(base)
    if present is not None:
        raise MethodError(
            f"Expected a base without a method, got one with {present.method.name}; load the base again to attach "
            f"{method.name}."
        )
    if not 1 <= num_classes <= 254:
        raise MethodError(f"Expected 1 to 254 classes without the background, got {num_classes}.")
    base.requires_grad_(False)
    parameters, device = tuple(base.parameters()), base.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        method.attach(base, num_classes=num_classes)
    base.to(device)  # new parameters are drawn on the CPU
    trained = frozenset(id(parameter) for parameter in parameters if parameter.requires_grad)
    base_tensors = frozenset(map(id, parameters))
    base.__dict__["_adaptation"] = Adaptation(method, num_classes, base_tensors, parameters, trained)
    return base


def init_device(device: torch.device) -> torch.device:
    """Return the device to draw initial values on: the CPU, so that a seed gives the same values on every device.

    The meta device is returned as it is. `adapt` moves the tensors to the base's device.
    """
    return device if device.type == "meta" else torch.device("cpu")


def adaptation(model: Base) -> Adaptation | None:
    """Return the record of the attached method, or None for a base without one."""
    return model.__dict__.get("_adaptation")


def trainable(model: Base) -> dict[str, nn.Parameter]:
    """Return the parameters that are trained, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def penalty(outputs: Outputs) -> Tensor | float:
    """Return the sum of the penalties that modules recorded in a forward pass; 0 if there are none."""
    return sum(outputs.penalties)


def has_own_loss(model: Base) -> bool:
    """Return whether a module of the model has a loss that replaces the recipe's."""
    return any(isinstance(module, Supervised) for module in model.modules())


def task_loss(
    outputs: Outputs,
    logits: Tensor,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    labels: Tensor | None = None,
) -> Tensor:
    """Compute the loss of a batch, without penalties.

    Args:
        outputs: of the forward pass that gave the logits.
        logits: (B, K, h, w).
        targets: (B, ...) of the task.
        loss: of logits and targets; a module's own loss replaces it.
        labels: uint8 (B, H, W) for a module's own loss; None where the targets are that.

    Returns:
        A scalar, the mean over images; over the members of an ensemble too, of the loss of each, since the loss of
        their average would train each to correct the others.
    """
    labels = targets if labels is None else labels
    own = [module.supervised_loss(answers, labels) for module, answers in outputs.answers]
    if own:
        return torch.stack(own).sum()
    for members in outputs.members:
        return loss(members.flatten(0, 1), targets.repeat(len(members), *[1] * (targets.ndim - 1)))
    return loss(logits, targets)


def delta(model: Base) -> dict[str, Tensor]:
    """Return the learned tensors by name: those that are trained, and those that the base does not have.

    Raises:
        MethodError: no method is attached.
    """
    record = adaptation(model)
    if record is None:
        raise MethodError("Expected an adapted model, got one without a method; call adapt first.")
    state = model.state_dict(keep_vars=True)
    return {
        key: tensor.detach()
        for key, tensor in state.items()
        if tensor.requires_grad or id(tensor) in record.trained or id(tensor) not in record.base_tensors
    }


def fold(model: AnyBase) -> AnyBase:
    """Replace every foldable module by a plain one with the same output, in place, and return the model."""
    for name, module in list(model.named_modules()):
        if isinstance(module, Foldable):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module.folded())
    return model


def touches_encoder(model: Base) -> bool:
    """Return whether the features depend on learned tensors; if not, they can be cached.

    Checks the encoder's tensors, and the graph of one small forward pass (also on the meta device).
    """
    record = adaptation(model)
    if record is None:
        return False
    state = model.encoder.state_dict(keep_vars=True).values()
    if any(id(tensor) not in record.base_tensors or id(tensor) in record.trained for tensor in state):
        return True
    side = 2 * model.spec.patch
    with torch.enable_grad():
        features = model.encode(torch.zeros(1, 3, side, side, device=model.device))
    return any(tensor.requires_grad for tensor in features.tensors().values())
