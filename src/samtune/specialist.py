"""`Specialist`: training, prediction and evaluation in Python, from arrays or paths to arrays.

specialist = Specialist.fit("images", "masks")
masks = specialist.predict("new_images")
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import fields as fields_of
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtune.adapters import copy_specialist
from samtune.config import RunConfig, claim_run
from samtune.data import DataOptions, open_dataset
from samtune.data.in_memory import as_paths
from samtune.errors import ConfigError
from samtune.notebook import html_card, one_line_repr
from samtune.predict import Predictor, evaluate, load_predictor
from samtune.predict.inputs import each_image
from samtune.printable import shown
from samtune.progress import say, showing
from samtune.run_folder import run_of
from samtune.tasks import find_task
from samtune.training import TrainSettings, locked, train

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from PIL import Image

    from samtune.adapters import AdapterCard
    from samtune.data import Dataset
    from samtune.predict import Evaluation
    from samtune.progress import Progress
    from samtune.types import Averaging, Prediction

    Paths = str | Path
    Picture = Paths | np.ndarray | Image.Image
    Images = Picture | Iterable[Picture]
    Listed = np.ndarray | Sequence[Picture]

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
        self._noted: set[str] = set()

    def __repr__(self) -> str:
        """Return one line: method, base, classes, training images, and the score on the validation images."""
        return one_line_repr("Specialist", self._facts())

    def _repr_html_(self) -> str:
        """Return HTML for notebooks: the same, and all scores on the validation images."""
        metrics = self.card.metrics
        header = ("measure", "on the validation images") if metrics else ()
        return html_card("Specialist", self._facts(), header=header, rows=metrics.items())

    def _facts(self) -> dict[str, object]:
        card = self.card
        facts: dict[str, object] = {
            "method": card.method,
            "base": card.base,
            "classes": list(card.class_names),
            "images": card.num_images,
        }
        key = find_task(card.task).headline.key
        return facts | ({key: card.metrics[key]} if key in card.metrics else {})

    @property
    def history(self) -> dict[str, list[Any]]:
        """Course of the training, as columns of equal length with one value per update.

        "step" counts from 1; "loss", "learning_rate" and "gradient_norm" are floats; "val_..." are scores on the
        validation images, None at updates without an evaluation. Empty for a specialist that was loaded without its
        run.

        Raises:
            DataError: the record in the run folder is damaged.
        """
        run = run_of(self.path)
        rows = [] if run is None else run.read_history()
        return {name: [row.get(name) for row in rows] for name in dict.fromkeys(key for row in rows for key in row)}

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
        images: Paths | Listed,
        masks: Paths | Listed | None = None,
        method: str = "ptsam",
        *,
        class_names: Sequence[str] | None = None,
        options: DataOptions | None = None,
        run: Paths | None = None,
        progress: Progress | bool = True,
        **settings: Any,
    ) -> Specialist:
        """Train a specialist.

        Args:
            images: a folder or a manifest; a list of files, PIL images, and arrays as for `predict`, of any sizes; or
                an array (N, H, W, C).
            masks: a folder; or one mask per image: a file, a PIL image, or an array (H, W), bool, or integers with 0
                for background, 1..K for classes and 255 for ignored; or an array (N, H, W). None where `images` names
                the masks too, as a manifest does.
            method: key of `samtune.METHODS`.
            class_names: K names in the order of the ids; None for those in `options` or in the files.
            options: how to read mask files where they are ambiguous.
            run: run folder, new or empty; None for a temporary one, which is removed with the specialist.
            progress: True shows notes and progress on stderr, False nothing; or an object with the methods of
                `samtune.progress.Progress`, which receives them.
            settings: fields of `TrainSettings` (`base`, `shots`, `seed`, `val`, `side`, `updates`, ...); any other
                name is a hyper-parameter of the method (`rank=4`).

        Raises:
            DataError: the data cannot be used; all problems are reported together.
            ConfigError: a setting or hyper-parameter is unknown or out of range, class names are given twice, or `run`
                holds files.
            ShapeError: an array has a wrong shape or type, or an argument is neither a path nor a list.
            WeightsError: the base cannot be loaded.
            KeyboardInterrupt: Ctrl-C or SIGTERM. If `run` is given, it keeps the best model so far, which `load` loads
                and `samtune train --out RUN --resume` continues from.
        """
        training = _settings(method, settings)
        options = _named(options, class_names)
        with ExitStack() as temporary, showing(progress):
            images, masks = as_paths(images, masks, temporary)
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

    def predict(self, images: Images, *, progress: Progress | bool = True) -> list[np.ndarray]:
        """Segment images.

        Args:
            images: one image or several. A path: a file, a folder or a pattern. An array, (H, W), (H, W, 1) or
                (H, W, 3) RGB; a fourth channel is dropped. uint8 is used as it is and True is 255; samples of any
                other integer or floating-point type are scaled per image, as those of files are: percentile 0.5 of
                the image becomes 0 and percentile 99.5 becomes 255, whatever the range. A PIL image, turned upright.
                A list or another iterable of files, arrays and PIL images; or an array (N, H, W, C).
            progress: as for `fit`. What reading changed is reported once per specialist.

        Returns:
            One label map per image, uint8 (H, W) at the image's size: 0 background, 1..K classes. The images of a
            folder are in the order of their sorted paths.

        Raises:
            DataError: a path does not exist or is not an image, or an array has NaN or infinite values.
            ShapeError: an array has another shape or type, or an image is of another type.
        """
        with showing(progress):
            return [prediction.labels for prediction in self._predictions(images)]

    def probabilities(self, images: Images, *, progress: Progress | bool = True) -> list[np.ndarray]:
        """Return the probabilities of the classes at each pixel.

        Args:
            images: as for `predict`.
            progress: as for `predict`.

        Returns:
            One array per image, float32 (K, H, W) in 0..1 at the image's size; with K > 1 they and the background's
            sum to 1.

        Raises:
            DataError: as for `predict`.
            ShapeError: as for `predict`.
        """
        with showing(progress):
            return [prediction.probabilities for prediction in self._predictions(images)]

    def evaluate(
        self,
        images: Paths | Listed,
        masks: Paths | Listed | None = None,
        *,
        unseen: bool = False,
        protocol: str = "default",
        at: int | None = None,
        options: DataOptions | None = None,
        progress: Progress | bool = True,
    ) -> Evaluation:
        """Score the specialist on annotated images, next to stock SAM and the probe.

        Args:
            images: as for `fit`.
            masks: as for `fit`.
            unseen: leave out images that the specialist was trained or validated on.
            protocol: set of measures: default, cod, shadow, sod, polyp, skin, leaf, road, trans10k or microscopy.
            at: side in pixels of the square that predictions and masks are squashed to; None for each image's size.
            options: how to read mask files where they are ambiguous.
            progress: as for `fit`.

        Raises:
            DataError: the data cannot be used, the classes differ in number, or no image is left to score.
            ConfigError: `unseen` is set, but the images of training are not known; or `protocol` or `at` is invalid.
            ShapeError: as for `fit`.
        """
        with ExitStack() as temporary, showing(progress):
            images, masks = as_paths(images, masks, temporary)
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
        for image, clauses in each_image(images):
            for clause in clauses:
                if clause not in self._noted:
                    self._noted.add(clause)
                    say(f"Images {clause}.")
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


def _settings(method: str, values: dict[str, Any]) -> TrainSettings:
    """Return the settings of a training; names that are no settings are hyper-parameters of the method."""
    own = {key: value for key, value in values.items() if key in _SETTINGS}
    extra = {key: value for key, value in values.items() if key not in _SETTINGS}
    fields = own.pop("method_fields", {})
    if not isinstance(fields, dict):
        raise ConfigError(f"Expected `method_fields` to be a table of names and values, got {shown(fields)}.")
    return TrainSettings(method=method, method_fields=fields | extra, **own)


def _named(options: DataOptions | None, class_names: Sequence[str] | None) -> DataOptions | None:
    """Return the options with these class names.

    Raises:
        ConfigError: the names are invalid, or `options` has names too.
    """
    if class_names is None:
        return options
    if options is not None and options.class_names is not None:
        raise ConfigError("Expected class names once, got `class_names` and `options.class_names`; leave one out.")
    is_list = isinstance(class_names, Iterable) and not isinstance(class_names, str)
    names: Any = tuple(class_names) if is_list else class_names  # anything else is refused by `DataOptions`
    return replace(options or DataOptions(), class_names=names)
