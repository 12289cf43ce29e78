"""Reader of checkpoints that `torch.save` wrote; runs no pickled code."""

from __future__ import annotations

import pickletools
import re
import zipfile
from typing import TYPE_CHECKING, Any

import torch

from samtune.errors import WeightsError
from samtune.inputs import check_regular
from samtune.printable import one_line, shown

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

MAX_PICKLE_BYTES = 16 * 2**20
"""Size limit of a checkpoint's table of contents (`data.pkl`); that of SAM ViT-H has some 100 kB."""

_GLOBALS = re.compile(
    r"torch\._utils _rebuild_(tensor_v2|parameter)|collections OrderedDict|torch (Float|Half|BFloat16|Double)Storage"
)
"""The globals that the table of contents of a plain state dict may name."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read a state dict, memory-mapped.

    Args:
        path: a `.pth` file as `torch.save` writes it since torch 1.6.

    Raises:
        WeightsError: it is not a regular file, cannot be read safely, is not a plain state dict, or a tensor is larger
            than the file.
    """
    name = one_line(str(path))
    size = check_regular(path, WeightsError)
    try:
        _check_archive(path, size)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (ImportError, NameError):  # a fault of the installation
        raise
    except Exception as error:  # for damaged bytes torch's unpickler raises many kinds, AttributeError among them
        reason = one_line(str(error)) if isinstance(error, _UnsafeError) else type(error).__name__
        raise WeightsError(
            f"Expected an original SAM checkpoint (a plain state dict) that can be read safely in {name}, got another "
            f"file ({reason}); download it again."
        ) from error
    if not isinstance(state, dict):
        raise WeightsError(f"Expected a plain state dict of tensors in {name}, got {type(state).__name__}.")
    strangers = sorted(str(key) for key, value in state.items() if not isinstance(value, torch.Tensor))
    if strangers:
        raise WeightsError(
            f"Expected a plain state dict of tensors in {name}, got something else under "
            f"{one_line(', '.join(strangers[:3]))}; unwrap a fine-tuned or wrapped state dict first."
        )
    for key, tensor in state.items():
        _check_tensor(key, tensor, size, name)
    return state


class _UnsafeError(Exception):
    """The reason why a checkpoint is unsafe to read."""


def _check_archive(path: Path, size: int) -> None:
    """Raise `_UnsafeError` for an archive that would unpack to more than its size, or a pickle with other globals."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise _UnsafeError("it is compressed")
        if sum(entry.file_size for entry in entries) > size:
            raise _UnsafeError("its parts overlap")
        tables = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(tables) != 1 or tables[0].file_size > MAX_PICKLE_BYTES:
            raise _UnsafeError(f"it has no table of contents of up to {MAX_PICKLE_BYTES:,} bytes")
        for opcode, argument, _ in pickletools.genops(archive.read(tables[0])):
            if opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4") or (
                opcode.name == "GLOBAL" and not _GLOBALS.fullmatch(str(argument))
            ):
                raise _UnsafeError(f"it names {shown(argument)}, which is not part of a state dict")


def _check_tensor(key: Any, tensor: Tensor, size: int, name: str) -> None:
    """Raise `WeightsError` for anything but a dense tensor of floats that is no larger than the file."""
    if not isinstance(key, str):
        raise WeightsError(f"Expected names of tensors in {name}, got {shown(key)}.")
    dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if not dense or tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise WeightsError(
            f"Expected a dense tensor of float16, bfloat16, float32 or float64 as {one_line(key)} in {name}, got "
            f"{tensor.dtype}, {tensor.layout}, on {tensor.device}; download it again."
        )
    if tensor.numel() * tensor.element_size() > size:
        raise WeightsError(
            f"Expected {one_line(key)} to fit in the {size:,} bytes of {name}, got the shape {tuple(tensor.shape)}; "
            "download it again."
        )
