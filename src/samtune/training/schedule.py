"""Which images, in which view, make up which update: a pure function of the seed and the step.

Nothing here has a state, so that a run resumed at step s, or spread over several processes, sees the same batches.
"""

from __future__ import annotations

import torch


def batch(step: int, *, num_images: int, batch_size: int, num_views: int, seed: int) -> list[tuple[int, int]]:
    """The (image, view) pairs of an update.

    Images come in epochs, each a seeded permutation; an update may span two epochs. Views are drawn evenly; view 0 is
    the image as it is.

    Args:
        step: from 0.
        num_images: number of training images.
        batch_size: of the whole update, over all processes.
        num_views: views of an image, itself included.
        seed: of the run.
    """
    pairs = []
    for position in range(step * batch_size, (step + 1) * batch_size):
        epoch, place = divmod(position, num_images)
        order = torch.randperm(num_images, generator=_generator(seed, 1, epoch))
        view = torch.randint(num_views, (), generator=_generator(seed, 2, position))
        pairs.append((int(order[place]), int(view)))
    return pairs


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of the global generator during a step (dropout, noisy gates): no generator state needs to be saved."""
    return int(torch.randint(2**31, (), generator=_generator(seed, 3 + rank, step)))


def _generator(seed: int, stream: int, position: int) -> torch.Generator:
    mixed = (seed * 0x9E3779B97F4A7C15 + stream * 0xC2B2AE3D27D4EB4F + position * 0x165667B19E3779F9) % 2**63
    return torch.Generator().manual_seed(mixed)
