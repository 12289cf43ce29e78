"""Number of micro-batches of an update: as few as fit into the available memory.

Micro-batches weigh by their images, so an update is the same however it is cut, apart from the order of sums, modules
that see the images of a micro-batch together (batch norm, Conv-LoRA's balance loss), and which noise falls on which
image.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from samtune.progress import say
from samtune.system.memory import available_bytes
from samtune.text import size
from samtune.training.memory import count_memory, rough_update_bytes

if TYPE_CHECKING:
    import torch

    from samtune.bases import Base
    from samtune.training.memory import UpdateMemory
    from samtune.training.plan import Plan

USED = 0.9
"""Share of the available memory that an update may take."""

SURE = 0.1
"""Where the rough estimate is below this share of the available memory, nothing is counted: no method of samtune takes
ten times as much."""


def choose_parts(
    model: Base, plan: Plan, num_images: int, *, num_classes: int, autocast: torch.dtype | None, kept_bytes: int
) -> int:
    """Return the number of micro-batches of an update, and say it where it is more than the plan has.

    Args:
        model: adapted, on its device.
        plan: of the run; its own number is the least.
        num_images: of an update in this process.
        num_classes: K.
        autocast: as in training.
        kept_bytes: memory of the optimiser and the running average beside an update.
    """
    available = available_bytes(model.device)
    if available is None or num_images <= plan.accumulate or not plan.updates:
        return plan.accumulate
    room = USED * available - kept_bytes
    if rough_update_bytes(model, plan, num_images, num_classes) < SURE * room:
        return plan.accumulate
    memory = count_memory(model, plan, autocast=autocast)
    if memory is None:
        return plan.accumulate
    parts = parts_that_fit(memory, num_images, room, least=plan.accumulate)
    if memory.most_images(room) == 0:
        say(
            f"A single image may not fit into memory: an update of one takes about {size(memory.first_bytes)}, and "
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
"""Remedies where a single image is too much."""


def parts_that_fit(memory: UpdateMemory, num_images: int, room_bytes: float, *, least: int = 1) -> int:
    """Return the fewest micro-batches, at least `least`, whose largest fits; single images where not even those do."""
    most = max(1, memory.most_images(room_bytes))
    return min(num_images, max(least, math.ceil(num_images / most)))
