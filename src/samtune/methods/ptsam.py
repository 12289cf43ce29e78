"""PTSAM, decoder prompts: learned tokens replace a user's prompts.

    tokens into the mask decoder = [IoU | 4 mask tokens | p_1 .. p_n]
    p in R^(K x n x C), the only trained numbers

    image --> frozen encoder --> embedding + no-mask embedding --.
                                                                 +--> frozen mask decoder --> logits
                  learned tokens p (n = 8, C = 256) -------------'           (mask token 0)

Cost: K * n * C = 2,048 parameters for one class. The encoder's features never change, so they are computed once. Do not
use it if the frozen features do not distinguish the object at all (train something in the encoder: `ptsam_encoder`,
`lora`), or with thousands of masks (from which more parameters learn more).
Source: Piater, Barz, Freytag, "Prompt-Tuning SAM", CVPR Workshops 2025, arXiv 2504.16739. No public code is known. From
the paper: the frozen parts, n = 8, no prompt encoder, and the "no-prompt" embedding. Ours, because the paper's text
does not say or was not available: the initial values, the optimiser and schedule, one token set per class with the
background as the absence of all, and mask token 0 as the output.

Beyond the paper: with at most 16 training images, the recipe averages predictions over an image's eight flips and
quarter turns. Off by default:

    ensemble   M members, each with its own initial values and loss, their probabilities averaged
               (`parts/token_sets.py`); M times the trained numbers (10,240 for five, an adapter file of 41 KB) and M
               times the decoder's work in each step and prediction
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from samtune.methods.parts.prompt_tokens import Init, attach_tokens, start_tokens
from samtune.methods.seam.fields import check_ranges
from samtune.methods.seam.recipes import Recipe
from samtune.values import Ranges

if TYPE_CHECKING:
    from samtune.bases import Base


MAX_MEMBERS = 64
"""Largest ensemble; each member costs as much as one specialist."""


@dataclass(frozen=True)
class PTSAM:
    """Learned tokens in the frozen mask decoder.

    Attributes:
        num_tokens: number n of prompt tokens per class.
        init: initial values of the tokens: centres of the training images' features (prototype), or noise. "points":
            SAM's own positive and negative point embeddings with the positional encoding of random points. "prototype":
            centres of the foreground and background features of the training images plus SAM's point embeddings (like
            "points" until `start`). "sam_scale": normal with the standard deviation of "points". The paper does not
            give its own; "uniform", VPT's rule +-sqrt(6 / (3 * 16^2 + C)), is the likeliest, since the paper builds on
            VPT, and "normal", N(0, 0.02), another usual one. Both have a tenth of SAM's scale or less.
        ensemble: number M of token sets per class that are trained side by side and averaged.
    """

    num_tokens: int = 8
    init: Init = "prototype"
    ensemble: int = 1

    name: ClassVar[str] = "ptsam"
    source: ClassVar[str] = "Piater et al., Prompt-Tuning SAM, CVPRW 2025, arXiv 2504.16739"
    starts_as_identity: ClassVar[bool] = False
    recipe: ClassVar[Recipe] = Recipe(learning_rate=3e-2, updates=400, batch_size=4, few_tta="d4")
    ranges: ClassVar[Ranges] = {"num_tokens": (1, math.inf), "ensemble": (1, MAX_MEMBERS)}
    removed: ClassVar[dict[str, Any]] = {"mask_token": 0, "dense": "none", "dense_folds": 4}

    def __post_init__(self) -> None:
        check_ranges(self)

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`."""
        attach_tokens(base, num_classes, self.num_tokens, self.init, members=self.ensemble)

    def start(self, model: Base, embedding: Tensor, labels: Tensor, *, seed: int) -> None:
        """Set the tokens to prototypes with `init="prototype"`; see `StartsFromData.start`."""
        if self.init == "prototype":
            start_tokens(model, embedding, labels, seed=seed)
