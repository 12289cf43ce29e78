"""The training objective: prompts of a batch, their masks, the losses and the figures that are logged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import model as nano
from model import CHANNELS, PATCH, PIXEL_MEAN, PIXEL_STD
from prompts import cell_shares, halved

if TYPE_CHECKING:
    from numpy.random import Generator

    from feed import Batch

Array = Any
NUM_CATEGORIES = 4


class Side(nn.Module):
    """What only training needs: the temperature of the dense loss and a linear reader of low-level features."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(10.0))
        self.low = nn.Linear(CHANNELS, 6)


def pixels_of(batch: Batch, device: torch.device) -> Tensor:
    """Normalised pixels (B, 3, S, S), zero on padding."""
    pixels = torch.from_numpy(batch.pixels).to(device).permute(0, 3, 1, 2).float()
    pixels = (pixels - PIXEL_MEAN.to(device)) / PIXEL_STD.to(device)
    return pixels * torch.from_numpy(batch.inside).to(device)[:, None]


def shares(masks: Array, device: torch.device) -> Tensor:
    """Bool maps (..., S, S) -> the share of each pixel at half the resolution, the decoder's: (..., S / 2, S / 2)."""
    return torch.from_numpy(halved(masks)).to(device).float() / 4


def mask_loss(logits: Tensor, target: Tensor, balance: float, border: float) -> Tensor:
    """Half BCE (heavier near outlines), some class-balanced BCE, and Dice, per mask: (..., h, w) -> (...).

    Args:
        logits: of the masks.
        target: shares in 0..1, of the same shape.
        balance: weight of the class-balanced BCE.
        border: how much more a pixel counts whose 7 x 7 surroundings differ from it.
    """
    each = F.softplus(logits) - logits * target
    probability = logits.sigmoid()
    area, rest = target.sum((-1, -2)), (1 - target).sum((-1, -2))
    inside = (each * target).sum((-1, -2))
    outside = each.sum((-1, -2)) - inside
    overlap = (probability * target).sum((-1, -2))
    dice = 1 - (2 * overlap + 1) / (probability.sum((-1, -2)) + area + 1)
    balanced = inside / area.clamp_min(1) + outside / rest.clamp_min(1)
    if border:
        around = F.avg_pool2d(target.flatten(0, -3)[:, None], 7, 1, 3, count_include_pad=False).view(target.shape)
        heavy = 1 + border * (around - target).abs()
        plain = (each * heavy).sum((-1, -2)) / heavy.sum((-1, -2))
        return plain * (1 + border / 10) * 0.5 + balance * balanced + dice
    return 0.5 * each.mean((-1, -2)) + balance * balanced + dice


@torch.no_grad()
def iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of the masks at threshold 0, per mask; 1 where both are empty."""
    guess, truth = logits > 0, target > 0.5
    union = (guess | truth).sum((-1, -2))
    return torch.where(union > 0, (guess & truth).sum((-1, -2)) / union.clamp_min(1), 1.0)


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    return (values * valid).sum() / valid.sum().clamp_min(1)


def _dense_losses(embedding: Tensor, pixels: Tensor, batch: Batch, side_heads: Side) -> tuple[Tensor, Tensor]:
    """Cell-wise category loss against prototypes of the scene's other images, and the low-level reading."""
    count, cells = embedding.shape[:2]
    parts = np.stack([cell_shares(batch.categories == k, PATCH) for k in range(1, NUM_CATEGORIES + 1)])
    real = cell_shares(batch.inside, PATCH)
    both = np.concatenate([(real - parts.sum(0))[None], parts]).reshape(NUM_CATEGORIES + 1, count, cells)
    share = torch.from_numpy(both).to(embedding.device).permute(1, 2, 0)  # (B, N, 1 + categories)
    unit = F.normalize(embedding, dim=-1)
    sums = torch.einsum("bnc,bnk->bkc", unit, share**2)
    weight = (share**2).sum(1)
    grouped = sums.view(-1, batch.group, *sums.shape[1:])
    other = (grouped.sum(1, keepdim=True) - grouped).flatten(0, 1)
    mass = weight.view(-1, batch.group, weight.shape[1])
    have = (mass.sum(1, keepdim=True) - mass).flatten(0, 1) > 0.3
    logits = side_heads.temperature * torch.einsum("bnc,bkc->bnk", unit, F.normalize(other, dim=-1))
    logits = logits.masked_fill(~have[:, None], -1e4)
    truth = share * have[:, None]
    scale = truth.sum(1).clamp_min(4).rsqrt()
    weighted = truth * scale[:, None]
    dense = -(weighted * logits.log_softmax(-1)).sum() / weighted.sum().clamp_min(1)
    mean = F.avg_pool2d(pixels, PATCH)
    spread = (F.avg_pool2d(pixels**2, PATCH) - mean**2).clamp_min(1e-4).sqrt()
    low = F.mse_loss(side_heads.low(embedding), torch.cat([mean, spread], 1).flatten(2).transpose(1, 2))
    return dense, low


@torch.no_grad()
def guides(rng: Generator, embedding: Tensor, batch: Batch, categories: Array) -> Tensor:
    """Mask prompts (B, 1, 4H, 4W): a ridge regression of a category on the scene's other images, read on each."""
    side, count, group = batch.categories.shape[-1] // PATCH, len(embedding), batch.group
    device = embedding.device
    features = F.pad(embedding, (0, 1), value=1.0)
    real = torch.from_numpy(cell_shares(batch.inside, PATCH)).to(device).view(count, -1)
    scores = torch.zeros(count, side * side, device=device)
    for i, category in enumerate(categories):
        others = [j for j in range(i - i % group, i - i % group + group) if j != i]
        share = torch.from_numpy(cell_shares(batch.categories[others] == category, PATCH)).to(device)
        x = features[others].flatten(0, 1)
        weighted = x * real[others].view(-1, 1)
        ridge = 10 ** rng.uniform(0, 2) * torch.eye(x.shape[-1], device=device)
        threshold, gain = rng.uniform(0.3, 0.5), rng.uniform(6, 16)
        with torch.autocast(device.type, enabled=False):  # a gram matrix in bfloat16 is of no use
            solution = torch.linalg.solve(weighted.T @ x + ridge, weighted.T @ share)
            scores[i] = gain * (features[i] @ solution - threshold) + rng.normal(0, 0.5)
    return F.interpolate(scores.clamp(-8, 8).view(count, 1, side, side), scale_factor=4, mode="bilinear")


@dataclass
class Weights:
    """How much each part of the objective counts, and how often the costlier ones are computed."""

    box: float = 2.0
    point: float = 0.7
    category: float = 1.0
    cross: float = 2.0
    guided: float = 1.0
    click: float = 0.8
    balance: float = 0.1
    border: float = 4.0
    share_guided: float = 0.45
    share_clicks: float = 0.4


class Encoded:
    """A batch after the image encoder, and what its prompts are decoded with."""

    def __init__(self, sam: Any, batch: Batch) -> None:
        device = sam.mask_decoder.iou_token.weight.device
        self.sam, self.batch, self.device = sam, batch, device
        self.pixels = pixels_of(batch, device)
        self.rows = self.pixels.shape[-2] // PATCH
        encoder_places, self.places = nano.position_windows(sam, self.rows, self.rows, batch.corners)
        self.embedding = nano.encode(sam, self.pixels, encoder_places)

    def points(self, places: Array, labels: Array) -> Tensor:
        """Embed pixels (B, P, n, 2) of the crops at their place in the 32 x 32 grid."""
        corner = np.array(self.batch.corners, np.float32)[:, ::-1] * PATCH
        inside = torch.from_numpy(((places + corner[:, None, None]) / (nano.GRID * PATCH)).astype(np.float32))
        return nano.embed_points(self.sam, inside.to(self.device), torch.from_numpy(labels).to(self.device))

    def padded(self, tokens: Tensor) -> Tensor:
        """Tokens with SAM's padding point, as without a box."""
        pad = self.sam.prompt_encoder.not_a_point_embed.weight.expand(*tokens.shape[:2], 1, -1)
        return torch.cat([tokens, pad], 2)

    def decode(self, sparse: Tensor, masks: tuple[int, ...], dense: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run the mask decoder; see `model.decode`."""
        return nano.decode(self.sam, self.embedding, self.places, sparse, masks, self.rows, dense)

    def instances(self) -> Tensor:
        """The tokens (B, P, 2, C) of one point and the other prompts' boxes."""
        drawn = self.batch.instances
        count, num = drawn.valid.shape
        point = self.points(drawn.points_xy[:, :1, None], np.ones((count, 1, 1), np.int64))
        corners = np.broadcast_to(np.array([2, 3]), (count, num - 1, 2)).copy()
        boxes = self.points(drawn.boxes_xyxy[:, 1:].reshape(count, num - 1, 2, 2), corners)
        return torch.cat([self.padded(point), boxes], 1)

    def cross_tokens(self) -> Tensor:
        """Means of support cells plus SAM's label embeddings, without a position: (B, P, 8, C)."""
        cross = self.batch.cross
        cells = torch.from_numpy(cross.cells).to(self.device)
        found = self.embedding.reshape(-1, CHANNELS)[cells.flatten()].view(*cells.shape, CHANNELS)
        tokens = (found * torch.from_numpy(cross.weights).to(self.device)[..., None]).sum(-2)
        kinds = torch.cat([e.weight for e in self.sam.prompt_encoder.point_embed[:2]])
        return tokens + kinds[torch.from_numpy(cross.labels).to(self.device)]


class Objective:
    """Everything one step computes on one batch."""

    def __init__(self, sam: Any, side_heads: Side, weights: Weights) -> None:
        self.sam, self.side_heads, self.weights = sam, side_heads, weights

    def _masks(self, logits: Tensor, target: Tensor) -> Tensor:
        return mask_loss(logits, target, self.weights.balance, self.weights.border)

    def __call__(self, rng: Generator, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Encode, prompt, decode; returns the loss and the figures."""
        seen, weights = Encoded(self.sam, batch), self.weights
        clicks, guided = rng.random() < weights.share_clicks, rng.random() < weights.share_guided
        losses, figures = self._instances(rng, seen, clicks)
        points, labels, masks, valid = batch.points
        sparse = seen.padded(seen.points(points[:, None], labels[:, None]))
        logits, _ = seen.decode(sparse, (0,))
        goal, known = shares(masks[:, None], seen.device), torch.from_numpy(valid[:, None]).to(seen.device)
        losses["category"] = weights.category * _mean(self._masks(logits[:, :, 0], goal), known)
        figures["category"] = _mean(iou(logits[:, :, 0], goal), known)
        tokens = self._noisy(rng, seen.cross_tokens())
        logits, _ = seen.decode(tokens, (0,))
        goal, known = shares(batch.cross.masks, seen.device), torch.from_numpy(batch.cross.valid).to(seen.device)
        losses["cross"] = weights.cross * _mean(self._masks(logits[:, :, 0], goal), known)
        figures["cross"] = _mean(iou(logits[:, :, 0], goal), known)
        if guided:
            guide = guides(rng, seen.embedding, batch, batch.cross.categories[:, 0])
            alone = torch.from_numpy(rng.random(len(tokens)) < 0.5).to(seen.device)[:, None, None, None]
            pad = self.sam.prompt_encoder.not_a_point_embed.weight
            sparse, dense = torch.where(alone, pad, tokens[:, :1]), nano.embed_mask(self.sam, guide)
            logits, _ = seen.decode(sparse, (0,), dense)
            losses["guided"] = weights.guided * _mean(self._masks(logits[:, 0, 0], goal[:, 0]), known[:, 0])
            figures["guided"] = _mean(iou(logits[:, 0, 0], goal[:, 0]), known[:, 0])
        dense_loss, low = _dense_losses(seen.embedding, seen.pixels, batch, self.side_heads)
        losses["dense"], losses["low"] = 0.7 * dense_loss, 0.3 * low
        figures |= {"dense": dense_loss.detach(), "low": low.detach()}
        loss = torch.stack(list(losses.values())).sum()
        return loss, {"loss": float(loss.detach())} | {k: float(v) for k, v in figures.items()}

    def _noisy(self, rng: Generator, tokens: Tensor) -> Tensor:
        """A quarter of the tokens with noise, as learned ones start from rough values."""
        shape = tokens.shape[:2]
        size = (rng.random(shape) < 0.25) * rng.uniform(0.05, 0.5, shape)
        noise = rng.standard_normal(tokens.shape, dtype=np.float32) * size[..., None, None].astype(np.float32)
        return tokens + torch.from_numpy(noise).to(tokens.device)

    def _instances(self, rng: Generator, seen: Encoded, clicks: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """One point and three boxes an image, each to its instance; perhaps corrective clicks."""
        drawn, weights = seen.batch.instances, self.weights
        sparse = seen.instances()
        logits, guess = seen.decode(sparse, (0, 1, 2, 3))
        goal, known = shares(drawn.masks, seen.device), torch.from_numpy(drawn.valid).to(seen.device)
        box = _mean(self._masks(logits[:, 1:, 0], goal[:, 1:]), known[:, 1:])
        each = self._masks(logits[:, 0], goal[:, :1].expand(-1, 4, -1, -1))
        best = each[:, 1:].min(1).values + 0.1 * each[:, 1:].mean(1) + 0.3 * each[:, 0]
        score = iou(logits, goal[:, :, None].expand_as(logits))
        losses = {"box": weights.box * box, "point": weights.point * _mean(best, known[:, 0])}
        losses["iou"] = 0.1 * _mean((guess - score).square().mean(-1), known)
        figures = {
            "point": _mean(score[:, 0, 1:].max(1).values, known[:, 0]),
            "box": _mean(score[:, 1:, 0], known[:, 1:]),
        }
        if clicks:
            from_box = torch.from_numpy(rng.random(len(goal)) < 0.5).to(seen.device)
            first = from_box.long()  # prompt 0 is the point, prompt 1 the first box
            at = torch.arange(len(goal), device=seen.device)
            start, target = sparse[at, first][:, None], goal[at, first]
            shown = torch.where(from_box, 0, 1 + guess[:, 0, 1:].argmax(1))
            losses["click"], figures["click"] = self._clicks(
                rng, seen, start, logits[at, first, shown], target, known[at, first]
            )
            losses["click"] = weights.click * losses["click"]
        return losses, figures

    def _clicks(
        self, rng: Generator, seen: Encoded, sparse: Tensor, logits: Tensor, target: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Two rounds of a click into the error, half of the time with the last mask as a prompt: loss and last IoU."""
        losses, score = [], known.float().mean()
        for _ in range(2):
            places, kinds = _errors(rng, logits.detach().cpu().numpy() > 0, target.cpu().numpy() > 0.5)
            sparse = torch.cat([sparse, seen.points(places[:, None, None], kinds[:, None, None])], 2)
            dense = None
            if rng.random() < 0.5:
                dense = nano.embed_mask(self.sam, logits.detach()[:, None].clamp(-12, 12))
            again, _ = seen.decode(sparse, (0,), dense)
            logits = again[:, 0, 0]
            losses.append(_mean(self._masks(logits, target), known))
            score = _mean(iou(logits, target), known)
        return torch.stack(losses).mean(), score


def _errors(rng: Generator, guess: Array, truth: Array) -> tuple[Array, Array]:
    """A pixel (x, y) and label in each image's error, at half resolution; where there is none, one inside."""
    places, kinds = np.zeros((len(guess), 2), np.float32), np.ones(len(guess), np.int64)
    for i, (ours, theirs) in enumerate(zip(guess, truth, strict=True)):
        ys, xs = np.nonzero(ours != theirs)
        if not len(ys):
            ys, xs = np.nonzero(theirs)
        if len(ys):
            k = rng.integers(len(ys))
            places[i], kinds[i] = (2 * xs[k] + 1, 2 * ys[k] + 1), int(theirs[ys[k], xs[k]])
    return places, kinds
