"""SAM 1 as a family of bases: sizes, architecture and checkpoints."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from samtune.bases.sam1.config import read_config, sam_config
from samtune.bases.sam1.model import Sam1
from samtune.bases.sam1.original import architecture_of, is_original, to_library_keys
from samtune.errors import WeightsError
from samtune.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


class Sam1Family:
    """Segment Anything, 2023, as transformers' `SamModel` holds it; see `families.Family`."""

    name: str = "sam1"
    model_type: str = "sam"
    licence: str = "apache-2.0"
    sizes: Mapping[str, Mapping[str, Any]] = MappingProxyType({
        "facebook/sam-vit-base": {},
        "facebook/sam-vit-large": {"vision_config": {
            "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "mlp_dim": 4096,
            "global_attn_indexes": [5, 11, 17, 23],
        }},
        "facebook/sam-vit-huge": {"vision_config": {
            "hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "mlp_dim": 5120,
            "global_attn_indexes": [7, 15, 23, 31],
        }},
    })  # fmt: skip
    """Meta's three sizes, as differences from transformers' defaults (which are ViT-B's)."""
    aliases: Mapping[str, str] = MappingProxyType({
        "prompt_encoder.shared_embedding.positional_embedding": "shared_image_embedding.positional_embedding",
    })  # fmt: skip

    def architecture(self, config: dict[str, Any], where: str) -> Any:
        """Return the `SamConfig` of a config.json; see `Family.architecture`."""
        return read_config(config, where)

    def empty(self, architecture: Any) -> nn.Module:
        """Return transformers' `SamModel` on the meta device."""
        from transformers import SamModel

        with torch.device("meta"):
            model: nn.Module = SamModel(architecture).eval()
        return model

    def wrap(self, library: Any, *, name: str, sha256: str, image_size: int | None) -> Sam1:
        """Return the base over a `SamModel`; see `Family.wrap`."""
        library.prompt_encoder.shared_embedding = library.shared_image_embedding
        return Sam1(library, name=name, sha256=sha256, image_size=image_size)

    def original(self, state: dict[str, Tensor], where: str) -> tuple[dict[str, Tensor], Any] | None:
        """Translate Meta's checkpoint; see `Family.original`."""
        if not is_original(state):
            return None
        try:
            architecture = architecture_of(state)
        except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
            raise WeightsError(
                f"Expected the tensors of an original SAM in {one_line(where)}, got others or too few to infer its "
                "architecture; download it again."
            ) from error
        return to_library_keys(state), sam_config(architecture, where)
