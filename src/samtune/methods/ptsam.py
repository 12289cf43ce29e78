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
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from samtune.errors import ConfigError
from samtune.methods.core import Recipe, check_free
from samtune.methods.prototypes import prototypes
from samtune.sam import DecoderPrompts

if TYPE_CHECKING:
    from samtune.sam import Sam

Init = Literal["prototype", "points", "normal", "uniform"]


@dataclass(frozen=True)
class PTSAM:
    """Learned tokens in the frozen mask decoder.

    Attributes:
        num_tokens: n, tokens per class.
        init: first values of the tokens. "points": SAM's own positive and negative point embeddings with the
            positional encoding of random places. "prototype": the same until the training images are seen,
            then centres of foreground and background features plus SAM's point embeddings. "normal": N(0,
            0.02). "uniform": VPT's rule, +-sqrt(6 / (3 * 16^2 + C)).
    """

    num_tokens: int = 8
    init: Init = "prototype"

    name: ClassVar[str] = "ptsam"
    source: ClassVar[str] = "Piater et al., Prompt-Tuning SAM, CVPRW 2025, arXiv 2504.16739"
    starts_as_identity: ClassVar[bool] = False
    recipe: ClassVar[Recipe] = Recipe(learning_rate=3e-2, updates=400, batch_size=4)

    def __post_init__(self) -> None:
        if self.num_tokens < 1:
            raise ConfigError(f"ptsam.num_tokens must be 1 or more, but {self.num_tokens} came.")

    def attach(self, sam: Sam, *, num_classes: int) -> None:
        """See `Method.attach`."""
        attach_tokens(sam, num_classes, self.num_tokens, self.init)

    def start(self, sam: Sam, embedding: Tensor, labels: Tensor, *, seed: int) -> None:
        """Put the tokens at prototypes, if `init` says so; see `StartsFromData.start`."""
        if self.init == "prototype":
            start_tokens(sam, embedding, labels, seed=seed)


def attach_tokens(sam: Sam, num_classes: int, num_tokens: int, init: Init) -> None:
    """Put learned prompt tokens into the mask decoder.

    Raises:
        MethodError: tokens or class heads stand there already.
    """
    decoder = sam.decoder
    check_free("The mask decoder's places", decoder.classes, decoder.prompts)
    prompts = DecoderPrompts(num_classes, num_tokens, decoder.channels).to(sam.device)
    with torch.no_grad():
        if init == "normal":
            prompts.tokens.normal_(0.0, 0.02)
        elif init == "uniform":
            # VPT's sqrt(6 / (3 p^2 + d)) with the fan of a C -> C map: 0.0765 for C = 256 and p = 16.
            bound = (6.0 / (3 * 16**2 + decoder.channels)) ** 0.5
            prompts.tokens.uniform_(-bound, bound)
        else:
            prompts.tokens.copy_(_point_tokens(sam, num_classes, num_tokens))
    decoder.prompts = prompts


def start_tokens(sam: Sam, embedding: Tensor, labels: Tensor, *, seed: int) -> None:
    """Set each class's tokens to centres of its features (5 of 8) and of all others' (3 of 8).

    SAM's positive or negative point embedding is added to each, as to a user's click; there is no position
    in them. A cell has the label of its middle; a class without any cell keeps its first values.
    """
    prompts = sam.decoder.prompts
    assert prompts is not None
    grid_hw = embedding.shape[-2:]
    labels = F.interpolate(labels[:, None].float(), size=grid_hw, mode="nearest-exact")[:, 0].to(torch.uint8)
    positive, negative = _label_embeddings(sam)
    num_tokens = prompts.tokens.shape[1]
    num_foreground = (5 * num_tokens + 7) // 8
    with torch.no_grad():
        for index, tokens in enumerate(prompts.tokens):
            for mask, label, place in (
                (labels == index + 1, positive, slice(0, num_foreground)),
                ((labels != index + 1) & (labels != 255), negative, slice(num_foreground, num_tokens)),
            ):
                vectors = embedding.permute(0, 2, 3, 1)[mask.to(embedding.device)].float()
                wanted = len(tokens[place])
                if wanted and len(vectors):
                    tokens[place] = prototypes(vectors, wanted, seed=seed) + label


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
