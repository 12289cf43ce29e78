"""`Specialist`: training, prediction and evaluation in Python, from arrays or paths to arrays.

specialist = Specialist.fit("images", "masks")
masks = specialist.predict("new_images")
"""

from __future__ import annotations

import tempfile
import weakref
from contextlib import ExitStack
from dataclasses import fields as fields_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from samtune.adapters import copy_specialist
from samtune.config import RunConfig, claim_run
from samtune.data import open_dataset, read_image
from samtune.data.views.transforms import check_image
from samtune.errors import ConfigError, ShapeError
from samtune.files import reported
from samtune.predict import Predictor, evaluate, find_images, load_predictor
from samtune.printable import shown
from samtune.training import TrainSettings, locked, train

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from samtune.adapters import AdapterCard
    from samtune.data import DataOptions, Dataset
    from samtune.predict import Evaluation
    from samtune.types import Averaging, Prediction

    Paths = str | Path
    Images = Paths | np.ndarray | Sequence[Paths] | Sequence[np.ndarray]

_SETTINGS = tuple(f.name for f in fields_of(TrainSettings))


class Specialist:
    """A segmentation model for one task: a frozen SAM and its learned adapter.

    Created by `fit` or `load`.

    Attributes:
        path: run folder or specialist's folder.
        base: where the base is loaded from; None for the name on the card.
        predictor: loaded model.
    """

    def __init__(self, path: Path, base: Paths | None, predictor: Predictor) -> None:
        self.path = path
        self.base = base
        self.predictor = predictor

    @property
    def card(self) -> AdapterCard:
        """Card of the adapter: method, base, class names, image size, scores on the validation images."""
        return self.predictor.card

    @property
    def class_names(self) -> tuple[str, ...]:
        """K names; label k in a label map is `class_names[k - 1]`."""
        return self.card.class_names

    @classmethod
    def fit(
        cls,
        images: Paths | Sequence[np.ndarray],
        masks: Paths | Sequence[np.ndarray] | None = None,
        method: str = "ptsam",
        *,
        options: DataOptions | None = None,
        run: Paths | None = None,
        **settings: Any,
    ) -> Specialist:
        """Train a specialist.

        Args:
            images: a folder or a manifest, or arrays, uint8 (H, W, 3) RGB of any sizes.
            masks: a folder, or one array (H, W) per image: bool, or integers with 0 for background, 1..K for classes
                and 255 for ignored. None where `images` names the masks too, as a manifest does.
            method: key of `samtune.METHODS`.
            options: how to read mask files where they are ambiguous.
            run: run folder, new or empty; None for a temporary one, which is removed with the specialist.
            settings: fields of `TrainSettings` (`base`, `shots`, `seed`, `val`, `side`, `updates`, ...); any other
                name is a hyper-parameter of the method (`rank=4`).

        Raises:
            DataError: the data cannot be used; all problems are reported together.
            ConfigError: a setting or hyper-parameter is unknown or out of range, or `run` holds files.
            ShapeError: an array has a wrong shape or type.
            WeightsError: the base cannot be loaded.
            KeyboardInterrupt: Ctrl-C or SIGTERM. If `run` is given, it keeps the best model so far, which `load` loads
                and `samtune train --out RUN --resume` continues from.
        """
        own = {key: value for key, value in settings.items() if key in _SETTINGS}
        extra = {key: value for key, value in settings.items() if key not in _SETTINGS}
        fields = own.pop("method_fields", {})
        if not isinstance(fields, dict):
            raise ConfigError(f"Expected `method_fields` to be a table of names and values, got {shown(fields)}.")
        training = TrainSettings(method=method, method_fields=fields | extra, **own)
        with ExitStack() as temporary:
            images, masks = _as_paths(images, masks, temporary)
            dataset = open_dataset(images, masks, options)
            kept = run is not None
            if run is None:
                run = temporary.enter_context(tempfile.TemporaryDirectory(prefix="samtune-run-"))
            config = RunConfig(str(images), None if masks is None else str(masks), data=dataset.options, train=training)
            with locked(Path(run), "run"):
                cut_off = claim_run(Path(run), config, resume=False)
                stopped = train(training, dataset, Path(run), resume=cut_off).stopped
            if stopped == "interrupted":
                raise KeyboardInterrupt(
                    f"The best model so far is in {run}." if kept else "Nothing is kept, since no `run` was given."
                )
            specialist = cls.load(run, base=training.base, device=training.device)
            weakref.finalize(specialist, temporary.pop_all().close)
            return specialist

    @classmethod
    def load(
        cls,
        path: Paths,
        base: Paths | None = None,
        *,
        batch_size: int = 4,
        device: str | None = None,
        tta: Averaging | None = None,
    ) -> Specialist:
        """Load a specialist.

        Args:
            path: a run folder or its specialist's folder.
            base: where to load the base from; None for the name on the card.
            batch_size: number of images that are encoded together.
            device: "cpu", "cuda", "mps"; None for CUDA where there is one, else the CPU.
            tta: views of an image to average over in prediction and evaluation: "none", "mirror" (twice the time) or
                "d4", all eight flips and quarter turns (eight times); None for the setting on the card.

        Raises:
            WeightsError: the folder is damaged, or the base is not the one it was trained on.
        """
        return cls(Path(path), base, load_predictor(path, base, batch_size=batch_size, device=device, tta=tta))

    def predict(self, images: Images) -> list[np.ndarray]:
        """Segment images.

        Args:
            images: an array, uint8 (H, W, 3) RGB, or a sequence of arrays or files; or a path: a file, a folder or a
                pattern.

        Returns:
            One label map per image, uint8 (H, W) at the image's size: 0 background, 1..K classes. The images of a
            folder are in the order of their sorted paths.

        Raises:
            DataError: a file is missing or not an image.
            ShapeError: an array is not uint8 (H, W, 3).
        """
        return [prediction.labels for prediction in self._predictions(images)]

    def probabilities(self, images: Images) -> list[np.ndarray]:
        """Return the probabilities of the classes at each pixel.

        Args:
            images: as for `predict`.

        Returns:
            One array per image, float32 (K, H, W) in 0..1 at the image's size; with K > 1 they and the background's
            sum to 1.
        """
        return [prediction.probabilities for prediction in self._predictions(images)]

    def evaluate(
        self,
        images: Paths | Sequence[np.ndarray],
        masks: Paths | Sequence[np.ndarray] | None = None,
        *,
        unseen: bool = False,
        protocol: str = "default",
        at: int | None = None,
        options: DataOptions | None = None,
    ) -> Evaluation:
        """Score the specialist on annotated images, next to stock SAM and the probe.

        Args:
            images: as for `fit`.
            masks: as for `fit`.
            unseen: leave out images that the specialist was trained or validated on.
            protocol: set of measures: default, cod, shadow, sod, polyp, skin, leaf, road, trans10k or microscopy.
            at: side in pixels of the square that predictions and masks are squashed to; None for each image's size.
            options: how to read mask files where they are ambiguous.

        Raises:
            DataError: the data cannot be used, the classes differ in number, or no image is left to score.
            ConfigError: `unseen` is set, but the images of training are not known; or `protocol` or `at` is invalid.
        """
        with ExitStack() as temporary:
            images, masks = _as_paths(images, masks, temporary)
            return evaluate(
                self.path,
                open_for(self.card, images, masks, options),
                base=self.base,
                unseen=unseen,
                protocol=protocol,
                at=at,
                batch_size=self.predictor.batch_size,
                device=str(self.predictor.model.device),
                tta=self.predictor.tta,
            )

    def save(self, folder: Paths, *, overwrite: bool = False) -> Path:
        """Copy the specialist (tensors, configuration, model card) to a folder and return it.

        Args:
            folder: created if missing; a specialist that samtune saved there is replaced.
            overwrite: also replace files that samtune did not write or that were changed since.

        Raises:
            WeightsError: the specialist's own folder is missing or damaged.
            OutputError: a file would replace one that samtune did not write, or cannot be written.
        """
        copy_specialist(self.path, folder, overwrite=overwrite)
        return Path(folder)

    def _predictions(self, images: Images) -> Iterator[Prediction]:
        batch: list[np.ndarray] = []
        for image in _arrays(images):
            batch.append(image)
            if len(batch) == self.predictor.batch_size:
                yield from self.predictor.images(batch)
                batch = []
        yield from self.predictor.images(batch)


def open_for(card: AdapterCard, images: Paths, masks: Paths | None, options: DataOptions | None = None) -> Dataset:
    """Open annotated images with the classes and mask values of a specialist, unless `options` are given.

    A data set without any annotated object is accepted.

    Raises:
        DataError: the data cannot be used.
    """
    return open_dataset(images, masks, options or card.values.options(card.class_names), allow_empty=True)


def _arrays(images: Images) -> Iterator[np.ndarray]:
    """Yield the images one by one, reading those that are files."""
    if isinstance(images, np.ndarray) and images.ndim == 3:
        yield images
    elif isinstance(images, str | Path):
        for source in find_images([images]):
            yield read_image(source.file)
    else:
        for image in images:
            yield image if isinstance(image, np.ndarray) else read_image(Path(image))


def _as_paths(
    images: Paths | Sequence[np.ndarray],
    masks: Paths | Sequence[np.ndarray] | None,
    temporary: ExitStack,
) -> tuple[Paths, Paths | None]:
    """Return paths unchanged; write arrays as PNG to a folder that is removed when `temporary` is closed."""
    if isinstance(images, str | Path):
        if masks is not None and not isinstance(masks, str | Path):
            raise ShapeError(
                "Expected images and masks both as paths or both as arrays, got arrays only for the masks."
            )
        return images, masks
    if masks is None or isinstance(masks, str | Path):
        raise ShapeError("Expected images and masks both as paths or both as arrays, got arrays only for the images.")
    if len(images) != len(masks):
        raise ShapeError(f"Expected one mask per image, got {len(images)} images and {len(masks)} masks.")
    root = Path(temporary.enter_context(tempfile.TemporaryDirectory(prefix="samtune-arrays-")))
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        check_image(image)
        _write(root / "images" / f"{number:06d}.png", np.ascontiguousarray(image[..., ::-1]))
        _write(root / "masks" / f"{number:06d}.png", _as_ids(np.asarray(mask), image.shape[:2], number))
    return root / "images", root / "masks"


def _as_ids(mask: np.ndarray, image_hw: tuple[int, ...], number: int) -> np.ndarray:
    """Return a mask array as uint8 ids.

    Raises:
        ShapeError: the shape is not that of the image, the type is neither bool nor integer, or values exceed 0..255.
    """
    if mask.shape != image_hw or mask.dtype.kind not in "biu":
        raise ShapeError(
            f"Expected mask {number} as a bool or integer array of its image's shape {tuple(image_hw)}, got "
            f"{mask.dtype} {mask.shape}."
        )
    if mask.dtype == bool:
        return mask.astype(np.uint8) * np.uint8(255)
    if mask.size and (mask.min() < 0 or mask.max() > 255):
        raise ShapeError(f"Expected values 0..255 in mask {number}, got {mask.min()}..{mask.max()}.")
    return mask.astype(np.uint8)


def _write(file: Path, pixels: np.ndarray) -> None:
    done, coded = cv2.imencode(".png", pixels)
    assert done
    with reported(file.parent, file.name):
        file.write_bytes(coded.tobytes())
