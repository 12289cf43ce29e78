"""Models that an evaluation compares: a specialist, and two baselines that need no training during evaluation.

specialist   the adapted model
stock_sam    the base without method and without prompts (for one class only, since it predicts one mask)
probe        logistic regression on the frozen features, fitted at training time and kept in the run
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from samtune.adapters import load_base_for, load_specialist, read_card
from samtune.bases import Base, compute_in
from samtune.losses import probabilities
from samtune.methods import Probe, touches_encoder
from samtune.metrics.rows import PROBE, SPECIALIST, STOCK
from samtune.run_folder import PROBE_FILE, run_of, specialist_folder
from samtune.segment import segment
from samtune.system.device import choose_device
from samtune.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from samtune.tasks import Task
    from samtune.types import Averaging, Features


@dataclass(frozen=True)
class ComparedModels:
    """A specialist and its baselines, ready to predict the same images.

    Attributes:
        model: the specialist.
        stock: the untouched base for the baselines; None where they can share the specialist's encoder.
        decoders: row -> decoder, on the features of `model`.
        stock_decoders: row -> decoder, on the features of `stock`.
        task: of the specialist; every row answers as it says.
        threshold: threshold of the specialist; the baselines use 0.5.
        notes: sentences on missing rows and on how images are prepared.
        tta: views of an image that each row is averaged over.
        at: side in pixels of the square that predictions are resized to; None for each image's original size.
        protocol_threshold: threshold of the protocol for all rows; None for `threshold` and 0.5.
    """

    model: Base
    stock: Base | None
    decoders: dict[str, Callable[[Features], Tensor]]
    stock_decoders: dict[str, Callable[[Features], Tensor]]
    task: Task
    threshold: float
    notes: tuple[str, ...] = ()
    tta: Averaging = "none"
    at: int | None = None
    protocol_threshold: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Rows, the specialist first."""
        return (*self.decoders, *self.stock_decoders)

    def predict(self, images: list[np.ndarray]) -> list[dict[str, tuple[np.ndarray, np.ndarray | None]]]:
        """Return for each image: row -> labels (H, W) of the answer, and of one map its probability, float32 (H, W)."""
        predicted = [
            self._decide(planes) for planes in segment(self.model, self.decoders, images, at=self.at, tta=self.tta)
        ]
        if self.stock is not None and self.stock_decoders:
            stock = segment(self.stock, self.stock_decoders, images, at=self.at, tta=self.tta)
            for row, planes in zip(predicted, stock, strict=True):
                row.update(self._decide(planes))
        return predicted

    def _decide(self, planes: dict[str, Tensor]) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
        decided = {}
        for name, logits in planes.items():
            own = self.threshold if name == SPECIALIST else 0.5
            labels = self.task.decide(logits, own if self.protocol_threshold is None else self.protocol_threshold)
            foreground = probabilities(logits[None])[0, 0].cpu().numpy() if logits.shape[0] == 1 else None
            decided[name] = labels, foreground
        return decided


def load_models(path: str | Path, base: str | Path | None, device: str | None) -> ComparedModels:
    """Load a specialist and the baselines that are available.

    Args:
        path: a run folder or its specialist's folder.
        base: where to load the base from; None for the name on the specialist's card.
        device: as for `load_predictor`.

    Raises:
        WeightsError: the specialist is damaged, or the base is not the one it was trained on.
    """
    target = choose_device(device)
    folder = specialist_folder(path)
    card = read_card(folder)
    task = find_task(card.task)
    untouched = load_base_for(card, base, folder)
    stock = deepcopy(untouched, {id(untouched.encoder): untouched.encoder})
    model, card = load_specialist(path, untouched, device=target, precision="auto")
    shares_encoder = not touches_encoder(model)
    if not shares_encoder:
        stock = load_base_for(card, base, folder)
    stock.spec = model.spec  # the probe was fitted to images prepared in the specialist's way
    stock = stock.eval().to(target)
    if not shares_encoder:
        compute_in(stock, "auto", target)
    baselines: dict[str, Callable[[Features], Tensor]] = {}
    notes = []
    if card.square:
        notes.append(
            "The specialist was trained on images squashed to a square, so every row predicts on squashed images; "
            "its masks are mapped back to each image."
        )
    if card.maps == 1:
        baselines[STOCK] = stock.decode
    else:
        notes.append(
            f"There is no row for stock SAM: without prompts it predicts one mask, and there are {card.maps} classes."
        )
    run = run_of(path)
    if run is not None and run.probe.is_file():
        baselines[PROBE] = Probe.load(run.probe).logits
    else:
        notes.append(f"There is no row for the probe: {path} is not in a run folder with a {PROBE_FILE}.")
    decoders: dict[str, Callable[[Features], Tensor]] = {SPECIALIST: model.decode}
    if shares_encoder:
        return ComparedModels(model, None, decoders | baselines, {}, task, card.threshold, tuple(notes))
    return ComparedModels(model, stock, decoders, baselines, task, card.threshold, tuple(notes))
