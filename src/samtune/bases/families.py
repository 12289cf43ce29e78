"""Table of the families of bases: one folder and one row of `FAMILIES` each.

To add a family, write a class with the members of `Family` in its own folder and put an instance of it into the table,
or name it among the entry points `samtune.bases` of a package (`samtune/plugins.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from samtune.bases.sam1.family import Sam1Family
from samtune.errors import ConfigError
from samtune.plugins import Table, instance_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from samtune.bases.base import Base


class Family(Protocol):
    """One kind of Segment Anything model: reads its checkpoints and builds its bases.

    An *architecture* is the object that a family builds a model from, such as a configuration of transformers; only the
    family itself reads it.

    Attributes:
        name: key of the table, such as "sam1".
        model_type: `model_type` in the config.json of its checkpoints.
        sizes: hub id -> the fields of its config.json, for the published checkpoints. Their shapes are known without a
            network, and a specialist may make samtune download them.
        licence: of the published checkpoints, as a hub identifier such as "apache-2.0".
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
            config: content of its config.json, which is not trusted.
            where: names the checkpoint in messages.

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
            library: model as `empty` returns it, with or without weights.
            name: as the user gave it.
            sha256: digest of the weights, "" without weights.
            image_size: in pixels; None for the size of the checkpoint.

        Raises:
            ConfigError: the image size does not fit.
        """
        ...

    def original(self, state: dict[str, Tensor], where: str) -> tuple[dict[str, Tensor], Any] | None:
        """Translate a checkpoint in its authors' own format.

        Args:
            state: the tensors of the file, by the authors' names.
            where: names the file in messages.

        Returns:
            The tensors under transformers' names, and the architecture; None for a checkpoint of another family.

        Raises:
            WeightsError: it is a checkpoint of this family, but incomplete or contradictory.
        """
        ...


def _as_family(value: Any) -> Family:
    """Return a family, made from its class if it comes as one.

    Raises:
        ConfigError: members are missing, or its `model_type` is another family's.
    """
    family: Family = instance_of(Family, value)
    for other in FAMILIES.values():
        if other.name != family.name and other.model_type == family.model_type:
            raise ConfigError(
                f"Expected a new model_type of the family {family.name!r}, got {family.model_type!r}, which is that of "
                f"{other.name!r}."
            )
    return family


FAMILIES: Table[Family] = Table("family of bases", "samtune.bases", (Sam1Family(),), _as_family)
"""Family of each name; installed packages add more."""


def register_family(family: Family) -> None:
    """Add a family to the table.

    Raises:
        ConfigError: another family has its name or its `model_type`.
    """
    FAMILIES.register(family)


def published() -> dict[str, Family]:
    """Return the hub ids of the published checkpoints, each with its family."""
    return {hub_id: family for family in FAMILIES.values() for hub_id in family.sizes}
