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
from safetensors.torch import load_file

from samtune.errors import WeightsError
from samtune.sam.model import Sam
from samtune.sam.original import config_of, to_library_keys

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
    state = {key: tensor.float() for key, tensor in state.items()}
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
    except Exception as error:  # the hub's client raises its own, httpx's and OSError, by version
        raise WeightsError(
            f"The base {name} must be in the local cache or reachable on the hub, but it is neither "
            f"({type(error).__name__}); download it once with `hf download {name}` on a machine with a "
            f"network and "
            f"copy the folder here, then pass its path as the base, or use `{EMBEDDED}`, which is built in."
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
        except Exception as error:  # safetensors raises its own untyped error
            raise WeightsError(f"{file} must be a safetensors file, but it cannot be read ({error}).") from error
    return state


def _read_original(path: Path) -> tuple[dict[str, Tensor], Any]:
    if not path.is_file():
        raise WeightsError(f"The base {path} must be a file, but there is none; check the path.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises several kinds for a broken or an unsafe file
        raise WeightsError(
            f"{path} must be an original SAM checkpoint (a plain state dict), but it cannot be read safely "
            f"({type(error).__name__}); download it again."
        ) from error
    if not isinstance(state, dict) or "image_encoder.patch_embed.proj.weight" not in state:
        raise WeightsError(
            f"{path} must be an original SAM checkpoint with keys such as "
            f"image_encoder.patch_embed.proj.weight, but "
            "these are not there; a fine-tuned or wrapped state dict must be unwrapped first."
        )
    try:
        return to_library_keys(state), config_of(state)
    except (KeyError, ValueError, IndexError, ZeroDivisionError, AttributeError) as error:
        raise WeightsError(
            f"{path} must hold every tensor of an original SAM, but its architecture cannot be told; "
            "it is another architecture or an incomplete file, so download it again."
        ) from error
