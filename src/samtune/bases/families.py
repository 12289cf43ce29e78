"""The families of bases: one folder and one row of `FAMILIES` each; everything else reads the table.

To add a family, write a class with the members of `Family` in its own folder and put an instance of it into the table,
or call `register_family` from outside the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from samtune.bases.sam1.family import Sam1Family
from samtune.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from samtune.bases.base import Base


class Family(Protocol):
    """One kind of Segment Anything model: how its checkpoints are read and what becomes of them.

    An *architecture* is whatever the family builds a model from, as a configuration object of transformers; nobody but
    the family looks into it.

    Attributes:
        name: key of the table, such as "sam1".
        model_type: `model_type` in the config.json of its checkpoints.
        sizes: hub id -> the fields of config.json that make its architecture, for the checkpoints that are published
            under `licence`. They are built without a network, and fetched without asking.
        licence: of these checkpoints, as a hub identifier such as "apache-2.0".
        aliases: name of a tensor -> name of the tensor that it repeats; a checkpoint may hold either or both.
    """

    name: str
    model_type: str
    sizes: Mapping[str, Mapping[str, Any]]
    licence: str
    aliases: Mapping[str, str]

    def architecture(self, config: dict[str, Any], where: str) -> Any:
        """Return the architecture of a checkpoint.

        Args:
            config: content of its config.json, which may come from anybody.
            where: the checkpoint, for messages.

        Raises:
            WeightsError: a value has the wrong type, is out of range, or contradicts another.
        """
        ...

    def empty(self, architecture: Any) -> nn.Module:
        """Return transformers' model on the meta device; its state dict names every tensor of a checkpoint."""
        ...

    def wrap(self, library: nn.Module, *, name: str, sha256: str, image_size: int | None) -> Base:
        """Return the base over transformers' model.

        Args:
            library: as `empty` made it, with or without weights.
            name: as the user gave it.
            sha256: digest of the weights, "" where there are none.
            image_size: pixels, None for the size of the checkpoint.

        Raises:
            ConfigError: the image size does not fit.
        """
        ...

    def original(self, state: dict[str, Tensor], where: str) -> tuple[dict[str, Tensor], Any] | None:
        """Translate a checkpoint in its authors' own format.

        Args:
            state: the tensors of the file, by the authors' names.
            where: the file, for messages.

        Returns:
            The tensors under transformers' names, and the architecture; None where it is no checkpoint of this family.

        Raises:
            WeightsError: it is one, but incomplete or contradictory.
        """
        ...


FAMILIES: dict[str, Family] = {family.name: family for family in (Sam1Family(),)}
"""Families by name."""


def register_family(family: Family) -> None:
    """Add a family to the table.

    Raises:
        ConfigError: its name or its `model_type` is another family's.
    """
    for other in FAMILIES.values():
        if other is not family and (other.name == family.name or other.model_type == family.model_type):
            raise ConfigError(
                f"Expected a new name and model_type for the family {family.name!r} ({family.model_type!r}), got those "
                f"of {other.name!r} ({other.model_type!r}); rename it."
            )
    FAMILIES[family.name] = family


def published() -> dict[str, Family]:
    """Return the hub ids that samtune knows, each with its family."""
    return {hub_id: family for family in FAMILIES.values() for hub_id in family.sizes}
