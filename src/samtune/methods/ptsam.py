"""PTSAM, decoder prompts: learned tokens stand where a user's prompts would.

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
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from samtune.errors import ConfigError
from samtune.methods.parts.prototypes import prototypes
from samtune.methods.parts.token_sets import TokenSets
from samtune.methods.seam.core import check_free, drawn_on
from samtune.methods.seam.recipes import Recipe

if TYPE_CHECKING:
    from samtune.bases import Sam

Init = Literal["prototype", "points", "sam_scale", "normal", "uniform"]

MAX_MEMBERS = 64
"""The largest ensemble, since each member is a training of its own."""

MEMBER_STEP = 1_000_003
"""Between the seeds of two members, so that runs with neighbouring seeds share none."""


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

    def attach(self, sam: Sam, *, num_classes: int) -> None:
        """See `Method.attach`."""
        attach_tokens(sam, num_classes, self.num_tokens, self.init, members=self.ensemble)

    def start(self, sam: Sam, embedding: Tensor, labels: Tensor, *, seed: int) -> None:
        """Put the tokens at prototypes, if `init` says so; see `StartsFromData.start`."""
        if self.init == "prototype":
            start_tokens(sam, embedding, labels, seed=seed)


def attach_tokens(sam: Sam, num_classes: int, num_tokens: int, init: Init, *, members: int = 1) -> None:
    """Put learned prompt tokens into the mask decoder.

    Raises:
        MethodError: tokens or class heads stand there already.
    """
    decoder = sam.decoder
    check_free("The mask decoder's places", decoder.classes, decoder.prompts)
    decoder.prompts = new_tokens(sam, num_classes, num_tokens, init, members=members)


def new_tokens(sam: Sam, num_classes: int, num_tokens: int, init: Init, *, members: int = 1) -> TokenSets:
    """Prompt tokens with the first values that `init` names, on SAM's device."""
    decoder = sam.decoder
    prompts = TokenSets(num_classes, num_tokens, decoder.channels, members=members)
    place = drawn_on(sam.device)
    prompts = prompts.to(place)
    with torch.no_grad():
        for member in prompts.by_member():  # drawn one after the other: the first starts where a single one would
            if init == "normal":
                member.normal_(0.0, 0.02)
            elif init == "uniform":
                # VPT's sqrt(6 / (3 p^2 + d)) with the fan of a C -> C map: 0.0765 for C = 256 and p = 16.
                bound = (6.0 / (3 * 16**2 + decoder.channels)) ** 0.5
                member.uniform_(-bound, bound)
            else:
                points = _point_tokens(sam, num_classes, num_tokens)
                if init == "sam_scale":
                    noise = torch.randn(points.shape, device=place).to(sam.device)
                    points = noise * points.square().mean().sqrt()
                member.copy_(points)
    return prompts.to(sam.device)


def start_tokens(sam: Sam, embedding: Tensor, labels: Tensor, *, seed: int) -> None:
    """Set each class's tokens to centres of its features (5 of 8) and of all others' (3 of 8).

    SAM's positive or negative point embedding is added to each, as to a user's click; there is no position
    in them. A cell has the label of its middle; a class without any cell keeps its first values. Members of an
    ensemble differ by the seed of the clustering.
    """
    prompts = sam.decoder.prompts
    assert isinstance(prompts, TokenSets)
    grid_hw = embedding.shape[-2:]
    labels = F.interpolate(labels[:, None].float(), size=grid_hw, mode="nearest-exact")[:, 0].to(torch.uint8)
    with torch.no_grad():
        for number, member in enumerate(prompts.by_member()):
            for index, tokens in enumerate(member):
                _start_class(sam, tokens, embedding, labels, index + 1, seed + MEMBER_STEP * number)


def _start_class(sam: Sam, tokens: Tensor, embedding: Tensor, labels: Tensor, label: int, seed: int) -> None:
    """Set one class's tokens (n, C), in place, from features and the cells' labels."""
    positive, negative = _label_embeddings(sam)
    num_foreground = (5 * len(tokens) + 7) // 8
    for mask, kind, place in (
        (labels == label, positive, slice(0, num_foreground)),
        ((labels != label) & (labels != 255), negative, slice(num_foreground, len(tokens))),
    ):
        vectors = embedding.permute(0, 2, 3, 1)[mask.to(embedding.device)].float()
        wanted = len(tokens[place])
        if wanted and len(vectors):
            tokens[place] = prototypes(vectors, wanted, seed=seed) + kind


def _label_embeddings(sam: Sam) -> tuple[Tensor, Tensor]:
    """SAM's embeddings (C,) of a positive and of a negative point."""
    points: Any = sam.prompt_encoder.point_embed
    negative, positive = (points[i].weight[0] for i in (0, 1))
    return positive, negative


def _point_tokens(sam: Sam, num_classes: int, num_tokens: int) -> Tensor:
    """(K, n, C) tokens like clicks at random places of the image, the first five of eight positive."""
    positive, negative = _label_embeddings(sam)
    places = torch.rand(num_classes, num_tokens, 2).to(sam.device)
    is_positive = torch.arange(num_tokens, device=sam.device) < (5 * num_tokens + 7) // 8
    label = torch.where(is_positive[:, None], positive, negative)
    return sam.shared_image_embedding(places) + label  # type: ignore[no-any-return]
