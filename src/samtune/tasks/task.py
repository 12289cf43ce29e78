"""Protocol of a task, and the table of tasks: the only module besides a task's own file that knows its name.

A package outside adds a task by the entry points `samtune.tasks` instead (`samtune/plugins.py`).

annotation --label_maps, targets--> loss <--logits-- model --decide, answer--> answer --scores, evaluation--> metrics

An annotation and the labels of an answer have the same form, integers (H, W): label maps for areas, ids for a task that
separates objects. Of the model a task knows nothing but its M maps of logits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from samtune.errors import ConfigError
from samtune.plugins import Table, instance_of
from samtune.printable import shown
from samtune.tasks.areas import Areas
from samtune.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from samtune.data import Dataset, MaskValues
    from samtune.metrics import EvaluationProtocol, Headline, ProtocolScores
    from samtune.types import Prediction

    Labels = NDArray[np.integer[Any]]


class TaskScores(Protocol):
    """Accumulator of a task's scores, image by image; it keeps numbers and never a label map."""

    def add(self, name: str, predicted: Labels, annotation: Labels) -> None:
        """Score one image.

        Args:
            name: of the image; each is scored once.
            predicted: (H, W) as `Task.decide` returns it.
            annotation: (H, W) as `Task.annotation` returns it.
        """

    def merged(self, others: Iterable[Self]) -> Self:
        """Return the scores of all images of this accumulator and of others, such as those of other processes."""

    def summary(self) -> dict[str, float]:
        """Return the means that a run's history and a specialist's card keep, the headline's key among them."""

    def to_dict(self) -> dict[str, Any]:
        """Return every score of the set as plain JSON values, the headline's key among them."""

    def per_image(self) -> dict[str, float]:
        """Return image name -> headline metric."""


class Task(Protocol):
    """What is to be predicted: targets from annotations, a loss, answers from logits, and scores of answers.

    A task has no state: one object serves all threads and processes.
    """

    name: ClassVar[str]
    """Key in the table, on the command line and in the adapter card."""
    headline: ClassVar[Headline]
    """Metric that selects the checkpoint and ranks rows."""
    columns: ClassVar[tuple[str, ...]]
    """Keys of `TaskScores.to_dict` in tables of a comparison."""
    protocols: ClassVar[Mapping[str, EvaluationProtocol]]
    """Evaluation protocols by name; "default" among them."""

    def num_maps(self, num_classes: int) -> int:
        """Return M, the number of maps of logits that a method gives for K classes."""

    def annotation(self, dataset: Dataset, index: int) -> Labels:
        """Read the annotation of an image.

        Returns:
            uint8 or int32 (H, W), 0 background; pixels that count nowhere are 255 in uint8 and -1 in int32. It is
            augmented and resized like a label map, by the nearest pixel.
        """

    def label_maps(self, annotations: Tensor) -> Tensor:
        """Return what methods learn from that start from the data or bring a loss of their own, and baselines.

        Args:
            annotations: integers (B, H, W).

        Returns:
            uint8 (B, H, W): 0 background, 1..M, 255 counts nowhere.
        """

    def targets(self, annotations: Tensor, size_hw: tuple[int, int] | None) -> Tensor:
        """Return what `loss` compares logits with.

        Args:
            annotations: integers (B, S, S), on the device of the logits.
            size_hw: size of the logits, where the loss works at it; None for the annotations' own size.

        Returns:
            (B, ...): of any further shape and type.
        """

    def loss_name(self, name: str, num_classes: int) -> str:
        """Return the name of the loss that a recipe or a setting asks for, "auto" decided.

        Args:
            name: "auto", or a name that this task knows.
            num_classes: K.

        Raises:
            ConfigError: the task has no such loss, or none for so many classes.
        """

    def loss(self, logits: Tensor, targets: Tensor, name: str) -> Tensor:
        """Return the loss of a batch.

        Args:
            logits: (B, M, h, w) at the decoder's resolution.
            targets: of the same images, as `targets` returned them.
            name: as `loss_name` returned it.

        Returns:
            A scalar, the mean over images.
        """

    def shares(self, logits: Tensor, annotations: Tensor) -> tuple[Tensor, Tensor]:
        """Return the predicted and the annotated share of foreground in a batch: scalars in 0..1.

        Training warns where the first stays near 0 while the second does not.

        Args:
            logits: (B, M, h, w) without a gradient.
            annotations: integers (B, S, S).
        """

    def decide(self, logits: Tensor, threshold: float) -> Labels:
        """Return the labels of one image's answer.

        Args:
            logits: (M, H, W), at any resolution.
            threshold: probability above which a pixel is foreground, where the task has one.

        Returns:
            Integers (H, W), of the form of an annotation; 0 background, no pixel is ignored.
        """

    def answer(self, logits: Tensor, threshold: float) -> Prediction:
        """Return the labels of `decide` and the probabilities (M, H, W) of one image; arguments as there."""

    def mask_suffix(self, values: MaskValues) -> str:
        """Return the ending of the files that `mask_pixels` fit into.

        Args:
            values: of background and classes in the masks of training.
        """

    def mask_pixels(self, labels: Labels, values: MaskValues) -> NDArray[np.unsignedinteger[Any]]:
        """Return the pixels of the mask file that a prediction is written to: grey (H, W) or RGB (H, W, 3).

        Args:
            labels: as `decide` returned them.
            values: of background and classes in the masks of training.
        """

    def scores(self, class_names: tuple[str, ...]) -> TaskScores:
        """Return an empty accumulator for validation and comparison."""

    def evaluation(
        self, protocol: EvaluationProtocol, class_names: tuple[str, ...], spacing_yx: tuple[float, float]
    ) -> ProtocolScores:
        """Return an empty accumulator for an evaluation protocol of this task.

        Args:
            protocol: one of `protocols`.
            class_names: K names.
            spacing_yx: height and width of a pixel, for distances.

        Raises:
            ConfigError: the protocol does not fit the number of classes.
        """


DEFAULT_TASK = Areas.name


def _as_task(value: Any) -> Task:
    """Return a task, made from its class if it comes as one.

    Raises:
        ConfigError: members are missing.
    """
    task: Task = instance_of(Task, value)
    return task


TASKS: Table[Task] = Table("task", "samtune.tasks", (Areas(),), _as_task)
"""Every task by its name; installed packages add more."""


def register_task(task: Task) -> None:
    """Add a row to the table.

    Raises:
        ConfigError: the table has a task of this name.
    """
    TASKS.register(task)


def find_task(name: str) -> Task:
    """Return a task by its name.

    Raises:
        ConfigError: there is no such task; the nearest name is suggested, or the group of entry points named.
    """
    if name not in TASKS:
        near = did_you_mean(name, TASKS) or f"; {TASKS.absence(name)}"
        raise ConfigError(f"Expected `task` to be one of {', '.join(TASKS)}, got {shown(name)}{near}.")
    return TASKS[name]
