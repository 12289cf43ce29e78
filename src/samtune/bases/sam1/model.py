"""`Sam`: the frozen subject. Pixels in, features, logits out; it knows no method.

The modules, their names and their storage are those of transformers' `SamModel`; see `sites.py` for the
places where a method may stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from samtune.bases.sam1.config import MAX_SIDE
from samtune.bases.sam1.decoder import MaskDecoder
from samtune.bases.sam1.encoder import ImageEncoder
from samtune.errors import ConfigError
from samtune.types import Features, ImageSpec, Prompt

if TYPE_CHECKING:
    from pathlib import Path


class Sam(nn.Module):
    """A Segment Anything model: image encoder, prompt encoder, mask decoder.

    Args:
        library: transformers' `SamModel`, whose modules are taken over.
        base_name: the name it was loaded by; kept in every adapter.
        base_sha256: hex digest of the weights (see `weights.digest`), or "" where there are none.
        side: rows and columns of the padded square; None for the trained size.

    Raises:
        ConfigError: `side` is not a positive multiple of the patch.
    """

    head: nn.Module | None
    encoder_dtype: torch.dtype
    """What the encoder computes in, float32 unless told otherwise; see `precision.py`."""

    def __init__(self, library: Any, *, base_name: str, base_sha256: str, side: int | None = None) -> None:
        super().__init__()
        config = library.config.vision_config
        side = config.image_size if side is None else side
        if not 0 < side <= MAX_SIDE or side % config.patch_size:
            raise ConfigError(
                f"The image size must be a positive multiple of the patch {config.patch_size} up to {MAX_SIDE}, but "
                f"{side} came; {config.image_size} is what {base_name} was trained at."
            )
        self.spec = ImageSpec(side=side, patch=config.patch_size)
        self.encoder_dtype = torch.float32
        self.base_name = base_name
        self.base_sha256 = base_sha256
        self.shared_image_embedding: nn.Module = library.shared_image_embedding
        self.vision_encoder = ImageEncoder(library.vision_encoder)
        self.prompt_encoder: Any = library.prompt_encoder
        self.mask_decoder = MaskDecoder(library.mask_decoder)
        self.register_module("head", None)

    @classmethod
    def from_pretrained(cls, name: str | Path, side: int | None = None) -> Sam:
        """Load a base in float32.

        Args:
            name: a hub id (`facebook/sam-vit-base`, `-large`, `-huge`), a local transformers folder, an
                original Meta `.pth` file, or `nano`, the embedded one.
            side: image size in pixels, a multiple of the patch; None for the base's own.

        Raises:
            WeightsError: the checkpoint cannot be had, or is not a SAM; says what to do.
            ConfigError: `side` is not a multiple of the patch.
        """
        from samtune.bases.loading import load_base

        return load_base(name, side)

    @property
    def blocks(self) -> list[Any]:
        """The encoder's blocks, first to last (`vit.Block`)."""
        return list(self.vision_encoder.blocks)

    @property
    def decoder(self) -> MaskDecoder:
        """The mask decoder with its sites."""
        return self.mask_decoder

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.mask_decoder.iou_token.weight.device

    def encode(self, pixels: Tensor) -> Features:
        """Encode a batch of prepared images.

        Args:
            pixels: (B, 3, S, S) float, normalised and padded (`samtune.data.to_input`); S any multiple of
                the patch.

        Returns:
            The features, embedding (B, C, S / patch, S / patch); float32 whatever `encoder_dtype` is.
        """
        if self.encoder_dtype == torch.float32:
            return Features(*self.vision_encoder(pixels))
        with torch.autocast(pixels.device.type, dtype=self.encoder_dtype):
            embedding, side = self.vision_encoder(pixels)
        return Features(_as_float32(embedding), _as_float32(side))

    def decode(self, features: Features) -> Tensor:
        """Turn features into logits without any user prompt.

        Returns:
            (B, K, h, w): the head's, where one stands; else the mask decoder's with the learned prompts or
            class heads that stand there (K classes); else SAM's own unprompted mask (K = 1). With the mask
            decoder h and w are four times the embedding's grid.
        """
        if self.head is not None:
            return self.head(features, self)  # type: ignore[no-any-return]
        return self.decode_masks(features)

    def decode_masks(self, features: Features) -> Tensor:
        """The same by the mask decoder, whether or not a head stands in its place."""
        return self.mask_decoder(self.dense(features.embedding), self.positions(features.embedding))  # type: ignore[no-any-return]

    def prompt(self, features: Features, prompt: Prompt, *, multimask: bool = False) -> tuple[Tensor, Tensor]:
        """Segment by user prompts, as stock SAM does.

        Args:
            features: of B images.
            prompt: P prompts an image, in pixels of the padded square.
            multimask: return SAM's three masks instead of the single one.

        Returns:
            Logits (B, P, 1 or 3, h, w) and predicted IoU (B, P, 1 or 3).
        """
        embedding = features.embedding
        sparse, _ = self.prompt_encoder(
            self._to_trained(prompt.points_xy, embedding), prompt.point_labels,
            self._to_trained(prompt.boxes_xyxy, embedding), None,
        )  # fmt: skip
        indices = tuple(range(1, self.mask_decoder.mask_tokens.num_embeddings)) if multimask else (0,)
        return self.mask_decoder.masks(self.dense(embedding), self.positions(embedding), sparse, indices)

    def positions(self, embedding: Tensor) -> Tensor:
        """The positional encoding (1, C, H, W) of the embedding's grid, at the cells' centres."""
        return self.shared_image_embedding(cell_centres(embedding)).permute(2, 0, 1)[None]  # type: ignore[no-any-return]

    def dense(self, embedding: Tensor) -> Tensor:
        """Add SAM's no-mask embedding, which stands for "no mask prompt", to an embedding (B, C, H, W)."""
        no_mask: Tensor = self.prompt_encoder.no_mask_embed.weight
        return embedding + no_mask[..., None, None]

    def _to_trained(self, coordinates: Tensor | None, embedding: Tensor) -> Tensor | None:
        """Rescale pixels to the image size the prompt encoder divides by; it adds the half pixel itself."""
        if coordinates is None:
            return None
        scale: float = self.prompt_encoder.input_image_size / (embedding.shape[-1] * self.spec.patch)
        return (coordinates + 0.5) * scale - 0.5


def _as_float32(value: Any) -> Any:
    """The same nested tuples, lists and dicts with every floating tensor in float32."""
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _as_float32(inner) for key, inner in value.items()}
    return type(value)(map(_as_float32, value)) if type(value) in (list, tuple) else value


def cell_centres(embedding: Tensor) -> Tensor:
    """The centres of the cells of (B, C, H, W) as x, y in 0..1: (H, W, 2) float32."""
    height, width = embedding.shape[-2:]
    rows = (torch.arange(height, device=embedding.device, dtype=torch.float32) + 0.5) / height
    columns = (torch.arange(width, device=embedding.device, dtype=torch.float32) + 0.5) / width
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
