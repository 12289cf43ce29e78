"""Protocols of a method and of the modules that it attaches.

A method is a frozen dataclass whose fields are its hyper-parameters; `attach` puts modules at the sites of a frozen
base. Methods and modules implement the optional protocols below by having their members; nothing is registered.
`bases/recording.py` records what a forward pass computes beside its logits.
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
    """Whether, for one class, the adapted model gives the base's logits before the first step."""
    recipe: ClassVar[Recipe]
    """The method's own defaults."""

    def attach(self, base: Base, *, num_classes: int) -> None:
        """Put modules at the sites of a frozen base and set `requires_grad` of what is trained.

        Args:
            base: every parameter frozen.
            num_classes: K, without the background.

        Raises:
            MethodError: a site is not free, or the base or K does not fit the method; the base is unchanged.
        """
        ...


@runtime_checkable
class Foldable(Protocol):
    """A module that can be replaced by a plain one with other weights."""

    def folded(self) -> nn.Module:
        """Return a plain module with the same output, up to rounding."""
        ...


@runtime_checkable
class StartsFromData(Protocol):
    """A method whose initial values come from the training images."""

    def start(self, model: Base, embedding: Tensor, labels: Tensor, *, seed: int) -> None:
        """Set the initial values of the trained tensors.

        Args:
            model: adapted by this method.
            embedding: (N, C, H, W) features of the training images from the adapted encoder; if there are many images,
                of a sample.
            labels: (N, h, w) uint8 label maps, h and w multiples of H and W; 255 is ignored.
            seed: of random draws.
        """
        ...
