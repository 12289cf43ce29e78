"""Spherical k-means of feature vectors, for the initial values of learned tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def prototypes(vectors: Tensor, count: int, *, seed: int, rounds: int = 10) -> Tensor:
    """Return the means of `count` clusters of `vectors`, clustered by cosine.

    Args:
        vectors: (M, C), M >= 1; at most 20,000 of them, drawn with `seed`, are used.
        count: number of centres; if there are fewer vectors, some centres repeat.
        seed: of the draw and of the initial centres.
        rounds: Lloyd iterations.

    Returns:
        (count, C), the mean of each cluster; an empty cluster keeps its last centre.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(vectors), generator=generator)[:20_000].to(vectors.device)
    vectors = vectors[drawn]
    unit = F.normalize(vectors, dim=1)
    centres = vectors[torch.arange(count, device=vectors.device) % len(vectors)].clone()
    for _ in range(rounds):
        nearest = (unit @ F.normalize(centres, dim=1).T).argmax(1)
        for index in range(count):
            members = vectors[nearest == index]
            if len(members):
                centres[index] = members.mean(0)
    return centres
