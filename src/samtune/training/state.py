"""All that a run needs to go on after a kill, in one safetensors file that is replaced whole.

    last/state.safetensors    tensors: learned, optimiser moments, running average, best so far; numbers in the header

Random generators are not in it: batches and noise are functions of the seed and the step (`schedule.py`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from samtune.errors import WeightsError
from samtune.files import whole
from samtune.tensor_files import UNREADABLE

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

STATE_FILE = "state.safetensors"


@dataclass
class Progress:
    """The numbers of a run at a step.

    Attributes:
        step: updates done.
        best_score: of the best evaluation so far; -1 before the first.
        best_step: updates done at that evaluation.
        evaluations_without_better: since then.
        steps_without_foreground: updates in a row whose predictions were (almost) all background.
        collapsed: whether that was told.
        stopped_early: whether patience ended the run.
        history_bytes: length of `history.jsonl` at this step.
        best_scores: the scores of the best evaluation.
        parts: that an update is computed in; 0 before that is decided.
    """

    step: int = 0
    best_score: float = -1.0
    best_step: int = 0
    evaluations_without_better: int = 0
    steps_without_foreground: int = 0
    collapsed: bool = False
    stopped_early: bool = False
    history_bytes: int = 0
    best_scores: dict[str, float] = field(default_factory=dict)
    parts: int = 0


def write_state(folder: Path, progress: Progress, groups: dict[str, dict[str, Tensor]]) -> None:
    """Save a checkpoint; a kill at any moment leaves the old one or the new one.

    Args:
        folder: the run's `last/`.
        progress: the numbers.
        groups: tensors by group ("learned", "best", ...) and name.
    """
    folder.mkdir(exist_ok=True)
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous().clone()
        for group, members in groups.items()
        for name, tensor in members.items()
    }
    with whole(folder / STATE_FILE) as partial:
        save_file(tensors, partial, metadata={"progress": json.dumps(asdict(progress))})


def read_state(folder: Path) -> tuple[Progress, dict[str, dict[str, Tensor]]] | None:
    """Read a checkpoint; None where there is none.

    Raises:
        WeightsError: the file is damaged.
    """
    file = folder / STATE_FILE
    if not file.is_file():
        return None
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(file, framework="pt") as stored:
            progress = Progress(**json.loads(stored.metadata()["progress"]))
            for key in stored.keys():  # noqa: SIM118  (safe_open is no mapping)
                group, _, name = key.partition("/")
                # A copy in torch's own memory: what is mapped from a file is not aligned; see `sam.weights.aligned`.
                groups.setdefault(group, {})[name] = stored.get_tensor(key).clone()
    except (*UNREADABLE, TypeError) as error:
        raise WeightsError(
            f"{file} must be a checkpoint of this run, but it cannot be read ({error}); "
            "start the run anew in another folder."
        ) from error
    return progress, groups


def optimiser_tensors(optimiser: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """AdamW's moments and step counts, named `parameter/moment`."""
    state = optimiser.state_dict()["state"]
    return {
        f"{names[index]}|{key}": torch.as_tensor(value)
        for index, values in state.items()
        for key, value in values.items()
    }


def put_optimiser_tensors(optimiser: torch.optim.Optimizer, names: list[str], tensors: dict[str, Tensor]) -> None:
    """Load what `optimiser_tensors` gave."""
    whole: dict[str, Any] = optimiser.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, moment = key.partition("|")
        state.setdefault(names.index(name), {})[moment] = tensor
    whole["state"] = state
    optimiser.load_state_dict(whole)
