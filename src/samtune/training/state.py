"""All that a run needs to go on after a kill, in one safetensors file that is replaced whole.

    last/state.safetensors    tensors: learned, optimiser moments, running average, best so far; numbers in the header

Random generators are not in it: batches and noise are functions of the seed and the step (`schedule.py`).
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from samtune.errors import ConfigError, WeightsError
from samtune.files import make_folder, whole
from samtune.run_folder import STATE_FILE
from samtune.tensor_files import UNREADABLE

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


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
        history_crc: CRC-32 of that much of it; None in checkpoints of earlier versions.
        unscored: the history's row of this step where its evaluation was interrupted; it is not in the file yet.
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
    history_crc: int | None = None
    unscored: dict[str, Any] | None = None
    best_scores: dict[str, float] = field(default_factory=dict)
    parts: int = 0


@dataclass(frozen=True)
class State:
    """A checkpoint.

    Attributes:
        progress: the numbers.
        groups: tensors by group ("learned", "best", ...) and name.
        settings: of the run, as plain JSON values; empty in checkpoints of earlier versions.
    """

    progress: Progress
    groups: dict[str, dict[str, Tensor]]
    settings: dict[str, Any] = field(default_factory=dict)


def write_state(folder: Path, state: State) -> None:
    """Save a checkpoint; a kill at any moment leaves the old one or the new one.

    Args:
        folder: the run's `last/`.
        state: what is saved.
    """
    make_folder(folder)
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous().clone()
        for group, members in state.groups.items()
        for name, tensor in members.items()
    }
    metadata = {
        "progress": json.dumps(asdict(state.progress)),
        "settings": json.dumps(state.settings),
        "checksum": str(_checksum(tensors)),
    }
    with whole(folder / STATE_FILE) as partial:
        save_file(tensors, partial, metadata=metadata)


def read_state(folder: Path) -> State | None:
    """Read a checkpoint; None where there is none.

    Raises:
        WeightsError: the file is damaged.
    """
    file = folder / STATE_FILE
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata()
            # A copy in torch's own memory: what is mapped from a file is not aligned; see `bases.weights.aligned`.
            tensors = {key: stored.get_tensor(key).clone() for key in stored.keys()}  # noqa: SIM118
        progress = Progress(**json.loads(metadata["progress"]))
        settings = json.loads(metadata.get("settings", "{}"))
        if metadata.get("checksum", str(_checksum(tensors))) != str(_checksum(tensors)):
            raise ValueError("its checksum differs")
    except (*UNREADABLE, TypeError) as error:
        raise WeightsError(
            f"The checkpoint {file} is damaged ({error}); delete {folder} to start this run from its first update."
        ) from error
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = tensor
    return State(progress, groups, settings)


def check_settings(stored: dict[str, Any], now: dict[str, Any], run: Path) -> None:
    """Refuse to continue a checkpoint with other settings; how often one is written may change.

    Raises:
        ConfigError: names each setting with both values.
    """
    keys = sorted((stored.keys() & now.keys()) - {"checkpoint_every_s"})
    differing = [f"{key} was {stored[key]!r} and is {now[key]!r}" for key in keys if stored[key] != now[key]]
    if differing:
        raise ConfigError(
            f"The run in {run} was started with other settings: {'; '.join(differing)}. Resume it with the settings "
            "it has, or train in a new folder."
        )


def _checksum(tensors: dict[str, Tensor]) -> int:
    """CRC-32 of all tensors, in the order of their names."""
    crc = 0
    for key in sorted(tensors):
        crc = zlib.crc32(key.encode(), crc)
        crc = zlib.crc32(tensors[key].reshape(-1).view(torch.uint8).numpy().data, crc)
    return crc


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
