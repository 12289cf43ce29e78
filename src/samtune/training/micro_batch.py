"""In how many parts an update's images go through the model: as few as fit into the memory there is.

Parts weigh by their images, so an update is the same whatever they are, but for the order of sums, for modules that
look at the images of a part together (batch norm, Conv-LoRA's balance loss), and for which noise falls on which image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samtune.progress import say
from samtune.system.memory import available_bytes
from samtune.text import size
from samtune.training.memory import Load, count_update, plain_loss, waste
from samtune.training.objective import Objective

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from samtune.bases import Base
    from samtune.training.settings import Plan
    from samtune.types import Features

USED = 0.9
"""Share of the available memory that an update may take."""

SURE = 0.25
"""Where a generous bound is below this share of the available memory, nothing is counted."""


@dataclass(frozen=True)
class UpdateMemory:
    """Bytes of a forward and backward pass beyond the model itself.

    Attributes:
        first_bytes: with one image; the gradients are in it.
        more_bytes: for each further image.
    """

    first_bytes: int
    more_bytes: int

    def total(self, num_images: int) -> int:
        """With so many images at once."""
        return self.first_bytes + (num_images - 1) * self.more_bytes

    def most_images(self, room_bytes: float) -> int:
        """How many images fit; 0 where one does not."""
        if self.first_bytes > room_bytes:
            return 0
        return 1 + int((room_bytes - self.first_bytes) // max(1, self.more_bytes))


def count_memory(sam: Base, plan: Plan, *, cached: bool, autocast: torch.dtype | None) -> UpdateMemory | None:
    """Count what updates take; None where that cannot be told (`memory.count_update`)."""

    def own(twin: Base, inputs: Tensor | Features, labels: Tensor) -> Tensor:
        loss, _ = Objective(twin, loss=plan.loss, loss_side=plan.loss_side)(inputs, labels)
        return loss  # type: ignore[no-any-return]

    for loss_of in (own, plain_loss):
        one = count_update(sam, Load(cached, 1, autocast), loss_of)
        two = None if one is None else count_update(sam, Load(cached, 2, autocast), loss_of)
        if one is not None and two is not None:
            scale = waste(sam.device, recompute=sam.encoder.recompute)
            return UpdateMemory(int(scale * one), int(scale * (two - one)))
    return None


def choose_parts(
    sam: Base, plan: Plan, num_images: int, *, cached: bool, autocast: torch.dtype | None, kept_bytes: int
) -> int:
    """The number of parts of an update, and say it where it is more than the plan has.

    Args:
        sam: adapted, on its device.
        plan: of the run; its own parts are the least.
        num_images: of an update in this process.
        cached: features are handed in, not pixels.
        autocast: as in training.
        kept_bytes: what the optimiser and the running average will take beside an update.
    """
    available = available_bytes(sam.device)
    if available is None or num_images <= plan.accumulate or not plan.updates:
        return plan.accumulate
    room = USED * available - kept_bytes
    if _bound(sam, num_images, cached=cached) < SURE * room:
        return plan.accumulate
    memory = count_memory(sam, plan, cached=cached, autocast=autocast)
    if memory is None:
        return plan.accumulate
    parts = parts_that_fit(memory, num_images, room, least=plan.accumulate)
    if memory.most_images(room) == 0:
        say(
            f"A single image may not fit: an update of one takes about {size(memory.first_bytes)}, and "
            f"{size(available)} are free; {WAYS_OUT}."
        )
    elif parts > plan.accumulate:
        say(
            f"{num_images} images at once need about {size(memory.total(num_images))}, and "
            f"{size(available)} are free, so each update is computed in {parts} parts of "
            f"{math.ceil(num_images / parts)} images or fewer; it stays an update of {num_images}."
        )
    return parts


WAYS_OUT = "take a smaller --side, --set recompute=true, or a method that leaves the encoder alone, such as ptsam"
"""What helps where a single image is too much."""


def parts_that_fit(memory: UpdateMemory, num_images: int, room_bytes: float, *, least: int = 1) -> int:
    """The fewest parts, at least `least`, whose largest fits; single images where not even those do."""
    most = max(1, memory.most_images(room_bytes))
    return min(num_images, max(least, math.ceil(num_images / most)))


def _bound(sam: Base, num_images: int, *, cached: bool) -> int:
    """More bytes than any method of samtune's takes for an update; known without counting.

    For each token 96 vectors a block (a plain one keeps about 20), 256 vectors of the decoder for each class, and 64
    numbers for each pixel and class.
    """
    from samtune.methods import adaptation

    record = adaptation(sam)
    num_classes = 1 if record is None else record.num_classes
    side = sam.spec.image_size
    tokens = (side // sam.spec.patch) ** 2
    encoder = 0 if cached else 96 * tokens * sam.width * len(sam.blocks)
    decoder = num_classes * (256 * tokens * sam.decoder.channels + 64 * side * side)
    return 4 * num_images * (encoder + decoder)
