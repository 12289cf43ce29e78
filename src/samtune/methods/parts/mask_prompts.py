"""The logistic probe as a mask prompt: what the frozen features say, told to the mask decoder cell by cell.

    d = clamp(w . f + b, -8, 8)      the probe's logits on the embedding's grid, one map per class
    embedding of class k = f + E(d_k resized to 4H x 4W)      E: SAM's frozen mask encoder, for the no-mask embedding

The probe is fitted once, on the training images' frozen features, and then stays: C + 1 numbers per class, not trained.

Scale. The mask prompts that SAM knows are logits of masks: 0 is the outline, and larger is surer; Meta's models were
trained on their own masks of the step before, `nano` on a ridge regression's answers with a gain of 6 to 16, cut at
+-8. The probe's logits are of that kind (log-odds, moved so that 0 is its decision) and of that size (a few units),
so they are taken as they are; the cut keeps cells of which a regression is too sure within what both were trained on.

Folds. On its own training images the probe is better than it will be on any other, the more so the fewer they are, and
tokens that learn beside such maps learn to copy them. So in training each image's map comes from a probe that was
fitted without it and its fold (its augmented views too); the probe of all images serves everywhere else. The price is
one more fit per fold, a second or so each; nothing of it is kept in the adapter.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samtune.methods.probe import fit_probe
from samtune.progress import say
from samtune.types import Features

LARGEST = 8.0
"""Logits of a mask prompt are cut here, on both sides."""


class ProbeMasks(nn.Module):
    """Features -> logits (B, K, H, W) of a fitted probe, cut at +-8; all zero before `fit`.

    Attributes:
        weight: (K, C) buffer.
        bias: (K,) buffer; at 0 the probe decides.
    """

    weight: Tensor
    bias: Tensor
    fold_weight: Tensor | None
    fold_bias: Tensor | None

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(num_classes, channels))
        self.register_buffer("bias", torch.zeros(num_classes))
        # Of the training images alone, so not part of what is saved.
        self.register_buffer("fold_weight", None, persistent=False)
        self.register_buffer("fold_bias", None, persistent=False)

    def fit(self, embedding: Tensor, labels: Tensor, *, folds: int) -> None:
        """Fit the probe, and one without each fold.

        Args:
            embedding: (N, C, H, W) frozen features of the training images.
            labels: (N, h, w) uint8, as for `fit_probe`.
            folds: image i is in fold i mod `folds`; N where there are fewer images, 1 for a single probe that has seen
                them all.
        """
        labels = labels.to(embedding.device)
        num_classes, num_images = len(self.weight), len(embedding)
        probe = fit_probe(embedding, labels, num_classes)
        self.weight.copy_(probe.weight)
        self.bias.copy_(probe.bias)
        if folds > 1 and num_images == 1:
            say("One training image leaves none to fit another probe to, so its mask prompt flatters in training.")
        folds = min(folds, num_images)
        if folds < 2:
            return
        fold_of = torch.arange(num_images, device=embedding.device) % folds
        parts = [fit_probe(embedding[fold_of != k], labels[fold_of != k], num_classes) for k in range(folds)]
        device = self.weight.device
        self.fold_weight = torch.stack([part.weight for part in parts]).to(device)
        self.fold_bias = torch.stack([part.bias for part in parts]).to(device)

    def forward(self, features: Features) -> Tensor:
        """See `Sam.mask_prompt`; with `features.items` each row is read by the probe that has not seen it."""
        embedding = features.embedding
        if features.items is None or self.fold_weight is None or self.fold_bias is None:
            logits = F.conv2d(embedding, self.weight[..., None, None], self.bias)
        else:
            fold = features.items % len(self.fold_weight)
            bias = self.fold_bias[fold][..., None, None]
            logits = torch.einsum("bkc,bchw->bkhw", self.fold_weight[fold], embedding) + bias
        return logits.clamp(-LARGEST, LARGEST)
