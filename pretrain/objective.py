"""The training objective: prompts of a batch, their masks, the losses and the figures that are logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import model as nano
from model import CHANNELS, PATCH
from prompts import category_points, cell_shares, cross_prompts, instance_prompts
from replay import LAYOUTS

if TYPE_CHECKING:
    from numpy.random import Generator

    from replay import Images

Array = Any
NUM_BOXES, NUM_CROSS, NUM_CATEGORIES = 3, 2, 4


class Side(nn.Module):
    """What only training needs: the temperature of the dense loss and a linear reader of low-level features."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(10.0))
        self.low = nn.Linear(CHANNELS, 6)


def _targets(masks: Array) -> Tensor:
    """Bool maps (B, P, S, S) -> shares at half the resolution, the decoder's: (B, P, S / 2, S / 2)."""
    images, prompts, height, width = masks.shape
    pooled = masks.reshape(images, prompts, height // 2, 2, width // 2, 2).mean((3, 5), dtype=np.float32)
    return torch.from_numpy(pooled)


def mask_loss(logits: Tensor, target: Tensor, balance: float) -> Tensor:
    """Half BCE, some class-balanced BCE, and Dice, per mask: (..., h, w) -> (...)."""
    each = F.softplus(logits) - logits * target
    probability = logits.sigmoid()
    area, rest = target.sum((-1, -2)), (1 - target).sum((-1, -2))
    inside = (each * target).sum((-1, -2))
    outside = each.sum((-1, -2)) - inside
    overlap = (probability * target).sum((-1, -2))
    dice = 1 - (2 * overlap + 1) / (probability.sum((-1, -2)) + area + 1)
    balanced = inside / area.clamp_min(1) + outside / rest.clamp_min(1)
    return 0.5 * each.mean((-1, -2)) + balance * balanced + dice


@torch.no_grad()
def iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of the masks at threshold 0, per mask; 1 where both are empty."""
    guess, truth = logits > 0, target > 0.5
    union = (guess | truth).sum((-1, -2))
    return torch.where(union > 0, (guess & truth).sum((-1, -2)) / union.clamp_min(1), 1.0)


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    return (values * valid).sum() / valid.sum().clamp_min(1)


def _dense_losses(embedding: Tensor, images: Images, side_heads: Side) -> tuple[Tensor, Tensor]:
    """Cell-wise category loss against prototypes of the scene's other images, and the low-level reading."""
    count, cells = embedding.shape[:2]
    shares = np.stack([cell_shares(images.categories == k, PATCH) for k in range(1, NUM_CATEGORIES + 1)])
    real = cell_shares(images.inside, PATCH)
    both = np.concatenate([(real - shares.sum(0))[None], shares]).reshape(NUM_CATEGORIES + 1, count, cells)
    share = torch.from_numpy(both).permute(1, 2, 0)  # (B, N, 1 + categories)
    unit = F.normalize(embedding, dim=-1)
    sums = torch.einsum("bnc,bnk->bkc", unit, share**2)
    weight = (share**2).sum(1)
    grouped = sums.view(-1, LAYOUTS, *sums.shape[1:])
    other = (grouped.sum(1, keepdim=True) - grouped).flatten(0, 1)
    mass = weight.view(-1, LAYOUTS, weight.shape[1])
    have = (mass.sum(1, keepdim=True) - mass).flatten(0, 1) > 0.3
    logits = side_heads.temperature * torch.einsum("bnc,bkc->bnk", unit, F.normalize(other, dim=-1))
    logits = logits.masked_fill(~have[:, None], -1e4)
    truth = share * have[:, None]
    scale = truth.sum(1).clamp_min(4).rsqrt()
    weighted = truth * scale[:, None]
    dense = -(weighted * logits.log_softmax(-1)).sum() / weighted.sum().clamp_min(1)
    mean = F.avg_pool2d(images.pixels, PATCH)
    spread = (F.avg_pool2d(images.pixels**2, PATCH) - mean**2).clamp_min(1e-4).sqrt()
    low = F.mse_loss(side_heads.low(embedding), torch.cat([mean, spread], 1).flatten(2).transpose(1, 2))
    return dense, low


@torch.no_grad()
def _guides(rng: Generator, embedding: Tensor, images: Images, categories: Array) -> Tensor:
    """Mask prompts (B, 1, 4H, 4W): a ridge regression of a category on the scene's other images, read on each."""
    side, count = images.pixels.shape[-1] // PATCH, len(embedding)
    features = torch.cat([embedding, torch.ones(*embedding.shape[:2], 1)], -1)
    real = torch.from_numpy(cell_shares(images.inside, PATCH)).view(count, -1)
    scores = torch.zeros(count, side * side)
    for i, category in enumerate(categories):
        others = [j for j in range(i - i % LAYOUTS, i - i % LAYOUTS + LAYOUTS) if j != i]
        share = torch.from_numpy(cell_shares(images.categories[others] == category, PATCH))
        x = features[others].flatten(0, 1)
        weighted = x * real[others].view(-1, 1)
        ridge = 10 ** rng.uniform(0, 2) * torch.eye(x.shape[-1])
        solution = torch.linalg.solve(weighted.T @ x + ridge, weighted.T @ share)
        threshold, gain = rng.uniform(0.3, 0.5), rng.uniform(6, 16)
        scores[i] = gain * (features[i] @ solution - threshold) + rng.normal(0, 0.5)
    return F.interpolate(scores.clamp(-8, 8).view(count, 1, side, side), scale_factor=4, mode="bilinear")


class Objective:
    """Everything one step computes on one batch."""

    def __init__(self, sam: Any, side_heads: Side) -> None:
        self.sam, self.side_heads = sam, side_heads
        self.balance, self.jitter = 0.25, 0.04

    def _points(self, places: Array, labels: Array, images: Images) -> Tensor:
        """Embed pixels (B, P, n, 2) of the crops at their place in the 32 x 32 grid."""
        corner = np.array(images.corners, np.float32)[:, ::-1] * PATCH
        inside = (places + corner[:, None, None]) / (nano.GRID * PATCH)
        return nano.embed_points(self.sam, torch.from_numpy(inside.astype(np.float32)), torch.from_numpy(labels))

    def _with_pad(self, tokens: Tensor) -> Tensor:
        pad = self.sam.prompt_encoder.not_a_point_embed.weight.expand(*tokens.shape[:2], 1, -1)
        return torch.cat([tokens, pad], 2)

    def __call__(self, rng: Generator, images: Images, clicks: bool, guided: bool) -> tuple[Tensor, dict[str, float]]:
        """Encode, prompt, decode; returns the loss and the figures (nan where nothing was measured)."""
        sam, rows = self.sam, images.pixels.shape[-2] // PATCH
        encoder_places, places = nano.position_windows(sam, rows, rows, images.corners)
        embedding = nano.encode(sam, images.pixels, encoder_places)
        losses, figures = self._instances(rng, images, embedding, places, clicks)
        points, labels, target, valid = category_points(rng, images.categories, int(rng.integers(1, 8)))
        sparse = self._with_pad(self._points(points[:, None], labels[:, None], images))
        logits, _ = nano.decode(sam, embedding, places, sparse, (0,), rows)
        goal, known = _targets(target[:, None]), torch.from_numpy(valid[:, None])
        losses["category"] = _mean(mask_loss(logits[:, :, 0], goal, self.balance), known)
        figures["category"] = _mean(iou(logits[:, :, 0], goal), known)
        cross = cross_prompts(rng, images.categories, images.inside, LAYOUTS, NUM_CROSS, PATCH)
        tokens = self._cross_tokens(rng, embedding, cross)
        logits, _ = nano.decode(sam, embedding, places, tokens, (0,), rows)
        goal, known = _targets(cross.targets), torch.from_numpy(cross.valid)
        losses["cross"] = 2.0 * _mean(mask_loss(logits[:, :, 0], goal, self.balance), known)
        figures["cross"] = _mean(iou(logits[:, :, 0], goal), known)
        if guided:
            guide = _guides(rng, embedding, images, cross.categories[:, 0])
            alone = torch.from_numpy(rng.random(len(tokens)) < 0.5)[:, None, None, None]
            pad = sam.prompt_encoder.not_a_point_embed.weight
            tokens, dense = torch.where(alone, pad, tokens[:, :1]), nano.embed_mask(sam, guide)
            logits, _ = nano.decode(sam, embedding, places, tokens, (0,), rows, dense)
            losses["guided"] = _mean(mask_loss(logits[:, 0, 0], goal[:, 0], self.balance), known[:, 0])
            figures["guided"] = _mean(iou(logits[:, 0, 0], goal[:, 0]), known[:, 0])
            finer = F.interpolate(guide, goal.shape[-2:], mode="bilinear")[:, 0]
            figures["guide"] = _mean(iou(finer, goal[:, 0]), known[:, 0])
        dense, low = _dense_losses(embedding, images, self.side_heads)
        losses["dense"], losses["low"] = 0.7 * dense, 0.3 * low
        figures |= {"dense": dense.detach(), "low": low.detach()}
        loss = torch.stack(list(losses.values())).sum()
        return loss, {"loss": float(loss.detach())} | {k: float(v) for k, v in figures.items()}

    def _cross_tokens(self, rng: Generator, embedding: Tensor, cross: Any) -> Tensor:
        """Means of support cells plus SAM's label embeddings, without a position; a quarter of them noisy."""
        cells = torch.from_numpy(cross.cells)
        found = embedding.reshape(-1, CHANNELS)[cells.flatten()].view(*cells.shape, CHANNELS)
        tokens = (found * torch.from_numpy(cross.weights)[..., None]).sum(-2)
        kinds = torch.cat([e.weight for e in self.sam.prompt_encoder.point_embed[:2]])
        noisy = (rng.random(cells.shape[:2]) < 0.25) * rng.uniform(0.05, 0.5, cells.shape[:2])
        noise = torch.randn_like(tokens) * torch.from_numpy(noisy.astype(np.float32))[..., None, None]
        return tokens + kinds[torch.from_numpy(cross.labels)] + noise

    def _instances(
        self, rng: Generator, images: Images, embedding: Tensor, places: Tensor, clicks: bool
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """One point and three boxes an image, each to its instance; perhaps a corrective click."""
        sam, rows = self.sam, images.pixels.shape[-2] // PATCH
        drawn = instance_prompts(rng, images.instances, 1 + NUM_BOXES, self.jitter)
        count = len(drawn.valid)
        point = self._points(drawn.points_xy[:, :1, None], np.ones((count, 1, 1), np.int64), images)
        corners = np.broadcast_to(np.array([2, 3]), (count, NUM_BOXES, 2))
        boxes = self._points(drawn.boxes_xyxy[:, 1:].reshape(count, NUM_BOXES, 2, 2), corners.copy(), images)
        sparse = torch.cat([self._with_pad(point), boxes], 1)
        logits, guess = nano.decode(sam, embedding, places, sparse, (0, 1, 2, 3), rows)
        goal, known = _targets(drawn.targets), torch.from_numpy(drawn.valid)
        box = _mean(mask_loss(logits[:, 1:, 0], goal[:, 1:], self.balance), known[:, 1:])
        each = mask_loss(logits[:, 0], goal[:, :1].expand(-1, 4, -1, -1), self.balance)
        best = each[:, 1:].min(1).values + 0.1 * each[:, 1:].mean(1) + 0.3 * each[:, 0]
        score = iou(logits, goal[:, :, None].expand_as(logits))
        losses = {"box": 2.0 * box, "point": 0.7 * _mean(best, known[:, 0])}
        losses["iou"] = 0.1 * _mean((guess - score).square().mean(-1), known)
        filled = torch.from_numpy(_filled_boxes(drawn.boxes_xyxy[:, 1:], drawn.targets.shape[-2:]))
        figures = {
            "point": _mean(score[:, 0, 1:].max(1).values, known[:, 0]),
            "box": _mean(score[:, 1:, 0], known[:, 1:]),
            "filled": _mean(iou(filled - 0.5, torch.from_numpy(drawn.targets[:, 1:]).float()), known[:, 1:]),
        }
        if clicks:
            wrong = ((logits[:, 0, 1] > 0) != (goal[:, 0] > 0.5)).numpy()
            extra, kinds = _clicks(rng, wrong, goal[:, 0].numpy(), drawn.points_xy[:, 0])
            places_xy = np.stack([drawn.points_xy[:, 0], extra], 1)[:, None]
            labels = np.stack([np.ones(count, np.int64), kinds], 1)[:, None]
            sparse = self._with_pad(self._points(places_xy, labels, images))
            again, _ = nano.decode(sam, embedding, places, sparse, (0,), rows)
            losses["click"] = 0.6 * _mean(mask_loss(again[:, 0, 0], goal[:, 0], self.balance), known[:, 0])
        return losses, figures


def _filled_boxes(boxes: Array, size_hw: tuple[int, int]) -> Array:
    """Boxes (B, P, 4) as filled maps (B, P, S, S') float32."""
    rows, columns = np.arange(size_hw[0]) + 0.5, np.arange(size_hw[1]) + 0.5
    left, top, right, bottom = (boxes[..., k, None] for k in range(4))
    tall, wide = (rows > top) & (rows < bottom), (columns > left) & (columns < right)
    return (tall[..., :, None] & wide[..., None, :]).astype(np.float32)


def _clicks(rng: Generator, wrong: Array, goal: Array, points: Array) -> tuple[Array, Array]:
    """A click in each image's error region at half resolution; the first point again where there is none."""
    extra, kinds = points.copy(), np.ones(len(points), np.int64)
    for i, error in enumerate(wrong):
        ys, xs = np.nonzero(error)
        if len(ys):
            k = rng.integers(len(ys))
            extra[i], kinds[i] = (2 * xs[k] + 1, 2 * ys[k] + 1), int(goal[i, ys[k], xs[k]] > 0.5)
    return extra, kinds
