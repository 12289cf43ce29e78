"""A method in one file: a linear map of the embedding in the mask decoder's place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from samtune.bases import Base
from samtune.methods.seam.recipes import Recipe
from samtune.types import Features


class ToyHead(nn.Module):
    """(B, C, H, W) -> (B, K, H, W), one linear map for every cell."""

    def __init__(self, channels: int, num_maps: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, num_maps)

    def forward(self, features: Features, base: Base) -> Tensor:
        """Return logits at the size of the embedding."""
        logits: Tensor = self.linear(features.embedding.movedim(1, -1)).movedim(-1, 1)
        return logits


@dataclass(frozen=True)
class ToyMethod:
    """The row of the table."""

    name: ClassVar[str] = "toy_linear"
    source: ClassVar[str] = "a test"
    starts_as_identity: ClassVar[bool] = False
    recipe: ClassVar[Recipe] = Recipe(learning_rate=0.05, updates=30, batch_size=4)

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`."""
        base.sites.put("head", ToyHead(base.decoder.channels, num_classes))
