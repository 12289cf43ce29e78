"""Mean of several predictions of one image in probabilities, for the members of an ensemble or test-time views.

    p = mean over m of softmax([0, x_m]),   logit of class k of the mean = log p_k - log p_0

Probabilities are averaged rather than logits, so that one overconfident prediction cannot outvote the others: of the
logits +30, -5, -5, -5, -5 the mean is +2, but that of the probabilities corresponds to -1.4.
Sources: Stone, "The Opinion Pool", Annals of Mathematical Statistics 32(4), 1961; for ensembles of neural networks,
Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation Using Deep Ensembles", NeurIPS 2017,
arXiv 1612.01474.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class ProbabilityMean:
    """Running mean of the probabilities of logits, returned as logits; memory does not grow with their number."""

    def __init__(self) -> None:
        self._total: Tensor | None = None

    def add(self, logits: Tensor) -> None:
        """Add one prediction.

        Args:
            logits: (.., K, H, W), the same shape each time; the background's logit is the constant 0.
        """
        logits = logits if logits.dtype == torch.float64 else logits.float()
        log_probabilities = F.pad(logits, (0, 0, 0, 0, 1, 0)).log_softmax(-3)
        self._total = log_probabilities if self._total is None else torch.logaddexp(self._total, log_probabilities)

    def logits(self) -> Tensor:
        """Return the logits of the mean: (.., K, H, W) float32 (float64 stays float64), with 0 for the background.

        Raises:
            ValueError: nothing was added.
        """
        if self._total is None:
            raise ValueError("Expected at least one prediction to average, got none.")
        return self._total[..., 1:, :, :] - self._total[..., :1, :, :]
