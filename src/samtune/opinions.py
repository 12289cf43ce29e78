"""Several answers to one question become one: the linear opinion pool of class logits.

    p = mean over m of softmax([0, x_m]),   pooled logit of class k = log p_k - log p_0

Probabilities are averaged, not logits: each answer counts the same, however sure of itself it is, so that one that is
far off cannot outvote the others. (Of the logits +30, -5, -5, -5, -5 the mean is +2, the pool's -1.4.)
Source: Stone, "The opinion pool", Ann. Math. Stat. 32, 1961; for ensembles of networks Lakshminarayanan et al.,
NeurIPS 2017, arXiv 1612.01474.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class OpinionPool:
    """The mean of the probabilities that logits stand for, as logits; memory does not grow with their number."""

    def __init__(self) -> None:
        self._total: Tensor | None = None

    def add(self, logits: Tensor) -> None:
        """Take one more answer.

        Args:
            logits: (.., K, H, W), the same shape each time; the background's logit is the constant 0.
        """
        logits = logits if logits.dtype == torch.float64 else logits.float()
        shares = F.pad(logits, (0, 0, 0, 0, 1, 0)).log_softmax(-3)
        self._total = shares if self._total is None else torch.logaddexp(self._total, shares)

    def logits(self) -> Tensor:
        """(.., K, H, W) float32 (float64 stays): of the mean, whose background is again the constant 0.

        Raises:
            ValueError: nothing was added.
        """
        if self._total is None:
            raise ValueError("An opinion pool must get at least one answer, but none came.")
        return self._total[..., 1:, :, :] - self._total[..., :1, :, :]
