"""How much memory a cell may take: a generous guess, for deciding how many run at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samtune.compare.settings import Cell

if TYPE_CHECKING:
    from samtune.bases import Base
    from samtune.compare.settings import CompareSettings
    from samtune.training.recipe import Chosen

FIXED = 0.8e9
"""Bytes of a process without a model: the interpreter and the libraries (measured: .4 GB), and as much again for images
that are read and scored."""

KEPT = 40
"""Tokens' values that a block keeps for its gradient, in units of the stream: norms, attention and the wide layer are
about 20, and as much again is for what a method adds."""

FEATURES, FINE = 256, 64
"""Channels of the features; values of a fine pixel (4 x 4 of them to a token) that the decoder keeps, at most."""


def needed_bytes(sam: Base, settings: CompareSettings, row: str, chosen: Chosen | None, touches: bool) -> int:
    """The memory that a cell of a row may take on a CPU: a guess from the base's size, too large for most.

    Two copies of the weights, the features of all labelled images, and the graph of a part of an update: that of the
    decoder, and, where the row changes the encoder, that of every block.

    Args:
        sam: the base.
        settings: of the comparison.
        row: which.
        chosen: its method and recipe; None for a row that is no method.
        touches: whether it changes the encoder.
    """
    value = 4  # bytes
    weights = 2 * value * sum(parameter.numel() for parameter in sam.parameters())
    tokens = (sam.spec.image_size // sam.spec.patch) ** 2
    blocks, stream = len(sam.blocks), value * tokens * sam.width
    images, kept = 1, KEPT
    if chosen is not None:
        training = settings.training(Cell(row, max(settings.shots), 0))
        parts = training.accumulate or chosen.recipe.accumulate
        images = -(-(training.batch_size or chosen.recipe.batch_size) // parts)
        if touches:
            kept = KEPT + blocks if training.recompute else KEPT * blocks
    features = 2 * value * tokens * FEATURES * max(settings.shots)
    decoder = value * tokens * (16 * FINE + KEPT * FEATURES)
    return int(FIXED + weights + features + images * (decoder + kept * stream))
