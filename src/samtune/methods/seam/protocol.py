"""Protocols of a method and of the modules that it attaches.

A method is a frozen dataclass whose fields are its hyper-parameters; `attach` puts modules at the sites of a frozen
base. A module offers something by having the methods of one of the protocols below; nothing is registered. What a
forward pass leaves beside its logits goes into a record (`bases/recording.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

if TYPE_CHECKING:
    from samtune.bases import Base
    from samtune.methods.seam.recipes import Recipe


class Method(Protocol):
    """Method of adapting a base: a frozen dataclass whose fields are its hyper-parameters."""

    name: ClassVar[str]
    """Key in the registry, on the command line and in result files."""
    source: ClassVar[str]
    """The paper, and the reference code at a commit where there is one."""
    starts_as_identity: ClassVar[bool]
    """Whether, for one class, the adapted model equals the base before the first step."""
    recipe: ClassVar[Recipe]
    """The method's own defaults."""

    def attach(self, base: Base, *, num_classes: int) -> None:
        """Put modules at the sites of a frozen `base` and mark what is to be trained.

        Args:
            base: every parameter frozen.
            num_classes: K, the background not counted.

        Raises:
            MethodError: a site is taken, or the model lacks what the method needs.
        """
        ...


@runtime_checkable
class Foldable(Protocol):
    """A module that can become plain weights of the base."""

    def folded(self) -> nn.Module:
        """Return a plain module with the same output."""
        ...


@runtime_checkable
class StartsFromData(Protocol):
    """A method whose first values come from the training images."""

    def start(self, model: Base, embedding: Tensor, labels: Tensor, *, seed: int) -> None:
        """Set the trained tensors' first values.

        Args:
            model: adapted by this method.
            embedding: (N, C, H, W) features of the training images as the adapted encoder gives them; of a sample of
                them where there are many.
            labels: (N, h, w) uint8 label maps, h and w multiples of H and W; 255 counts nowhere.
            seed: of whatever is drawn.
        """
        ...
