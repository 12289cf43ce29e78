"""Where a base model's weights come from, and their digest.

`load_base(name)` takes a hub id, a local transformers folder, an original Meta `.pth` file or `nano` and
gives a `Sam` in float32; `build(name)` gives the same architecture without weights. Nothing pickled is ever
run: safetensors, or `torch.load(weights_only=True)` for the original files. A missing or an extra tensor is
an error.
"""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from samtune.errors import WeightsError
from samtune.sam.model import Sam
from samtune.sam.original import architecture_of, to_library_keys

if TYPE_CHECKING:
    from torch import Tensor

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

UNREADABLE = (SafetensorError, OSError, ValueError, KeyError, RuntimeError)
"""What safetensors raises for a file that is missing, broken or of an unknown dtype. Anything else, for example an
`ImportError`, is a fault of the installation or of samtune, not of the file, and is not caught."""

_TIED = (
    "shared_image_embedding.positional_embedding",
    "prompt_encoder.shared_embedding.positional_embedding",
)


def load_base(name: str | Path, side: int | None = None) -> Sam:
    """Load a base; see `Sam.from_pretrained`."""
    path = Path(name)
    if path.suffix == ".pth":
        state, config = _read_original(path)
    else:
        folder = _folder(str(name))
        config = _read_config(folder, str(name))
        state = _read_safetensors(folder, str(name))
    state = {key: aligned(tensor) for key, tensor in state.items()}
    return Sam(
        _fill(config, state, str(name)), base_name=str(name), base_sha256=digest(state), side=side
    ).requires_grad_(False)


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
        config = _read_config(_folder(str(name)), str(name))
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


def _fill(config: Any, state: dict[str, Tensor], name: str) -> Any:
    """A `SamModel` that holds `state`, strictly: every tensor there, of the right shape, and no other."""
    model = _empty(config)
    for one, other in (_TIED, _TIED[::-1]):
        if one in state and other not in state:
            state[other] = state[one]
    wanted = model.state_dict()
    missing, extra = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    wrong = [key for key in sorted(set(wanted) & set(state)) if wanted[key].shape != state[key].shape]
    if missing or extra or wrong:
        found = [f"{len(keys)} {what} (first: {keys[0]})" for keys, what in
                 ((missing, "missing"), (extra, "unknown"), (wrong, "of another shape")) if keys]  # fmt: skip
        raise WeightsError(
            f"{name} must hold exactly the tensors of a SAM, but there are {', '.join(found)}; "
            "it is another architecture or an incomplete file, so download it again."
        )
    model.load_state_dict(state, assign=True)
    model.prompt_encoder.shared_embedding = model.shared_image_embedding
    return model


def _folder(name: str) -> Path:
    """The folder of a base: embedded, local, or fetched from the hub (its cache first)."""
    if name == EMBEDDED:
        return Path(str(resources.files("samtune.sam") / "assets" / EMBEDDED))
    if Path(name).is_dir():
        return Path(name)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise WeightsError(
            f"A base must be `{EMBEDDED}`, a hub id such as facebook/sam-vit-base, a folder in "
            f"transformers' format or "
            f"an original .pth file, but {name!r} is none of these; check the spelling or the path."
        )
    return _fetch(name)


def _fetch(name: str) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["config.json", "*.safetensors", "*.safetensors.index.json"]
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


def _read_config(folder: Path, name: str) -> Any:
    from transformers import SamConfig

    file = folder / "config.json"
    if not file.is_file():
        raise WeightsError(f"{name} must hold a config.json in transformers' format, but {file} is not there.")
    try:
        fields = json.loads(file.read_text())
    except ValueError as error:
        raise WeightsError(f"{file} must be JSON, but it is broken ({error}); download it again.") from error
    if fields.get("model_type") != "sam":
        raise WeightsError(
            f"{name} must be a SAM (model_type 'sam'), but {file} says {fields.get('model_type')!r}; "
            "SAM 2, SAM 3 and SAM-HQ are not supported yet."
        )
    return SamConfig.from_dict(fields)


def _read_safetensors(folder: Path, name: str) -> dict[str, Tensor]:
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise WeightsError(
            f"{name} must hold its weights as model.safetensors, but there is none in {folder}; "
            "pickled weights (pytorch_model.bin) are not read: convert them with transformers' "
            "save_pretrained."
        )
    state: dict[str, Tensor] = {}
    for file in files:
        try:
            state |= load_file(file)
        except UNREADABLE as error:
            raise WeightsError(f"{file} is not a readable safetensors file ({error}).") from error
    return state


def _read_original(path: Path) -> tuple[dict[str, Tensor], Any]:
    from transformers import SamConfig

    if not path.is_file():
        raise WeightsError(f"The base {path} is not a file; check the path.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (ImportError, NameError):  # a fault of the installation
        raise
    except Exception as error:  # damaged bytes raise ten kinds in torch's unpickler, AttributeError among them
        raise WeightsError(
            f"{path} is not an original SAM checkpoint (a plain state dict) that can be read safely "
            f"({type(error).__name__}); download it again."
        ) from error
    if not isinstance(state, dict) or "image_encoder.patch_embed.proj.weight" not in state:
        raise WeightsError(
            f"{path} has no keys such as image_encoder.patch_embed.proj.weight, which an original SAM checkpoint has; "
            "a fine-tuned or wrapped state dict must be unwrapped first."
        )
    strangers = sorted(str(key) for key, value in state.items() if not isinstance(value, torch.Tensor))
    if strangers:
        raise WeightsError(
            f"{path} holds something else than a tensor under {', '.join(strangers[:3])}; an original SAM checkpoint "
            "is a plain state dict of tensors."
        )
    try:
        architecture = architecture_of(state)
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise WeightsError(
            f"{path} lacks tensors that tell the architecture of an original SAM; it is another architecture or an "
            "incomplete file, so download it again."
        ) from error
    return to_library_keys(state), SamConfig(**architecture)
