"""Heads of the trained mask decoder: one mask token per class, or mask queries that are matched to classes.

class_tokens    logits_k = h_k(t_k) . fine                                  (`ClassHeads`, the default)
queries         S_c = sum_q softmax(W t_q + b)_c * sigmoid(h(t_q) . fine)   c = 0 (background) .. K
                logits_k = log S_k - log S_0

    t_1 .. t_Q --> two-way transformer --+--> h (shared) --> Q masks ------------.
                                         '--> W, b --> classes, or "no object" --+--> S_0 .. S_K --> logits

In training each class that is in an image, the background included, is matched with a query of its own at the least
total cost (`scipy.optimize.linear_sum_assignment`). The loss is the cross-entropy of the queries' classes, and BCE and
Dice of the matched masks; it replaces the recipe's loss, because a loss of the sum over queries would give all of them
the same gradient.

Cost: Q * C + a hyper-network + (C + 1) (K + 2) instead of K tokens and hyper-networks (10 queries and 3 classes at
SAM's sizes: 143,653 instead of 420,192). Do not use queries for few classes: one token per class starts from SAM's
own mask, works with every loss, and learns in fewer updates, since queries first have to become different. Queries are
meant for tens of classes, where a hyper-network for each is costly; we have not measured them there.
Source: Zhong et al., "Convolution Meets LoRA", ICLR 2024, and its code (AutoGluon f34ebb4f), after Cheng et al.,
"Masked-attention Mask Transformer", CVPR 2022, arXiv 2112.01527. From the code: Q copies of SAM's token 0, one shared
hyper-network, the score S, the background as a class of its own, the costs 1, 5 and 5, the weight 0.1 of "no object",
and the three losses added with the weight 1. (That code's settings ask for larger weights, but the way it adds the
losses leaves them out.) There the largest S gives the class; the logits here are S on a logarithmic scale, so that the
largest is the same, the background's logit is 0 and the probabilities are S / sum S.

Ours: (1) Points are uniform: masks are compared on every cell of the decoder's grid, all of the same weight but for
ignored pixels, with the share of each class as the target. The code compares at 12,544 points, drawn uniformly for the
matching, but for the losses three quarters of them where a mask is least certain, so that outlines weigh more there.
(2) An image's losses are averaged over its own queries before images are averaged, so that gradient accumulation
changes nothing. (3) The copies start with noise of half the token's spread, since exact copies can be parted by the
matching alone, which took about twice as many updates on the same base.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samtune.bases import MaskHeads, current_outputs, masks_of
from samtune.errors import ConfigError, MethodError
from samtune.methods.parts.shares import class_shares
from samtune.methods.parts.trained_decoder import MaskTokens, train_decoder
from samtune.methods.seam.adapt import init_device

if TYPE_CHECKING:
    from samtune.bases import Base, FineImage

Head = Literal["class_tokens", "queries"]

NUM_QUERIES = 10
"""Default number of mask queries."""

COST_CLASS, COST_MASK, COST_DICE = 1.0, 5.0, 5.0
NO_OBJECT_WEIGHT = 0.1
START_NOISE = 0.5
"""Standard deviation of the noise on the initial queries, relative to that of the token's own numbers."""

LEAST_SCORE = 1e-12
"""Lower limit of scores before the logarithm, so that logits are finite."""


def check_head(method: str, head: Head, num_queries: int) -> None:
    """Check the fields of a method that selects a head.

    Raises:
        ConfigError: the number of queries has no effect.
    """
    if head == "class_tokens" and num_queries != NUM_QUERIES:
        raise ConfigError(f"`{method}.num_queries` has no effect with class tokens; set head=queries as well.")


def train_decoder_with(
    base: Base, num_classes: int, head: Head, num_queries: int, mask_tokens: MaskTokens = "all"
) -> None:
    """Train the mask decoder with the head that a method's fields select; see `train_decoder`.

    Args:
        base: frozen.
        num_classes: K.
        head: class tokens, or queries.
        num_queries: Q, for queries.
        mask_tokens: mask tokens in the attention.

    Raises:
        MethodError: the decoder has class heads or prompts already, or there are fewer queries than classes and
            background.
    """
    if head == "class_tokens":
        train_decoder(base, num_classes, mask_tokens=mask_tokens)
        return
    if num_queries <= num_classes:
        raise MethodError(
            f"Expected `num_queries` >= {num_classes + 1}, one for each class and the background, got {num_queries}."
        )
    token, network = base.decoder.mask_token(0), base.decoder.hypernetwork(0)
    train_decoder(base, num_classes, QueryHeads(num_classes, num_queries, token, network), mask_tokens=mask_tokens)


class QueryHeads(MaskHeads):
    """Mask queries with a class each, matched in training with the classes in the image.

    Attributes:
        tokens: (Q, C) parameter, copies of SAM's token 0 with noise of half its spread.
        hypernetwork: (..., C) -> (..., C / 8), shared by all queries.
        classifier: C -> K + 2: the background, the K classes, "no object".
    """

    def __init__(self, num_classes: int, num_queries: int, token: Tensor, hypernetwork: nn.Module) -> None:
        super().__init__()
        device, copies = init_device(token.device), token.detach().expand(num_queries, -1)
        noise = torch.randn(copies.shape, device=device).to(token.device)
        self.tokens = nn.Parameter(copies + START_NOISE * token.detach().std() * noise)
        self.hypernetwork = copy.deepcopy(hypernetwork)
        self.classifier = nn.Linear(len(token), num_classes + 2, device=device)

    def forward(self, tokens: Tensor, fine: FineImage) -> Tensor:
        """Combine the classes and masks of the queries, and record both for the loss; see `MaskHeads.forward`."""
        # For a strided view, torch's choice of kernel depends on `requires_grad`, which changes the last bit.
        tokens = tokens.contiguous()
        classes, masks = self.classifier(tokens), masks_of(self.hypernetwork(tokens), fine)
        outputs = current_outputs()
        if outputs is not None:
            outputs.answers.append((self, (classes, masks)))
        return class_logits(classes, masks)

    def supervised_loss(self, answers: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        """Compute the matching loss of a forward pass.

        Args:
            answers: class logits (B, Q, K + 2) and mask logits (B, Q, h, w) of the queries.
            labels: uint8 (B, H, W) of the same images, H and W multiples of h and w.

        Returns:
            A scalar, the mean over images; an image whose pixels are all ignored adds 0.
        """
        return matching_loss(*answers, labels)


def class_logits(classes: Tensor, masks: Tensor) -> Tensor:
    """Combine the classes and masks of the queries.

    Args:
        classes: (B, Q, K + 2) logits: the background, the classes, "no object".
        masks: (B, Q, H, W) logits.

    Returns:
        (B, K, H, W) log S_k - log S_0; float64 if the masks are, else float32.
    """
    with torch.autocast(classes.device.type, enabled=False):
        dtype = torch.float64 if masks.dtype == torch.float64 else torch.float32
        chances = classes.to(dtype).softmax(-1)[..., :-1]
        scores = torch.einsum("bqc,bqhw->bchw", chances, masks.to(dtype).sigmoid())
        scores = scores.clamp_min(LEAST_SCORE).log()
        return scores[:, 1:] - scores[:, :1]


def matching_loss(classes: Tensor, masks: Tensor, labels: Tensor) -> Tensor:
    """Match queries with the classes of each image, and compute the loss with equal weight on all cells.

    Args:
        classes: (B, Q, K + 2) logits: the background, the classes, "no object".
        masks: (B, Q, h, w) logits.
        labels: uint8 (B, H, W): 0..K, 255 is ignored.

    Returns:
        A scalar, the mean over images of the cross-entropy of the queries plus BCE and Dice of the matched masks.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import

    classes = classes.double() if classes.dtype == torch.float64 else classes.float()
    shares, counted = class_shares(labels, masks.shape[-2:], classes.shape[-1] - 1)
    with torch.autocast(classes.device.type, enabled=False):
        flat = masks.flatten(2).to(classes.dtype)
        targets, weight = shares.flatten(2).to(classes.dtype), counted.flatten(1).to(classes.dtype)
        with torch.no_grad():
            costs = [costs_of(*each).cpu() for each in zip(classes, flat, targets, weight, strict=True)]
            present = (targets.sum(-1) > 0).cpu()
        losses = []
        for image, (cost, there) in enumerate(zip(costs, present, strict=True)):
            kinds = there.nonzero()[:, 0]
            queries = torch.from_numpy(linear_sum_assignment(cost[:, kinds].T.double().numpy())[1])
            kinds, queries = kinds.to(labels.device), queries.to(labels.device)
            losses.append(_image_loss(classes[image], flat[image], targets[image], weight[image], queries, kinds))
        return torch.stack(losses).mean()


def costs_of(classes: Tensor, masks: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Return the cost of matching each query with each kind, for one image.

    Args:
        classes: (Q, K + 2) logits.
        masks: (Q, P) logits of P cells.
        targets: (K + 1, P) areas.
        weight: (P,) area that is not ignored.

    Returns:
        (Q, K + 1): weighted sum of BCE, Dice and minus the probability of the kind.
    """
    chance = classes.softmax(-1)[:, :-1]
    area = weight.sum().clamp_min(1e-9)
    bce = (F.softplus(-masks) @ targets.T + F.softplus(masks) @ (weight - targets).T) / area
    filled = masks.sigmoid() * weight
    overlap = filled @ targets.T
    dice = 1 - (2 * overlap + 1) / (filled.sum(1)[:, None] + targets.sum(1) + 1)
    return COST_MASK * bce + COST_DICE * dice - COST_CLASS * chance


def _image_loss(
    classes: Tensor, masks: Tensor, targets: Tensor, weight: Tensor, queries: Tensor, kinds: Tensor
) -> Tensor:
    """Return the loss of one image, given the query of each kind."""
    if len(kinds) == 0:
        return 0 * (classes.sum() + masks.sum())  # 0, but in the graph, so that every parameter has a gradient
    no_object = classes.shape[-1] - 1
    target_kinds = torch.full((len(classes),), no_object, device=classes.device).index_put((queries,), kinds)
    importance = torch.ones(classes.shape[-1], device=classes.device, dtype=classes.dtype)
    importance[no_object] = NO_OBJECT_WEIGHT
    total = F.cross_entropy(classes, target_kinds, weight=importance)
    matched, target = masks[queries], targets[kinds]
    bce = (F.softplus(-matched) * target + F.softplus(matched) * (weight - target)).sum(1) / weight.sum()
    filled = matched.sigmoid() * weight
    dice = 1 - (2 * (filled * target).sum(1) + 1) / (filled.sum(1) + target.sum(1) + 1)
    return total + bce.mean() + dice.mean()
