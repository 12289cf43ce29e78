"""PTSAM, decoder prompts: learned tokens take the place of a user's prompts.

    tokens into the mask decoder = [IoU | 4 mask tokens | p_1 .. p_n]
    p in R^(K x n x C), the only trained numbers

    image --> frozen encoder --> embedding + no-mask embedding --.
                                                                 +--> frozen mask decoder --> logits
                  learned tokens p (n = 8, C = 256) -------------'           (mask token 0)

Cost: K * n * C = 2,048 parameters for one class. The encoder's features never change, so they are computed
once. Not to be used when the frozen features cannot tell the object at all (then train something in the
encoder: `ptsam_encoder`, `lora`), or when thousands of masks are at hand (then more parameters pay).
Source: Piater, Barz, Freytag, "Prompt-Tuning SAM", CVPR Workshops 2025, arXiv 2504.16739. No public code
is known. From the paper: what is frozen, n = 8, that the prompt encoder is left out and the "no-prompt"
embedding kept. Ours, because the paper's text does not say or was not at hand: the first values, the
optimiser and schedule, one token set per class with the background as the absence of all, and mask token 0
as the output.

Beyond the paper, off by default (`docs/methods.md` says what each is for), but for the averaging of predictions over
an image's eight flips and quarter turns, which the recipe asks for where at most 16 images were trained on:

    ensemble   M members, each with its own start and loss, their probabilities averaged (`parts/token_sets.py`);
               M times the trained numbers (10,240 for five, an adapter file of 41 KB) and M times the decoder's work
               in each step and prediction
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from samtune.errors import ConfigError
from samtune.methods.parts.prompt_tokens import Init, attach_tokens, start_tokens
from samtune.methods.seam.recipes import Recipe

if TYPE_CHECKING:
    from samtune.bases import Base


MAX_MEMBERS = 64
"""The largest ensemble, since each member is a training of its own."""


@dataclass(frozen=True)
class PTSAM:
    """Learned tokens in the frozen mask decoder.

    Attributes:
        num_tokens: n, tokens per class.
        init: first values of the tokens. "points": SAM's own positive and negative point embeddings with the
            positional encoding of random places. "prototype": the same until the training images are seen,
            then centres of foreground and background features plus SAM's point embeddings. "sam_scale":
            normal with the spread that the numbers of "points" have, in no direction that SAM knows. The
            paper's own are not known to us; "uniform", VPT's rule +-sqrt(6 / (3 * 16^2 + C)), is the likeliest,
            since it builds on VPT, and "normal", N(0, 0.02), the other usual one. Both are a tenth of SAM's scale
            or less.
        ensemble: M, token sets per class that are trained side by side and averaged.
    """

    num_tokens: int = 8
    init: Init = "prototype"
    ensemble: int = 1

    name: ClassVar[str] = "ptsam"
    source: ClassVar[str] = "Piater et al., Prompt-Tuning SAM, CVPRW 2025, arXiv 2504.16739"
    starts_as_identity: ClassVar[bool] = False
    recipe: ClassVar[Recipe] = Recipe(learning_rate=3e-2, updates=400, batch_size=4, few_tta="d4")
    removed: ClassVar[dict[str, Any]] = {"mask_token": 0, "dense": "none", "dense_folds": 4}

    def __post_init__(self) -> None:
        if self.num_tokens < 1:
            raise ConfigError(f"Expected `ptsam.num_tokens` >= 1, got {self.num_tokens}.")
        if not 1 <= self.ensemble <= MAX_MEMBERS:
            raise ConfigError(f"Expected 1 <= `ptsam.ensemble` <= {MAX_MEMBERS}, got {self.ensemble}.")

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`."""
        attach_tokens(base, num_classes, self.num_tokens, self.init, members=self.ensemble)

    def start(self, model: Base, embedding: Tensor, labels: Tensor, *, seed: int) -> None:
        """Put the tokens at prototypes, if `init` says so; see `StartsFromData.start`."""
        if self.init == "prototype":
            start_tokens(model, embedding, labels, seed=seed)
