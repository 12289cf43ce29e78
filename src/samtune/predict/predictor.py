"""A specialist in memory that segments images: `samtune.segment` with the specialist's decoder and card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samtune.adapters import load_specialist
from samtune.data.views.symmetries import IN_WORDS, SYMMETRIES
from samtune.errors import ConfigError
from samtune.progress import say
from samtune.segment import segment
from samtune.system.device import choose_device
from samtune.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from samtune.adapters import AdapterCard
    from samtune.bases import Base
    from samtune.types import Averaging, Precision, Prediction


class Predictor:
    """A specialist ready for images.

    Args:
        model: an adapted model as `adapters.load_specialist` gives it; used where its weights are.
        card: what is known of it; its task and threshold decide on the logits.
        batch_size: images that are encoded together.
        tta: what is averaged over, see `segment`; None for what the card says.

    Raises:
        ConfigError: `batch_size` is below 1, `tta` is no word of `types.Averaging`, or the card's task is unknown.
    """

    def __init__(self, model: Base, card: AdapterCard, *, batch_size: int = 4, tta: Averaging | None = None) -> None:
        if batch_size < 1:
            raise ConfigError(f"Expected `batch_size` >= 1, got {batch_size}.")
        self.model = model
        self.card = card
        self.task = find_task(card.task)
        self.batch_size = batch_size
        self.tta = averaging(card, tta)

    def images(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """Segment images, `batch_size` at a time; the result does not depend on how they are batched.

        Args:
            images: uint8 (H, W, 3) RGB each, of any sizes.

        Returns:
            One prediction per image, at the image's size.

        Raises:
            ShapeError: an image is not uint8 (H, W, 3).
        """
        predictions = []
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            for planes in segment(self.model, {"specialist": self.model.decode}, batch, tta=self.tta):
                predictions.append(self.task.answer(planes["specialist"], self.card.threshold))
        return predictions


def load_predictor(
    path: str | Path,
    base: str | Path | None = None,
    *,
    batch_size: int = 4,
    device: str | None = None,
    tta: Averaging | None = None,
    precision: Precision = "auto",
) -> Predictor:
    """Load a specialist for prediction, folded into plain weights where its method allows that.

    A folded model can no longer be saved or trained, since its plain weights contain what was learned.

    Args:
        path: a run folder or its specialist's folder.
        base: where to load the base from; None for the name on the specialist's card.
        batch_size: number of images that are encoded together.
        device: "cpu", "cuda", "mps"; None for CUDA where there is one, else the CPU.
        tta: as for `Predictor`; averaging is reported as progress, since it multiplies the time.
        precision: precision of the encoder; "auto" as in `bases.choose_precision`, reported where it is bf16.

    Raises:
        WeightsError: the folder is damaged or the base is not the one it was trained on.
        ConfigError: the device is not available, `batch_size` is below 1, or `precision` or `tta` is unknown.
    """
    model, card = load_specialist(path, base, device=choose_device(device), precision=precision, folded=True)
    predictor = Predictor(model, card, batch_size=batch_size, tta=tta)
    if predictor.tta != "none":
        say(
            f"Predictions are averaged over {IN_WORDS[predictor.tta]}, which takes {len(SYMMETRIES[predictor.tta])} "
            f"times as long ({'the setting of this specialist; ' if tta is None else ''}--tta none turns it off)."
        )
    return predictor


def averaging(card: AdapterCard, tta: Averaging | None) -> Averaging:
    """Return the views of an image that a specialist's predictions are averaged over.

    Args:
        card: card of the specialist.
        tta: setting of the user; None for that of the card.

    Raises:
        ConfigError: the value is not one of `types.Averaging`.
    """
    value = card.tta if tta is None else tta
    if value not in SYMMETRIES:
        raise ConfigError(f"Expected `tta` to be one of {', '.join(SYMMETRIES)}, got {value!r}.")
    return value
