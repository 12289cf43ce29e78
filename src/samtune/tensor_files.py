"""Reading of safetensors files of unknown origin, with names, shapes and dtypes checked before any content is read."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from samtune.inputs import check_regular
from samtune.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from samtune.errors import SamTuneError

UNREADABLE = (SafetensorError, OSError, ValueError, KeyError, RuntimeError)
"""Exceptions that safetensors raises for a file that is missing, broken or of an unknown dtype. Any other, such as
`ImportError`, is a fault of the installation or of samtune, and is not caught."""

MAX_HEADER_BYTES = 16 * 2**20
"""Size of the largest header that is read: about 100,000 tensors; SAM has some 600."""

FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
"""Name in safetensors -> name in torch of the data types of weights."""

DTYPES = FLOATS | {"BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64"}
"""The same for all data types of a module, including its counters."""

MAPPED_BYTES = 2**25
"""Number of bytes of a file that are mapped at a time; a larger tensor is mapped alone."""


@dataclass(frozen=True)
class TensorHeader:
    """Entry of one tensor in a file's header.

    Attributes:
        dtype: torch's name ("float32"), or the file's where no module has such tensors ("F8_E4M3").
        shape: sizes of the axes.
    """

    dtype: str
    shape: tuple[int, ...]


def read_headers(file: Path, error: type[SamTuneError]) -> dict[str, TensorHeader]:
    """Return names, dtypes and shapes of a safetensors file; only its header is read.

    Args:
        file: a regular file.
        error: the exception class to raise.

    Raises:
        SamTuneError: as `error`; it is no regular file, or no safetensors file whose header and size agree.
    """
    name, size = one_line(str(file)), check_regular(file, error)
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
        raise error(f"{name} is not a readable safetensors file (no header in its {size:,} bytes); copy it again.")
    try:
        with safe_open(file, framework="pt") as tensors:
            slices = {key: tensors.get_slice(key) for key in tensors.keys()}  # noqa: SIM118, it is no mapping
            return {
                key: TensorHeader(DTYPES.get(part.get_dtype(), part.get_dtype()), tuple(part.get_shape()))
                for key, part in slices.items()
            }
    except UNREADABLE as reason:
        why = one_line(str(reason))
        raise error(f"{name} is not a readable safetensors file ({why}); copy it again.") from reason


def check_floats(headers: Mapping[str, TensorHeader], where: str, error: type[SamTuneError]) -> None:
    """Check that all tensors are floating point of 16 bit or more; others would silently be converted to other weights.

    Raises:
        SamTuneError: as `error`; names the first such tensor and its type.
    """
    for key, header in headers.items():
        if header.dtype not in FLOATS.values():
            kinds = ", ".join(FLOATS.values())
            raise error(
                f"Expected {one_line(key)} in {one_line(where)} to be one of {kinds}, got {header.dtype}; use the "
                "weights as they were published."
            )


def tensors_of(file: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield name and tensor, memory-mapped, for each tensor of a file whose headers were checked.

    The file is mapped anew after every `MAPPED_BYTES`, which releases the pages that were read, so that a caller who
    copies each tensor does not hold the file in memory twice.
    """
    with safe_open(file, framework="pt") as tensors:
        keys = deque(tensors.keys())
    while keys:
        with safe_open(file, framework="pt") as tensors:
            num_bytes = 0
            while keys and num_bytes < MAPPED_BYTES:
                key = keys.popleft()
                tensor = tensors.get_tensor(key)
                num_bytes += tensor.nbytes
                yield key, tensor


def check_finite(key: str, tensor: Tensor, where: str, error: type[SamTuneError]) -> None:
    """Check that a tensor has no NaN or infinite value.

    Raises:
        SamTuneError: as `error`; names the number of values that are not finite.
    """
    finite = tensor.isfinite()
    if not bool(finite.all()):
        count = int((~finite).sum())
        raise error(
            f"Expected finite values in {one_line(key)} of {one_line(where)}, got {count:,} NaN or infinite of "
            f"{tensor.numel():,}; the training that wrote them diverged, or the file is damaged."
        )
