"""Checkpoint of a run: one safetensors file, replaced atomically.

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
    """Numbers of a run after a step.

    Attributes:
        step: number of updates done.
        best_score: score of the best evaluation so far; -1 before the first.
        best_step: updates done at that evaluation.
        evaluations_without_better: number of evaluations since then.
        steps_without_foreground: number of updates in a row that predicted (almost) only background.
        collapsed: whether a collapse was reported.
        stopped_early: whether patience ended the run.
        history_bytes: length of `history.jsonl` at this step.
        history_crc: CRC-32 of that much of it; None in checkpoints of earlier versions.
        unscored: row of this step where its evaluation was interrupted; not in the history's file yet.
        best_scores: scores of the best evaluation.
        parts: number of micro-batches of an update; 0 before it is decided.
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
        progress: numbers of the run.
        groups: tensors by group ("learned", "optimiser", "average" and "best") and name.
        settings: settings of the run, as JSON values; empty in checkpoints of earlier versions.
    """

    progress: Progress
    groups: dict[str, dict[str, Tensor]]
    settings: dict[str, Any] = field(default_factory=dict)


def write_state(folder: Path, state: State) -> None:
    """Save a checkpoint; a kill at any moment leaves the old one or the new one.

    Args:
        folder: folder `last/` of the run.
        state: checkpoint.
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
    """Return the checkpoint in a folder; None if there is none.

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
    """Refuse to continue a checkpoint with other settings; the time between checkpoints may differ.

    Raises:
        ConfigError: settings differ; the message names each with both values.
    """
    keys = sorted((stored.keys() & now.keys()) - {"checkpoint_every_s"})
    differing = [f"{key} was {stored[key]!r} and is {now[key]!r}" for key in keys if stored[key] != now[key]]
    if differing:
        raise ConfigError(
            f"The run in {run} was started with other settings: {'; '.join(differing)}. Resume it with its own "
            "settings, or train in a new folder."
        )


def _checksum(tensors: dict[str, Tensor]) -> int:
    """Return the CRC-32 of all tensors in the order of their names."""
    crc = 0
    for key in sorted(tensors):
        crc = zlib.crc32(key.encode(), crc)
        crc = zlib.crc32(tensors[key].reshape(-1).view(torch.uint8).numpy().data, crc)
    return crc


def optimiser_tensors(optimiser: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """Return AdamW's moments and step counts, named `parameter|moment`.

    Args:
        optimiser: AdamW.
        names: names of its parameters, in the order of its groups.
    """
    state = optimiser.state_dict()["state"]
    return {
        f"{names[index]}|{key}": torch.as_tensor(value)
        for index, values in state.items()
        for key, value in values.items()
    }


def put_optimiser_tensors(optimiser: torch.optim.Optimizer, names: list[str], tensors: dict[str, Tensor]) -> None:
    """Load what `optimiser_tensors` returned.

    Raises:
        ValueError: a tensor belongs to an unknown parameter.
    """
    content: dict[str, Any] = optimiser.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, moment = key.partition("|")
        state.setdefault(names.index(name), {})[moment] = tensor
    content["state"] = state
    optimiser.load_state_dict(content)
