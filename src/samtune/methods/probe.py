"""The floor: a logistic regression on the frozen features, one for each class.

    logit_k(cell) = w_k . (f(cell) - mean) / std + b_k - t_k

In: the neck's embedding (B, C, H, W). Out: logits (B, K, H, W) on the same grid. Fitted in seconds on the
training images and kept in the run, so that evaluation can show what the features alone give. It is convex:
no seed, no schedule, no luck. For one class t moves the decision to the probability that gives the best mean
IoU on the training images (thin objects would otherwise drown in the background); for more, t = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from samtune.types import IGNORE, Features


@dataclass(frozen=True)
class Probe:
    """A fitted logistic regression.

    Attributes:
        weight: (K, C), standardisation folded in.
        bias: (K,), the threshold folded in: a logit of 0 is the decision.
    """

    weight: Tensor
    bias: Tensor

    def logits(self, features: Features) -> Tensor:
        """(B, K, H, W) on the embedding's grid."""
        weight = self.weight.to(features.embedding)
        bias = self.bias.to(features.embedding)
        return F.conv2d(features.embedding, weight[..., None, None], bias)

    def save(self, file: Path) -> None:
        """Write the tensors as safetensors."""
        save_file({"weight": self.weight.contiguous(), "bias": self.bias.contiguous()}, file)

    @staticmethod
    def load(file: Path) -> Probe:
        """Read what `save` wrote."""
        tensors = load_file(file)
        return Probe(tensors["weight"], tensors["bias"])


def fit_probe(embedding: Tensor, labels: Tensor, num_classes: int, *, strength: float = 1e-3) -> Probe:
    """Fit the regression by L-BFGS over all cells.

    Args:
        embedding: (N, C, H, W) frozen features of the training images.
        labels: (N, h, w) uint8 label maps, h and w multiples of H and W; 255 counts nowhere. A cell's target
            is the share of each class among its counted pixels.
        num_classes: K.
        strength: weight of the squared norm of the standardised weights.

    Returns:
        The probe; with no counted pixel at all it says background everywhere.
    """
    share, counted = cell_shares(labels, embedding.shape[-2:], num_classes)
    cells = embedding.permute(0, 2, 3, 1).float()
    inside = counted > 0
    rows, target = cells[inside], share[inside]
    if not len(rows):
        return Probe(torch.zeros(num_classes, embedding.shape[1]), torch.full((num_classes,), -1.0))
    mean, std = rows.mean(0), rows.std(0, correction=0).clamp_min(1e-6)
    weight, bias = _regress((rows - mean) / std, target, strength)
    weight = weight / std
    bias = bias - weight @ mean
    probe = Probe(weight.cpu(), bias.cpu())
    if num_classes == 1:
        shift = _best_threshold(probe, embedding, share[..., 0], counted)
        probe = Probe(probe.weight, probe.bias - shift)
    return probe


def cell_shares(labels: Tensor, grid_hw: torch.Size | tuple[int, int], num_classes: int) -> tuple[Tensor, Tensor]:
    """Share of each class among the counted pixels of each cell.

    Returns:
        Shares (N, H, W, K) float in 0..1 (0 where nothing counts), and the cells' counted share (N, H, W).
    """
    rows, columns = grid_hw
    counted = F.adaptive_avg_pool2d((labels != IGNORE).float(), (rows, columns))
    classes = [F.adaptive_avg_pool2d((labels == k + 1).float(), (rows, columns)) for k in range(num_classes)]
    return torch.stack(classes, dim=-1) / counted.clamp_min(1e-9)[..., None], counted


def _regress(rows: Tensor, target: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Minimise mean cross-entropy (softmax of background and K classes, soft targets) + L2."""
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
    """The logit of the best mean IoU per training image, cells weighed by their counted area."""
    logits = probe.logits(Features(embedding.float().cpu()))[:, 0]
    share, counted = share.cpu(), counted.cpu()
    best, best_iou = 0.0, -1.0
    for probability in torch.arange(0.05, 0.96, 0.05).tolist():
        threshold = float(torch.tensor(probability).logit())
        chosen = (logits > threshold) * counted
        truth = share * counted
        overlap = (chosen * share).sum((1, 2))
        union = chosen.sum((1, 2)) + truth.sum((1, 2)) - overlap
        iou = torch.where(union > 0, overlap / union.clamp_min(1e-9), 1.0).mean().item()
        if iou > best_iou:
            best, best_iou = threshold, iou
    return best
