"""Linear probe: a logistic regression on the frozen features.

    logit_k(cell) = w_k . (f(cell) - mean) / std + b_k - t_k

    image --> frozen encoder --> f (B, C, H, W) --> one linear map, the same for every cell --> logits (B, K, H, W)

Cost: K (C + 1) numbers, 257 for one class at SAM's 256 channels; fitted in seconds on the training images. The problem
is convex, so there is no seed and no schedule. For one class t is the logit of the threshold with the best mean IoU on
the training images (with 0.5, thin objects would be predicted as background); for more, t = 0.
Every run saves one, so that evaluation can show what the features alone give; as the method `probe` it is the
specialist itself. Do not use it if outlines matter: its cells are 16 pixels wide.
Source: linear probing as in Alain and Bengio, "Understanding intermediate layers using linear classifier probes",
arXiv 1610.01644; the threshold, the soft targets of cells on an outline and the L2 term are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from samtune.bases import aligned
from samtune.errors import WeightsError
from samtune.files import whole
from samtune.methods.parts.shares import cell_shares
from samtune.methods.seam.fields import check_ranges
from samtune.methods.seam.recipes import Recipe
from samtune.tensor_files import UNREADABLE
from samtune.types import Features
from samtune.values import Ranges

if TYPE_CHECKING:
    from samtune.bases import Base

STRENGTH = 1e-3
"""Default weight of the L2 term, the squared norm of the standardised weights."""


@dataclass(frozen=True)
class LinearProbe:
    """The regression as a method: a linear map that replaces the mask decoder, fitted before the first update.

    Its recipe has no updates: the fit is the specialist. With updates, training continues from the fit.

    Attributes:
        strength: weight of the L2 term in the fit.
    """

    strength: float = STRENGTH

    name: ClassVar[str] = "probe"
    source: ClassVar[str] = "logistic regression on the frozen features; Alain, Bengio, arXiv 1610.01644"
    starts_as_identity: ClassVar[bool] = False
    ranges: ClassVar[Ranges] = {"strength": (0, math.inf)}
    recipe: ClassVar[Recipe] = Recipe(learning_rate=1e-4, updates=0, batch_size=4)

    def __post_init__(self) -> None:
        check_ranges(self)

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`."""
        base.sites.put("head", LinearHead(num_classes, base.decoder.channels))

    def start(self, model: Base, embedding: Tensor, labels: Tensor, *, seed: int) -> None:
        """Fit the map; `seed` is not used. See `StartsFromData.start`."""
        head = model.sites.at("head")
        assert isinstance(head, LinearHead)
        probe = fit_probe(embedding, labels.to(embedding.device), len(head.weight), strength=self.strength)
        with torch.no_grad():
            head.weight.copy_(probe.weight)
            head.bias.copy_(probe.bias)


class LinearHead(nn.Module):
    """A head of one linear map for all cells, zero at first.

    Args:
        num_classes: K.
        channels: C.
    """

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_classes, channels))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, features: Features, base: Base) -> Tensor:
        """Return logits (B, K, H, W) on the embedding's grid; see `bases.Head`."""
        return F.conv2d(features.embedding, self.weight[..., None, None], self.bias)


@dataclass(frozen=True)
class Probe:
    """A fitted logistic regression.

    Attributes:
        weight: (K, C), including the standardisation.
        bias: (K,), including the threshold, so that a class is predicted for logits above 0.
    """

    weight: Tensor
    bias: Tensor

    def logits(self, features: Features) -> Tensor:
        """Return logits (B, K, H, W) on the embedding's grid."""
        weight = self.weight.to(features.embedding)
        bias = self.bias.to(features.embedding)
        return F.conv2d(features.embedding, weight[..., None, None], bias)

    def save(self, file: Path) -> None:
        """Write the tensors as safetensors."""
        with whole(file) as partial:
            save_file({"weight": self.weight.contiguous(), "bias": self.bias.contiguous()}, partial)

    @staticmethod
    def load(file: Path) -> Probe:
        """Read what `save` wrote.

        Raises:
            WeightsError: the file is missing or damaged.
        """
        try:
            tensors = load_file(file)
            weight, bias = aligned(tensors["weight"]), aligned(tensors["bias"])
            finite = all(bool(tensor.isfinite().all()) for tensor in (weight, bias))
            if weight.ndim != 2 or bias.shape != weight.shape[:1] or not finite:
                raise ValueError("its tensors are not those of a probe")
        except UNREADABLE as error:
            raise WeightsError(f"The probe {file} is damaged ({error}); restore the file, or train again.") from error
        return Probe(weight, bias)


def fit_probe(embedding: Tensor, labels: Tensor, num_classes: int, *, strength: float = STRENGTH) -> Probe:
    """Fit the regression by L-BFGS over all cells.

    Args:
        embedding: (N, C, H, W) frozen features of the training images.
        labels: (N, h, w) uint8 label maps, h and w multiples of H and W; 255 is ignored. A cell's target is the share
            of each class in its pixels that are not ignored.
        num_classes: K.
        strength: weight of the L2 term.

    Returns:
        The probe, on the CPU; if all pixels are ignored, it predicts background everywhere.
    """
    share, counted = cell_shares(labels, embedding.shape[-2:], num_classes)
    cells = embedding.permute(0, 2, 3, 1).float()
    inside = counted > 0
    rows, target = cells[inside], share[inside]
    if not len(rows):
        return Probe(torch.zeros(num_classes, embedding.shape[1]), torch.full((num_classes,), -1.0))
    mean, std = rows.mean(0), rows.std(0, correction=0).clamp_min(1e-6)
    weight, bias = regress((rows - mean) / std, target, strength)
    weight = weight / std
    bias = bias - weight @ mean
    probe = Probe(weight.cpu(), bias.cpu())
    if num_classes == 1:
        shift = _best_threshold(probe, embedding, share[..., 0], counted)
        probe = Probe(probe.weight, probe.bias - shift)
    return probe


def regress(rows: Tensor, target: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Minimise the mean cross-entropy of the softmax over background and K classes, plus the L2 term.

    Args:
        rows: (M, C) standardised features.
        target: (M, K) shares of the classes, in 0..1.
        strength: weight of the L2 term.

    Returns:
        Weight (K, C) and bias (K,).
    """
    num_classes = target.shape[1]
    weight = torch.zeros(num_classes, rows.shape[1], device=rows.device, requires_grad=True)
    bias = torch.zeros(num_classes, device=rows.device, requires_grad=True)
    rest = 1 - target.sum(1, keepdim=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        logits = F.pad(F.linear(rows, weight, bias), (1, 0))
        loss = -(torch.cat([rest, target], 1) * logits.log_softmax(1)).sum(1).mean()
        loss = loss + strength * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def _best_threshold(probe: Probe, embedding: Tensor, share: Tensor, counted: Tensor) -> float:
    """Return the logit of the threshold with the best mean IoU per image, cells weighted by their area not ignored."""
    logits = probe.logits(Features(embedding.float().cpu()))[:, 0]
    share, counted = share.cpu(), counted.cpu()
    best, best_iou = 0.0, -1.0
    for probability in torch.arange(0.05, 0.96, 0.05).tolist():
        threshold = float(torch.tensor(probability).logit())
        predicted = (logits > threshold) * counted
        truth = share * counted
        overlap = (predicted * share).sum((1, 2))
        union = predicted.sum((1, 2)) + truth.sum((1, 2)) - overlap
        iou = torch.where(union > 0, overlap / union.clamp_min(1e-9), 1.0).mean().item()
        if iou > best_iou:
            best, best_iou = threshold, iou
    return best
