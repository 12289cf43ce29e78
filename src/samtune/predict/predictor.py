"""Images in memory to segmentations at their original size.

`segment` is the one path from pixels to full-size logits: an image is encoded once and decoded by as many
decoders as there are rows to compare. `Predictor` is `segment` with the specialist alone. With test-time averaging
both look at each image in several of its flips and quarter turns and average what they find.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from samtune.adapters import load_specialist
from samtune.bases import compute_in
from samtune.data import to_input
from samtune.data.views.restore import decide, to_original
from samtune.data.views.symmetries import IN_WORDS, SYMMETRIES, turned, turned_back
from samtune.data.views.transforms import check_image
from samtune.errors import ConfigError
from samtune.losses import probabilities
from samtune.methods import fold
from samtune.opinions import OpinionPool
from samtune.printable import shown
from samtune.progress import say
from samtune.types import Prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from samtune.adapters import AdapterCard
    from samtune.bases import Sam
    from samtune.types import Averaging, Features, Precision


@torch.inference_mode()
def segment(
    sam: Sam,
    decoders: Mapping[str, Callable[[Features], Tensor]],
    images: Sequence[np.ndarray],
    *,
    at: int | None = None,
    tta: Averaging = "none",
) -> Iterator[dict[str, Tensor]]:
    """Encode a batch of images once and decode it with each decoder.

    Args:
        sam: its encoder and its image size are used.
        decoders: name -> Features to logits (B, K, h, w) over the padded square, at any resolution.
        images: uint8 (H, W, 3) RGB each, of any sizes; encoded as one batch.
        at: side of the square that the logits are squashed to; None for each image's own size.
        tta: average each decoder's probabilities over an image and its mirror, or over its eight flips and quarter
            turns ("d4"): twice or eight times the work. With the latter an image is predicted in the same way
            whichever way it is held.

    Yields:
        For each image in order: name -> logits float32 (K, H, W) at the image's size (or `at` squared), on the
        device of `sam`.

    Raises:
        ShapeError: an image is not uint8 (H, W, 3).
    """
    if tta == "none":
        yield from _segment_once(sam, decoders, images, at)
        return
    for image in images:
        check_image(image)
    pools = [{name: OpinionPool() for name in decoders} for _ in images]
    for symmetry in SYMMETRIES[tta]:
        views = [turned(image, symmetry) for image in images]
        for pool, found in zip(pools, _segment_once(sam, decoders, views, at), strict=True):
            for name, planes in found.items():
                pool[name].add(turned_back(planes, symmetry))
    yield from ({name: one.logits() for name, one in pool.items()} for pool in pools)


def _segment_once(
    sam: Sam, decoders: Mapping[str, Callable[[Features], Tensor]], images: Sequence[np.ndarray], at: int | None
) -> Iterator[dict[str, Tensor]]:
    prepared = [to_input(image, sam.spec) for image in images]
    if not prepared:
        return
    features = sam.encode(torch.stack([pixels for pixels, _ in prepared]).to(sam.device))
    logits = {name: decoder(features) for name, decoder in decoders.items()}
    for index, (_, own) in enumerate(prepared):
        geometry = own if at is None else replace(own, original_hw=(at, at))
        yield {name: to_original(planes[index], geometry) for name, planes in logits.items()}


class Predictor:
    """A specialist ready for images.

    Args:
        sam: an adapted model as `methods.load_specialist` gives it; used where its weights are.
        card: what is known of it; its threshold decides for one class.
        batch_size: images that are encoded together.
        tta: what is averaged over, see `segment`; None for what the card says.

    Raises:
        ConfigError: `batch_size` is below 1, or `tta` is no word of `types.Averaging`.
    """

    def __init__(self, sam: Sam, card: AdapterCard, *, batch_size: int = 4, tta: Averaging | None = None) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, but {batch_size} came.")
        self.sam = sam
        self.card = card
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
            for planes in segment(self.sam, {"specialist": self.sam.decode}, batch, tta=self.tta):
                predictions.append(to_prediction(planes["specialist"], self.card.threshold))
        return predictions


def to_prediction(logits: Tensor, threshold: float) -> Prediction:
    """Logits (K, H, W) of one image as labels and probabilities; the background's logit is the constant 0."""
    planes = probabilities(logits[None])[0]
    return Prediction(decide(logits, threshold).cpu().numpy(), planes.cpu().numpy())


def load_predictor(
    path: str | Path,
    base: str | Path | None = None,
    *,
    batch_size: int = 4,
    device: str | None = None,
    tta: Averaging | None = None,
    precision: Precision = "auto",
) -> Predictor:
    """Load a specialist for prediction: folded to plain weights where its method can be, rounded where that pays.

    The model is no longer one that can be saved or trained, since its plain weights hold what was learned.

    Args:
        path: a run folder or its specialist/ folder.
        base: where to load the base from; None for the name that the specialist carries.
        batch_size: images that are encoded together.
        device: "cpu", "cuda", "mps"; None for CUDA where there is one, else the CPU.
        tta: see `Predictor`; an average is said, since it takes its time.
        precision: of the encoder; "auto" is bf16 where `sam.choose_precision` takes it, which is said.

    Raises:
        WeightsError: the folder is damaged or the base is not the one it was trained on.
        ConfigError: the device is not there, `batch_size` is below 1, or the precision or `tta` is unknown.
    """
    place = choose_device(device)
    sam, card = load_specialist(path, base)
    sam = fold(sam)
    compute_in(sam, precision, place)
    predictor = Predictor(sam.to(place), card, batch_size=batch_size, tta=tta)
    if predictor.tta != "none":
        say(
            f"Predictions are averaged over {IN_WORDS[predictor.tta]}, which takes {len(SYMMETRIES[predictor.tta])} "
            f"times as long ({'as the specialist says; ' if tta is None else ''}--tta none leaves it out)."
        )
    return predictor


def averaging(card: AdapterCard, tta: Averaging | None) -> Averaging:
    """What a specialist's predictions are averaged over.

    Args:
        card: of the specialist.
        tta: as asked; None for what the card says.

    Raises:
        ConfigError: it is no word of `types.Averaging`.
    """
    chosen = card.tta if tta is None else tta
    if chosen not in SYMMETRIES:
        raise ConfigError(f"tta must be {', '.join(SYMMETRIES)}, but {chosen!r} came.")
    return chosen


def choose_device(device: str | None) -> torch.device:
    """The device by name, or CUDA where there is one, else the CPU.

    Raises:
        ConfigError: the device is unknown or not there.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    kind, colon, number = device.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if not there.get(kind, False) or (colon and number not in map(str, range(count))):
        offered = ", ".join(name for name, is_there in there.items() if is_there)
        raise ConfigError(f"The device must be one of {offered} on this machine, but {shown(device)} came.")
    return torch.device(device)
