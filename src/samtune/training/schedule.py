"""Batches, seeds and learning rate of each step, as pure functions of the step.

Nothing here has a state, so a run resumed at step s, or spread over several processes, sees the same batches.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from samtune.training.plan import Plan

LEAST_RATE = 1e-7
"""Learning rate at which `epoch_cosine` ends."""


def learning_rate(plan: Plan, step: int) -> float:
    """Return the learning rate of a step (from 0) by the plan's schedule.

    warmup_cosine rises linearly over `plan.warmup` steps and falls to a hundredth of the peak; linear falls from the
    peak to 0; epoch_cosine falls to `LEAST_RATE` with one value per pass over the images.
    """
    peak, updates = plan.learning_rate, plan.updates
    if plan.schedule == "linear":
        return peak * (1 - step / updates)
    if plan.schedule == "epoch_cosine":
        epoch, epochs = int(step / plan.updates_per_epoch + 1e-9), updates / plan.updates_per_epoch
        return LEAST_RATE + (peak - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
    if step < plan.warmup:
        return peak * (step + 1) / plan.warmup
    done = (step - plan.warmup) / max(1, updates - plan.warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def batch(step: int, *, num_images: int, batch_size: int, num_views: int, seed: int) -> list[tuple[int, int]]:
    """Return the (image, view) pairs of an update.

    Each epoch is a seeded permutation of the images; an update may span two epochs. Views are drawn uniformly; view 0
    is the image as it is.

    Args:
        step: from 0.
        num_images: number of training images.
        batch_size: images per update, over all processes.
        num_views: views per image, the image itself included.
        seed: of the run.
    """
    pairs = []
    for position in range(step * batch_size, (step + 1) * batch_size):
        epoch, offset = divmod(position, num_images)
        order = torch.randperm(num_images, generator=_generator(seed, 1, epoch))
        view = torch.randint(num_views, (), generator=_generator(seed, 2, position))
        pairs.append((int(order[offset]), int(view)))
    return pairs


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of the global generator for a step (dropout, noisy gates); no generator state is saved."""
    return int(torch.randint(2**31, (), generator=_generator(seed, 3 + rank, step)))


def _generator(seed: int, stream: int, position: int) -> torch.Generator:
    mixed = (seed * 0x9E3779B97F4A7C15 + stream * 0xC2B2AE3D27D4EB4F + position * 0x165667B19E3779F9) % 2**63
    return torch.Generator().manual_seed(mixed)
