"""What a model is worth on held-out scenes: IoU and boundary F for each kind of prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from feed import cut_views
from model import PATCH, embed_mask
from objective import Encoded, guides
from prompts import cell_shares

if TYPE_CHECKING:
    from torch import Tensor

Array = Any
SEED = 999
TOLERANCE = 2
_NEAR = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * TOLERANCE + 1, 2 * TOLERANCE + 1))
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def boundary_f(guess: Array, truth: Array) -> float:
    """F1 of the outlines of two bool maps within `TOLERANCE` pixels; 1 where both are empty, 0 where one is."""
    if not guess.any() or not truth.any():
        return float(guess.any() == truth.any())
    ours, theirs = (m - cv2.erode(m, _CROSS, borderValue=0) for m in (guess.astype(np.uint8), truth.astype(np.uint8)))
    precision = float((cv2.dilate(theirs, _NEAR)[ours > 0] > 0).mean())
    recall = float((cv2.dilate(ours, _NEAR)[theirs > 0] > 0).mean())
    return 2 * precision * recall / max(precision + recall, 1e-9)


def _iou(guess: Array, truth: Array) -> float:
    union = int((guess | truth).sum())
    return float((guess & truth).sum() / union) if union else 1.0


def _full(logits: Tensor) -> Array:
    """Masks at twice the decoder's resolution, the image's: (..., h, w) logits -> (..., 2h, 2w) bool."""
    flat = logits.flatten(0, -3)[:, None] if logits.ndim > 2 else logits[None, None]
    large = F.interpolate(flat.float(), scale_factor=2, mode="bilinear", align_corners=False)
    return (large[:, 0] > 0).view(*logits.shape[:-2], *large.shape[-2:]).cpu().numpy()


class Scores:
    """Lists of IoU and boundary F by name."""

    def __init__(self) -> None:
        self.lists: dict[str, list[float]] = {}

    def add(self, name: str, guess: Array, truth: Array, valid: Array) -> None:
        """Add masks (n, h, w) where `valid` (n)."""
        for ours, theirs, known in zip(guess, truth, valid, strict=True):
            if known:
                self.lists.setdefault(name, []).append(_iou(ours, theirs))
                self.lists.setdefault(f"{name}_f", []).append(boundary_f(ours, theirs))

    def means(self) -> dict[str, float]:
        """The mean of each list."""
        return {name: float(np.mean(values)) for name, values in self.lists.items()}


def _filled(boxes: Array, side: int) -> Array:
    """Boxes (n, 4) as filled maps (n, side, side) bool."""
    at = np.arange(side) + 0.5
    left, top, right, bottom = (boxes[:, k, None] for k in range(4))
    wide, tall = (at > left) & (at < right), (at > top) & (at < bottom)
    filled: Array = tall[:, :, None] & wide[:, None, :]
    return filled


@torch.no_grad()
def score(sam: Any, slots: list[Array], side: int = 256) -> dict[str, float]:
    """Score a model on scenes, prompts drawn from one seed: means by kind of prompt.

    `point` is the best of three masks, `point_picked` the one of the highest predicted IoU, `filled` the box itself
    as a mask, `guide` the rough map that is `guided`'s mask prompt, `probe` a regression on one image's features read
    on the next one (IoU of cells).
    """
    rng, scores, probes = np.random.default_rng(SEED), Scores(), []
    for slot in slots:
        batch = cut_views(rng, [slot], side, augment=False)
        seen, drawn = Encoded(sam, batch), batch.instances
        logits, guess = seen.decode(seen.instances(), (0, 1, 2, 3))
        masks = _full(logits)
        three, truth, known = masks[:, 0, 1:], drawn.masks, drawn.valid
        each = np.array([[_iou(m, t) for m in three_] for three_, t in zip(three, truth[:, 0], strict=True)])
        rows = np.arange(len(three))
        scores.add("point", three[rows, each.argmax(1)], truth[:, 0], known[:, 0])
        picked = guess[:, 0, 1:].argmax(1).cpu().numpy()
        scores.add("point_picked", three[rows, picked], truth[:, 0], known[:, 0])
        boxed, boxes = truth[:, 1:].reshape(-1, side, side), drawn.boxes_xyxy[:, 1:].reshape(-1, 4)
        scores.add("box", masks[:, 1:, 0].reshape(-1, side, side), boxed, known[:, 1:].ravel())
        scores.add("filled", _filled(boxes, side), boxed, known[:, 1:].ravel())
        points, labels, goal, valid = batch.points
        logits, _ = seen.decode(seen.padded(seen.points(points[:, None], labels[:, None])), (0,))
        scores.add("category", _full(logits[:, 0, 0]), goal, valid)
        tokens, cross = seen.cross_tokens(), batch.cross
        logits, _ = seen.decode(tokens, (0,))
        flat = cross.masks.reshape(-1, side, side)
        scores.add("cross", _full(logits[:, :, 0]).reshape(-1, side, side), flat, cross.valid.ravel())
        guide = guides(rng, seen.embedding, batch, cross.categories[:, 0])
        pad = sam.prompt_encoder.not_a_point_embed.weight.expand_as(tokens[:, :1])
        logits, _ = seen.decode(pad, (0,), embed_mask(sam, guide))
        scores.add("guided", _full(logits[:, 0, 0]), cross.masks[:, 0], cross.valid[:, 0])
        scores.add("guide", _full(guide[:, 0]), cross.masks[:, 0], cross.valid[:, 0])
        probes += _probe(seen.embedding.cpu(), batch.categories)
    return scores.means() | {"probe": float(np.mean(probes))}


def _probe(embedding: Tensor, categories: Array) -> list[float]:
    """A ridge regression on the first image's features, read on the second: IoU of cells for each category."""
    values = []
    for k in np.unique(categories[0]):
        truth = torch.from_numpy(cell_shares(categories[:2] == k, PATCH)).view(2, -1)
        if k == 0 or truth.sum(1).min() < 1:
            continue
        x = torch.cat([embedding[:2], torch.ones(2, truth.shape[1], 1)], -1)
        gram = x[0].T @ x[0] + 10 * torch.eye(x.shape[-1])
        guess, want = x[1] @ torch.linalg.solve(gram, x[0].T @ truth[0]) > 0.4, truth[1] > 0.5
        values.append(float((guess & want).sum() / (guess | want).sum().clamp_min(1)))
    return values
