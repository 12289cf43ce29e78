"""Learned prompt tokens of the mask decoder: creation, and initial values from the features of the training images.

    prototype start of class k:  p_i = centre_i of the class's features + SAM's positive point embedding,  i <= 5 n / 8
                                 p_i = centre_i of all other features + SAM's negative point embedding,    the rest

Used by `ptsam`, `ptsam_encoder` and `decoder_only`. The centres are `prototypes.prototypes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from samtune.methods.parts.prototypes import prototypes
from samtune.methods.parts.token_sets import TokenSets
from samtune.methods.seam.adapt import init_device
from samtune.types import IGNORE

if TYPE_CHECKING:
    from samtune.bases import Base

Init = Literal["prototype", "points", "sam_scale", "normal", "uniform"]
"""Initial values of the tokens; see `ptsam.PTSAM`."""

MEMBER_STEP = 1_000_003
"""Difference between the seeds of two members, so that runs with neighbouring seeds share none."""


def attach_tokens(base: Base, num_classes: int, num_tokens: int, init: Init, *, members: int = 1) -> None:
    """Put learned prompt tokens into the mask decoder.

    Raises:
        MethodError: the decoder has tokens or class heads already.
    """
    base.sites.check_free("class_heads", "decoder_prompts")
    base.sites.put("decoder_prompts", new_tokens(base, num_classes, num_tokens, init, members=members))


def new_tokens(base: Base, num_classes: int, num_tokens: int, init: Init, *, members: int = 1) -> TokenSets:
    """Return prompt tokens with the initial values of `init`, on the base's device."""
    decoder = base.decoder
    prompts = TokenSets(num_classes, num_tokens, decoder.channels, members=members)
    drawn = init_device(base.device)
    prompts = prompts.to(drawn)
    with torch.no_grad():
        for member in prompts.by_member():  # one after the other, so that the first is the same as without an ensemble
            if init == "normal":
                member.normal_(0.0, 0.02)
            elif init == "uniform":
                # VPT's sqrt(6 / (3 p^2 + d)) with the fan of a C -> C map: 0.0765 for C = 256 and p = 16.
                bound = (6.0 / (3 * 16**2 + decoder.channels)) ** 0.5
                member.uniform_(-bound, bound)
            else:
                points = _point_tokens(base, num_classes, num_tokens)
                if init == "sam_scale":
                    noise = torch.randn(points.shape, device=drawn).to(base.device)
                    points = noise * points.square().mean().sqrt()
                member.copy_(points)
    return prompts.to(base.device)


def start_tokens(model: Base, embedding: Tensor, labels: Tensor, *, seed: int) -> None:
    """Set the tokens of each class to centres of its features (5 of 8) and of all others' (3 of 8).

    SAM's positive or negative point embedding is added to each, as for a user's click, but no position. A cell has the
    label of its centre; a class without any cell keeps its initial values. Members of an ensemble differ by the seed of
    the clustering. Arguments as for `StartsFromData.start`.
    """
    prompts = model.sites.at("decoder_prompts")
    assert isinstance(prompts, TokenSets)
    grid_hw = embedding.shape[-2:]
    labels = F.interpolate(labels[:, None].float(), size=grid_hw, mode="nearest-exact")[:, 0].to(torch.uint8)
    with torch.no_grad():
        for number, member in enumerate(prompts.by_member()):
            for index, tokens in enumerate(member):
                _start_class(model, tokens, embedding, labels, index + 1, seed + MEMBER_STEP * number)


def _start_class(model: Base, tokens: Tensor, embedding: Tensor, labels: Tensor, label: int, seed: int) -> None:
    """Set one class's tokens (n, C), in place, from features and the cells' labels."""
    positive, negative = model.point_embeddings()
    num_foreground = (5 * len(tokens) + 7) // 8
    for mask, kind, rows in (
        (labels == label, positive, slice(0, num_foreground)),
        ((labels != label) & (labels != IGNORE), negative, slice(num_foreground, len(tokens))),
    ):
        vectors = embedding.permute(0, 2, 3, 1)[mask.to(embedding.device)].float()
        count = len(tokens[rows])
        if count and len(vectors):
            tokens[rows] = prototypes(vectors, count, seed=seed) + kind


def _point_tokens(base: Base, num_classes: int, num_tokens: int) -> Tensor:
    """Draw tokens (K, n, C) like clicks at random points of the image; the first five of eight are positive."""
    positive, negative = base.point_embeddings()
    points_xy = torch.rand(num_classes, num_tokens, 2).to(base.device)
    is_positive = torch.arange(num_tokens, device=base.device) < (5 * num_tokens + 7) // 8
    label = torch.where(is_positive[:, None], positive, negative)
    return base.encode_points(points_xy) + label
