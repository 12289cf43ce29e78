"""SAM 1 as a `Base`, over the modules of transformers' `SamModel`, whose names and tensors it keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from samtune.bases.base import Base, PromptedMasks, cell_centres
from samtune.bases.sam1.decoder import MaskDecoder
from samtune.bases.sam1.encoder import ImageEncoder
from samtune.types import Features, ImageSpec

if TYPE_CHECKING:
    from samtune.types import Prompt

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Mean and standard deviation of ImageNet's pixels per RGB channel, in 0..255; every SAM 1 was trained with them."""


class Sam1(Base):
    """A Segment Anything model of 2023: image encoder, prompt encoder, mask decoder.

    Args:
        library: transformers' `SamModel`, whose modules are taken over.
        name: as for `Base`.
        sha256: as for `Base`.
        image_size: as for `Base`.

    Raises:
        ConfigError: the image size is not a positive multiple of the patch.
    """

    def __init__(self, library: Any, *, name: str, sha256: str, image_size: int | None = None) -> None:
        config = library.config.vision_config
        spec = ImageSpec(config.image_size, config.patch_size, mean=MEAN, std=STD, fit="pad")
        super().__init__(spec, name=name, sha256=sha256, image_size=image_size)
        self.shared_image_embedding: nn.Module = library.shared_image_embedding
        self.vision_encoder = ImageEncoder(library.vision_encoder)
        self.prompt_encoder: Any = library.prompt_encoder
        self.mask_decoder = MaskDecoder(library.mask_decoder)

    @property
    def encoder(self) -> ImageEncoder:
        """The Vision Transformer and its neck."""
        return self.vision_encoder

    @property
    def blocks(self) -> list[Any]:
        """The encoder's blocks, first to last (`Sam1Block`)."""
        return list(self.vision_encoder.blocks)

    @property
    def decoder(self) -> MaskDecoder:
        """The mask decoder."""
        return self.mask_decoder

    @property
    def prompt_embeddings(self) -> nn.Module:
        """The prompt encoder."""
        return self.prompt_encoder  # type: ignore[no-any-return]

    @property
    def no_mask_embedding(self) -> nn.Parameter:
        """The embedding (1, C) for "no mask prompt"."""
        return self.prompt_encoder.no_mask_embed.weight  # type: ignore[no-any-return]

    def constants(self) -> tuple[nn.Parameter, ...]:
        """Return the random matrix of the positional encoding, a buffer in Meta's code."""
        return tuple(self.shared_image_embedding.parameters())

    def point_embeddings(self) -> tuple[Tensor, Tensor]:
        """Return the embeddings (C,) of a foreground and of a background point."""
        background, foreground = (self.prompt_encoder.point_embed[index].weight[0] for index in (0, 1))
        return foreground, background

    def encode_points(self, points_xy: Tensor) -> Tensor:
        """Return the positional encoding (..., C) of points (..., 2) in 0..1; see `Base.encode_points`."""
        return self.shared_image_embedding(points_xy)  # type: ignore[no-any-return]

    def decode_masks(self, features: Features) -> Tensor:
        """Decode with the mask decoder; see `Base.decode_masks`."""
        return self.mask_decoder(self._without_mask(features), self._positions(features))  # type: ignore[no-any-return]

    def decode_prompts(self, features: Features) -> Tensor:
        """Return the mask logits of each set of learned prompts; see `Base.decode_prompts`."""
        return self.mask_decoder.prompt_masks(self._without_mask(features), self._positions(features))

    def prompt(self, features: Features, prompt: Prompt, *, multimask: bool = False) -> PromptedMasks:
        """Segment with a user's prompts; see `Base.prompt`."""
        sparse, _ = self.prompt_encoder(
            self.to_checkpoint_pixels(prompt.points_xy, features), prompt.point_labels,
            self.to_checkpoint_pixels(prompt.boxes_xyxy, features), None,
        )  # fmt: skip
        indices = tuple(range(1, self.mask_decoder.num_mask_tokens)) if multimask else (0,)
        dense, positions = self._without_mask(features), self._positions(features)
        return PromptedMasks(*self.mask_decoder.masks(dense, positions, sparse, indices))

    def _positions(self, features: Features) -> Tensor:
        """Return the positional encoding (1, C, H, W) of the embedding's grid, at the cells' centres."""
        return self.encode_points(cell_centres(features.embedding)).permute(2, 0, 1)[None]

    def _without_mask(self, features: Features) -> Features:
        """Return the features with the embedding for "no mask prompt" added."""
        return replace(features, embedding=features.embedding + self.no_mask_embedding[..., None, None])

    def to_checkpoint_pixels(self, coordinates: Tensor | None, features: Features) -> Tensor | None:
        """Rescale coordinates in pixels to the checkpoint's image size, which the prompt encoder divides by.

        Shifted by half a pixel before and back after, because the prompt encoder adds the half pixel itself.
        """
        if coordinates is None:
            return None
        scale: float = self.prompt_encoder.input_image_size / (features.embedding.shape[-1] * self.spec.patch)
        return (coordinates + 0.5) * scale - 0.5
