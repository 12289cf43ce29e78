"""samtune: turn a Segment Anything model into a specialist, from a few annotated images and few trained numbers.

    from samtune import Specialist
    specialist = Specialist.fit("images", "masks")

The names below are imported when first used, so that `samtune --help` need not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samtune.bases import Base, load_base
    from samtune.data import DataOptions, Dataset, open_dataset, read_image
    from samtune.errors import (
        ConfigError,
        DataError,
        MethodError,
        OutputError,
        SamTuneError,
        ShapeError,
        WeightsError,
    )
    from samtune.methods import METHODS, make_method
    from samtune.specialist import Specialist

__version__ = version("samtune")

__all__ = [
    "METHODS",
    "Base",
    "ConfigError",
    "DataError",
    "DataOptions",
    "Dataset",
    "MethodError",
    "OutputError",
    "SamTuneError",
    "ShapeError",
    "Specialist",
    "WeightsError",
    "load_base",
    "make_method",
    "open_dataset",
    "read_image",
]

_HOMES = {
    "METHODS": "samtune.methods",
    "make_method": "samtune.methods",
    "Base": "samtune.bases",
    "load_base": "samtune.bases",
    "DataOptions": "samtune.data",
    "Dataset": "samtune.data",
    "Specialist": "samtune.specialist",
    "open_dataset": "samtune.data",
    "read_image": "samtune.data",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'samtune' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "samtune.errors")), name)
