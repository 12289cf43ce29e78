"""Loader of bases: a name -> a `Base`.

A name is a hub id, a local folder in transformers' format, an original checkpoint (`.pth`) or `nano`, the embedded
base. Weights are read from safetensors, or with `torch.load(weights_only=True)` from original checkpoints, so that no
pickled code runs. A missing or an extra tensor is an error.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from samtune.bases.checkpoints import read_checkpoint
from samtune.bases.families import FAMILIES, published
from samtune.bases.precision import choose_precision
from samtune.bases.weights import aligned, check_shapes, digest, fill, read_safetensors
from samtune.errors import WeightsError
from samtune.inputs import read_json
from samtune.printable import one_line, shown
from samtune.progress import say
from samtune.tensor_files import check_finite

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from samtune.bases.base import Base
    from samtune.bases.families import Family
    from samtune.types import Precision

EMBEDDED = "nano"
"""Name of the base that comes with the package."""

ORIGINAL_SUFFIX = ".pth"
"""Suffix of checkpoints in their authors' own format."""

MAX_CONFIG_BYTES = 2**20
"""Size limit of a `config.json`; Meta's have some 6 kB."""

HUB_ID = r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}"
"""Regular expression of a hub id: an owner and a name."""


def load_base(
    name: str | Path,
    image_size: int | None = None,
    *,
    device: torch.device | str | None = None,
    precision: Precision | None = None,
) -> Base:
    """Load a base, frozen, with its weights in float32.

    Args:
        name: a hub id (`facebook/sam-vit-base`, `-large`, `-huge`), a local folder in transformers' format, an original
            Meta `.pth` file, or `nano`, the embedded base.
        image_size: in pixels, a multiple of the patch; None for the size of the checkpoint.
        device: to put it on; None for the CPU.
        precision: sets `encoder_dtype`, see `choose_precision`; None for float32.

    Raises:
        WeightsError: the checkpoint is missing, damaged, or of an unknown family.
        ConfigError: the image size does not fit, or `precision` is unknown.
    """
    state, family, library = _read(name)
    for key, tensor in state.items():
        check_finite(key, tensor, str(name), WeightsError)
    fill(library, state, family.aliases)
    sha256 = digest(state, family.aliases)
    base = family.wrap(library, name=str(name), sha256=sha256, image_size=image_size).requires_grad_(False)
    if device is not None:
        base = base.to(device)
    if precision is not None:
        base.encoder_dtype = choose_precision(precision, base.device, base.width)
    return base


def build(name: str | Path, image_size: int | None = None) -> Base:
    """Build a base on the meta device, without weights; published sizes need no network.

    Args:
        name: as for `load_base`.
        image_size: as for `load_base`.

    Raises:
        WeightsError: the config or the original checkpoint is missing or damaged, or of an unknown family.
        ConfigError: the image size does not fit.
    """
    family = published().get(str(name))
    if family is not None:
        library = family.empty(family.architecture(dict(family.sizes[str(name)]), str(name)))
    elif Path(name).suffix == ORIGINAL_SUFFIX:
        _, family, library = _read_original(Path(name))
    else:
        family, library = _read_config(_folder(str(name)), str(name))
    return family.wrap(library, name=str(name), sha256="", image_size=image_size).requires_grad_(False)


def is_local(name: str) -> bool:
    """Return whether a base needs no download: the embedded one, a path, or one in the hub's cache."""
    if name == EMBEDDED or is_folder(name) or Path(name).suffix == ORIGINAL_SUFFIX:
        return True
    if not re.fullmatch(HUB_ID, name):
        return False
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def licence_of(name: str) -> str | None:
    """Return the licence of a base as a hub identifier such as "apache-2.0"; None if it is not known."""
    if name == EMBEDDED:
        return "apache-2.0"
    family = published().get(name)
    return None if family is None else family.licence


def is_folder(name: str) -> bool:
    """Return whether a name is a local folder; False for a name that is not a valid path."""
    try:
        return bool(name) and Path(name).is_dir()
    except (OSError, ValueError):
        return False


def _read(name: str | Path) -> tuple[dict[str, Tensor], Family, nn.Module]:
    """Return the tensors of a base in aligned float32, its family and its model on the meta device."""
    path = Path(name)
    if path.suffix == ORIGINAL_SUFFIX:
        state, family, library = _read_original(path)
        return {key: aligned(tensor) for key, tensor in state.items()}, family, library
    folder = _folder(str(name))
    family, library = _read_config(folder, str(name))
    return read_safetensors(folder, library, family.aliases, str(name)), family, library


def _read_config(folder: Path, name: str) -> tuple[Family, nn.Module]:
    """Return the family that the config.json of a folder names, and its model on the meta device."""
    file = folder / "config.json"
    if not file.exists():
        raise WeightsError(f"No config.json in {one_line(name)}; expected a folder in transformers' format.")
    config = read_json(file, WeightsError, limit=MAX_CONFIG_BYTES)
    kind = config.get("model_type")
    for family in FAMILIES.values():
        if family.model_type == kind:
            return family, family.empty(family.architecture(config, f"the config.json of {name}"))
    known = " or ".join(repr(family.model_type) for family in FAMILIES.values())
    raise WeightsError(
        f"Expected model_type {known} in the config.json of {one_line(name)}, got {shown(kind)}, "
        f"which samtune alone does not support yet; {FAMILIES.absence(str(kind))}."
    )


def _read_original(path: Path) -> tuple[dict[str, Tensor], Family, nn.Module]:
    """Return an original checkpoint's tensors by transformers' names, its family and its model on the meta device."""
    state = read_checkpoint(path)
    for family in FAMILIES.values():
        translated = family.original(state, str(path))
        if translated is not None:
            tensors, architecture = translated
            shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
            library = family.empty(architecture)
            check_shapes(library, shapes, family.aliases, str(path))
            return tensors, family, library
    raise WeightsError(
        f"Expected an original checkpoint of {' or '.join(FAMILIES)} in {one_line(str(path))}, got other keys; unwrap "
        "a fine-tuned or wrapped state dict first."
    )


def _folder(name: str) -> Path:
    """Return the folder of a base: embedded, local, or from the hub."""
    if name == EMBEDDED:
        return Path(str(resources.files("samtune.bases") / "assets" / EMBEDDED))
    if is_folder(name):
        return Path(name)
    if not re.fullmatch(HUB_ID, name):
        raise WeightsError(
            f"Expected a base such as `{EMBEDDED}`, a hub id (facebook/sam-vit-base), a folder in transformers' format "
            f"or an original {ORIGINAL_SUFFIX} file, got {shown(name)}; check the spelling or the path."
        )
    return _fetch(name)


def _fetch(name: str) -> Path:
    """Return the folder of a hub id in the hub's cache, after downloading what is missing."""
    from huggingface_hub import snapshot_download

    patterns = ["config.json", "*.safetensors", "*.safetensors.index.json"]
    say(f"Taking the base {name} from the hub or its cache.")
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (ImportError, NameError, TypeError, AttributeError):  # a fault of the installation
        raise
    except Exception as error:  # by version, the hub's client raises its own errors, its HTTP library's, or OSError
        raise WeightsError(
            f"The base {name} is neither in the local cache nor reachable on the hub ({type(error).__name__}). "
            f"Run `hf download {name}` on a machine with a network, copy the folder here and pass its path as the "
            f"base; or use `{EMBEDDED}`, which comes with samtune."
        ) from error
