"""Tensors of a checkpoint: reading from safetensors, checking against an architecture, digest, loading into a model."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

from samtune.errors import WeightsError
from samtune.printable import one_line
from samtune.tensor_files import check_floats, read_headers, tensors_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from samtune.tensor_files import TensorHeader


def aligned(tensor: Tensor) -> Tensor:
    """Copy a tensor, as contiguous float32, to memory that torch allocates, at a multiple of 64 bytes.

    A tensor that is memory-mapped starts wherever the file's header ends. On some processors this selects other vector
    instructions, and results would depend, in the last bits, on the file format of the weights.
    """
    return torch.empty(tensor.shape, dtype=torch.float32).copy_(tensor)


def digest(state: Mapping[str, Tensor], aliases: Iterable[str] = ()) -> str:
    """Return the SHA-256 of a state dict: names, shapes and float32 values, in order of names.

    The digest does not depend on the file format of the weights.

    Args:
        state: tensors by name.
        aliases: names of tensors that repeat another one, which are left out.

    Returns:
        64 hexadecimal digits.
    """
    sha = hashlib.sha256()
    for key in sorted(set(state) - set(aliases)):
        tensor = state[key].detach().to("cpu", torch.float32).contiguous()
        sha.update(f"{key} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.numpy())  # type: ignore[arg-type]
    return sha.hexdigest()


def check_shapes(
    model: nn.Module, shapes: Mapping[str, tuple[int, ...]], aliases: Mapping[str, str], where: str
) -> None:
    """Check that a checkpoint holds every tensor of an architecture, each of the right shape, and no other.

    Args:
        model: on the meta device.
        shapes: of the checkpoint's tensors, by the model's names.
        aliases: name -> the name that it repeats; a checkpoint needs one of the two.
        where: names the checkpoint in messages.

    Raises:
        WeightsError: tensors are missing, unknown or of another shape; the message counts them and names the first.
    """
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    implied = {other for one, other in _both_ways(aliases) if one in shapes}
    missing, extra = sorted(set(expected) - set(shapes) - implied), sorted(set(shapes) - set(expected))
    wrong = [key for key in sorted(set(expected) & set(shapes)) if expected[key] != shapes[key]]
    if missing or extra or wrong:
        counts = [f"{len(keys)} {what} (first: {one_line(keys[0])})" for keys, what in
                  ((missing, "missing"), (extra, "unknown"), (wrong, "of another shape")) if keys]  # fmt: skip
        raise WeightsError(
            f"Expected exactly the tensors of its architecture in {one_line(where)}, got {', '.join(counts)}; it is "
            "another architecture or an incomplete file, so download it again."
        )


def read_safetensors(folder: Path, model: nn.Module, aliases: Mapping[str, str], where: str) -> dict[str, Tensor]:
    """Check the headers of a folder's weight files against the architecture, and read the tensors (`aligned`).

    Args:
        folder: holds model.safetensors, or its shards.
        model: the architecture, on the meta device.
        aliases: as for `check_shapes`.
        where: names the checkpoint in messages.

    Raises:
        WeightsError: there are no weights, a file is damaged, or the tensors are not those of the architecture.
    """
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise WeightsError(
            f"No model.safetensors in {folder}, the folder of {where}. samtune does not read pickled weights "
            "(pytorch_model.bin); convert them with transformers' save_pretrained."
        )
    headers: dict[str, TensorHeader] = {}
    for file in files:
        own = read_headers(file, WeightsError)
        check_floats(own, str(file), WeightsError)
        if twice := sorted(headers.keys() & own.keys()):
            raise WeightsError(
                f"Expected each tensor of {one_line(where)} in one file, but {one_line(twice[0])} is in "
                f"{one_line(file.name)} and in another; remove the files that do not belong to the base."
            )
        headers |= own
    check_shapes(model, {key: header.shape for key, header in headers.items()}, aliases, where)
    return {key: aligned(tensor) for file in files for key, tensor in tensors_of(file)}


def fill(model: nn.Module, state: dict[str, Tensor], aliases: Mapping[str, str]) -> None:
    """Load tensors, whose shapes were checked, into a model on the meta device; adds missing aliases to `state`."""
    for one, other in _both_ways(aliases):
        if one in state and other not in state:
            state[other] = state[one]
    model.load_state_dict(state, assign=True)


def _both_ways(aliases: Mapping[str, str]) -> list[tuple[str, str]]:
    return [pair for alias, name in aliases.items() for pair in ((name, alias), (alias, name))]
