"""Where a base model's weights come from, and their digest.

`load_base(name)` takes a hub id, a local transformers folder, an original Meta `.pth` file or `nano` and
gives a `Sam` in float32; `build(name)` gives the same architecture without weights. Nothing pickled is ever
run: safetensors, or `torch.load(weights_only=True)` for the original files. A missing or an extra tensor is
an error.
"""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from samtune.bases.sam1.config import read_config, sam_config
from samtune.bases.sam1.model import Sam
from samtune.bases.sam1.original import architecture_of, read_original, to_library_keys
from samtune.errors import WeightsError
from samtune.printable import one_line, shown
from samtune.progress import say
from samtune.tensor_files import check_finite, check_floats, read_headers, tensors_of

if TYPE_CHECKING:
    from torch import Tensor

    from samtune.tensor_files import TensorHeader

EMBEDDED = "nano"
META_SIZES: dict[str, dict[str, Any]] = {
    "facebook/sam-vit-base": {},
    "facebook/sam-vit-large": {
        "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "mlp_dim": 4096,
        "global_attn_indexes": [5, 11, 17, 23],
    },
    "facebook/sam-vit-huge": {
        "hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "mlp_dim": 5120,
        "global_attn_indexes": [7, 15, 23, 31],
    },
}  # fmt: skip
"""Meta's three sizes, as departures from transformers' defaults (which are ViT-B's)."""

HUB_ID = r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}"
"""What the hub takes for the name of a repository: an owner and a name."""

_TIED = (
    "shared_image_embedding.positional_embedding",
    "prompt_encoder.shared_embedding.positional_embedding",
)


def load_base(name: str | Path, side: int | None = None) -> Sam:
    """Load a base; see `Sam.from_pretrained`."""
    path = Path(name)
    if path.suffix == ".pth":
        state, config = _read_original(path)
        state = {key: aligned(tensor) for key, tensor in state.items()}
    else:
        folder = _folder(str(name))
        config = read_config(folder, str(name))
        state = _read_safetensors(folder, config, str(name))
    for key, tensor in state.items():
        check_finite(key, tensor, str(name), WeightsError)
    return Sam(_fill(config, state), base_name=str(name), base_sha256=digest(state), side=side).requires_grad_(False)


def build(name: str | Path, side: int | None = None) -> Sam:
    """The architecture of a base on the meta device: shapes and counts without weights and without a network.

    Raises:
        WeightsError: the name is neither one of Meta's three sizes nor `nano` nor a local folder or file.
    """
    path = Path(name)
    if str(name) in META_SIZES:
        config = _sam_config(META_SIZES[str(name)])
    elif path.suffix == ".pth":
        config = _read_original(path)[1]
    else:
        config = read_config(_folder(str(name)), str(name))
    return Sam(_empty(config), base_name=str(name), base_sha256="", side=side).requires_grad_(False)


def aligned(tensor: Tensor) -> Tensor:
    """Copy a tensor, as contiguous float32, to memory of torch's own, which starts at a multiple of 64 bytes.

    A tensor that is mapped from a file starts wherever the file's header ends. On some processors other vector
    instructions run then, and results differ in the last bits by the kind of file that the weights came from.
    """
    return torch.empty(tensor.shape, dtype=torch.float32).copy_(tensor)


def digest(state: dict[str, Tensor]) -> str:
    """SHA-256 of a state dict's contents: names, shapes and float32 values, in order of names.

    The same weights give the same digest from whichever container they were read.
    """
    sha = hashlib.sha256()
    for key in sorted(set(state) - {_TIED[1]}):
        tensor = state[key].detach().to("cpu", torch.float32).contiguous()
        sha.update(f"{key} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.numpy())  # type: ignore[arg-type]
    return sha.hexdigest()


def _sam_config(vision: dict[str, Any]) -> Any:
    from transformers import SamConfig, SamVisionConfig

    return SamConfig(vision_config=SamVisionConfig(**vision).to_dict())


def _empty(config: Any) -> Any:
    """The library's `SamModel` on the meta device."""
    from transformers import SamModel

    with torch.device("meta"):
        return SamModel(config).eval()


def check_shapes(model: Any, shapes: dict[str, tuple[int, ...]], name: str) -> None:
    """Hold the tensors of a checkpoint against an architecture: every one there, of the right shape, and no other.

    Args:
        model: transformers' `SamModel` on the meta device.
        shapes: of the tensors, under transformers' names.
        name: of the base, for messages.

    Raises:
        WeightsError: says how many are missing, unknown or of another shape, and the first of each.
    """
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    tied = {other for one, other in (_TIED, _TIED[::-1]) if one in shapes}
    missing, extra = sorted(set(expected) - set(shapes) - tied), sorted(set(shapes) - set(expected))
    wrong = [key for key in sorted(set(expected) & set(shapes)) if expected[key] != shapes[key]]
    if missing or extra or wrong:
        counts = [f"{len(keys)} {what} (first: {one_line(keys[0])})" for keys, what in
                  ((missing, "missing"), (extra, "unknown"), (wrong, "of another shape")) if keys]  # fmt: skip
        raise WeightsError(
            f"{one_line(name)} must hold exactly the tensors of a SAM, but there are {', '.join(counts)}; "
            "it is another architecture or an incomplete file, so download it again."
        )


def _fill(config: Any, state: dict[str, Tensor]) -> Any:
    """A `SamModel` that holds `state`, whose shapes were checked."""
    model = _empty(config)
    for one, other in (_TIED, _TIED[::-1]):
        if one in state and other not in state:
            state[other] = state[one]
    model.load_state_dict(state, assign=True)
    model.prompt_encoder.shared_embedding = model.shared_image_embedding
    return model


def _folder(name: str) -> Path:
    """The folder of a base: embedded, local, or fetched from the hub (its cache first)."""
    if name == EMBEDDED:
        return Path(str(resources.files("samtune.bases") / "assets" / EMBEDDED))
    if is_folder(name):
        return Path(name)
    if not re.fullmatch(HUB_ID, name):
        raise WeightsError(
            f"A base must be `{EMBEDDED}`, a hub id such as facebook/sam-vit-base, a folder in "
            f"transformers' format or "
            f"an original .pth file, but {shown(name)} is none of these; check the spelling or the path."
        )
    return _fetch(name)


def is_local(name: str) -> bool:
    """Whether a base is on this machine: built in, a path, or in the hub's cache."""
    if name == EMBEDDED or is_folder(name) or Path(name).suffix == ".pth":
        return True
    if not re.fullmatch(HUB_ID, name):
        return False
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def is_folder(name: str) -> bool:
    """Whether a name is a folder on this machine; names that no path can have are none."""
    try:
        return bool(name) and Path(name).is_dir()
    except (OSError, ValueError):
        return False


def _fetch(name: str) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["config.json", "*.safetensors", "*.safetensors.index.json"]
    say(f"Taking the base {name} from the hub or its cache.")
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (ImportError, NameError, TypeError, AttributeError):  # a fault of the installation
        raise
    except Exception as error:  # the hub's client raises its own, those of its HTTP library and OSError, by version
        raise WeightsError(
            f"The base {name} is neither in the local cache nor reachable on the hub ({type(error).__name__}). "
            f"Download it with `hf download {name}` on a machine with a network, copy the folder here and pass its "
            f"path as the base; or use `{EMBEDDED}`, which is built in."
        ) from error


def _read_safetensors(folder: Path, config: Any, name: str) -> dict[str, Tensor]:
    """The weights of a folder in aligned memory, once the headers of its files hold what the architecture asks for."""
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise WeightsError(
            f"{name} must hold its weights as model.safetensors, but there is none in {folder}; "
            "pickled weights (pytorch_model.bin) are not read: convert them with transformers' "
            "save_pretrained."
        )
    headers: dict[str, TensorHeader] = {}
    for file in files:
        own = read_headers(file, WeightsError)
        check_floats(own, str(file), WeightsError)
        if twice := sorted(headers.keys() & own.keys()):
            raise WeightsError(
                f"Expected each tensor of {one_line(name)} in one file, but {one_line(twice[0])} is in "
                f"{one_line(file.name)} and in another; remove the files that do not belong to the base."
            )
        headers |= own
    check_shapes(_empty(config), {key: header.shape for key, header in headers.items()}, name)
    return {key: aligned(tensor) for file in files for key, tensor in tensors_of(file)}


def _read_original(path: Path) -> tuple[dict[str, Tensor], Any]:
    state = read_original(path)
    try:
        architecture = architecture_of(state)
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise WeightsError(
            f"{path} lacks tensors that tell the architecture of an original SAM; it is another architecture or an "
            "incomplete file, so download it again."
        ) from error
    config, state = sam_config(architecture, str(path)), to_library_keys(state)
    check_shapes(_empty(config), {key: tuple(tensor.shape) for key, tensor in state.items()}, str(path))
    return state, config
