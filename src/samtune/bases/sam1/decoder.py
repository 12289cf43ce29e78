"""SAM's mask decoder over transformers' own modules, with sites for learned prompts and class heads.

In: the embedding of B images and P sets of sparse prompt tokens each. Out: one logit map per image and prompt set (or
per class), at four times the embedding's grid. Unlike in the source, a batch of B images is decoded with P prompts
each, and masks are computed only for the mask tokens in use. The arithmetic is that of `kernels/two_way.py` and
`kernels/upscaling.py`.

Source: segment-anything, `modeling/mask_decoder.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from samtune.bases.base import Decoder
from samtune.bases.kernels.two_way import two_way
from samtune.bases.kernels.upscaling import masks_of, upscale
from samtune.errors import MethodError

if TYPE_CHECKING:
    from samtune.types import Features


class MaskDecoder(Decoder):
    """The two-way transformer, the upscaling and the hyper-networks.

    Args:
        library: transformers' `SamMaskDecoder`, whose modules are taken over under the same names.
    """

    def __init__(self, library: Any) -> None:
        super().__init__()
        self.channels: int = library.hidden_size
        self.iou_token: nn.Embedding = library.iou_token
        self.mask_tokens: nn.Embedding = library.mask_tokens
        self.transformer: nn.Module = library.transformer
        self.upscale_conv1: nn.Module = library.upscale_conv1
        self.upscale_conv2: nn.Module = library.upscale_conv2
        self.upscale_layer_norm: nn.Module = library.upscale_layer_norm
        self.activation: nn.Module = library.activation
        self.output_hypernetworks_mlps: nn.ModuleList = library.output_hypernetworks_mlps
        self.iou_prediction_head: nn.Module = library.iou_prediction_head

    @property
    def num_mask_tokens(self) -> int:
        """Number of SAM's own mask tokens: one for the single mask, and usually three for the multi-mask output."""
        return self.mask_tokens.num_embeddings

    def mask_token(self, index: int) -> Tensor:
        """Return one of SAM's own mask tokens (C,)."""
        return self.mask_tokens.weight[index]

    def hypernetwork(self, index: int) -> nn.Module:
        """Return the hyper-network of a mask token: (..., C) -> (..., C / 8)."""
        return self.output_hypernetworks_mlps[index]

    def shared(self) -> tuple[nn.Module, ...]:
        """Return the two-way transformer, the upscaling and the IoU token, which takes part in the attention."""
        return self.transformer, self.upscale_conv1, self.upscale_conv2, self.upscale_layer_norm, self.iou_token

    def unused(self) -> tuple[nn.Module, ...]:
        """Return SAM's own hyper-networks and the IoU head."""
        return self.output_hypernetworks_mlps, self.iou_prediction_head

    def forward(self, features: Features, positions: Tensor) -> Tensor:
        """Decode without a user's prompts: learned prompts, class heads, or SAM's own unprompted mask.

        Args:
            features: with SAM's no-mask embedding already added to `embedding` (B, C, H, W).
            positions: (1, C, H, W) positional encoding of the grid.

        Returns:
            Logits (B, K, 4 H, 4 W); K = 1 without learned prompts and class heads.
        """
        if self.classes is not None:
            embedding = features.embedding
            own: Tensor = self.classes.tokens
            if not self.classes.alone:  # with SAM's other mask tokens in the attention, one class starts as SAM itself
                own = torch.cat([own, self.mask_tokens.weight[1:]])
            # Class heads give all classes in one pass, so the prompts of all classes are part of it.
            batch = len(embedding)
            sparse = None if self.prompts is None else self.prompts.tokens.flatten(0, -2).expand(batch, 1, -1, -1)
            out, image = self._transform(embedding, positions, own, sparse)
            tokens = out[:, 0, 1 : 1 + len(self.classes.tokens)]
            return self.classes(tokens, upscale(self, image[:, 0], _grid_of(embedding)))  # type: ignore[no-any-return]
        if self.prompts is not None:
            return self.prompts(self.prompt_masks(features, positions))  # type: ignore[no-any-return]
        return self.masks(features, positions, None, (0,))[0].squeeze(2)

    def prompt_masks(self, features: Features, positions: Tensor) -> Tensor:
        """Return the mask logits of each set of learned prompts, before they become class logits.

        Args:
            features: as for `forward`.
            positions: as for `forward`.

        Returns:
            (B, P, 4 H, 4 W) of P sets.

        Raises:
            MethodError: there are no learned prompts.
        """
        if self.prompts is None:
            raise MethodError("Expected learned prompts in the mask decoder, got none; adapt with ptsam first.")
        sparse = self.prompts.tokens.flatten(0, -3).expand(len(features.embedding), -1, -1, -1)
        return self.masks(features, positions, sparse, (0,))[0].squeeze(2)

    def masks(
        self, features: Features, positions: Tensor, sparse: Tensor | None, indices: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """Decode prompt tokens with SAM's own mask tokens; see `Decoder.masks`."""
        embedding = features.embedding
        out, image = self._transform(embedding, positions, self.mask_tokens.weight, sparse)
        batch, prompts = out.shape[:2]
        hyper = [self.output_hypernetworks_mlps[i](out[:, :, 1 + i]) for i in indices]
        fine = upscale(self, image.flatten(0, 1), _grid_of(embedding))
        logits = masks_of(torch.stack(hyper, dim=2).flatten(0, 1), fine)
        iou = self.iou_prediction_head(out[:, :, 0])[..., list(indices)]
        return logits.reshape(batch, prompts, *logits.shape[1:]), iou

    def _transform(
        self, embedding: Tensor, positions: Tensor, mask_tokens: Tensor, sparse: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Run the two-way transformer.

        Returns:
            The tokens (B, P, 1 + M + N, C), the IoU token first, then M mask tokens, then N prompt tokens; and the
            image (B, P, H * W, C).
        """
        prompts = 1 if sparse is None else sparse.shape[1]
        own = torch.cat([self.iou_token.weight, mask_tokens])
        tokens = own.expand(len(embedding), prompts, -1, -1)
        if sparse is not None:
            tokens = torch.cat([tokens, sparse.to(own.dtype)], dim=2)
        return two_way(self.transformer, tokens, _rows(embedding), positions[0].flatten(1).T)


def _rows(embedding: Tensor) -> Tensor:
    """Return the image's tokens, shared by all prompts: (B, C, H, W) -> (B, 1, H * W, C)."""
    return embedding[:, None].flatten(3).transpose(2, 3).contiguous()


def _grid_of(embedding: Tensor) -> tuple[int, int]:
    """Return (H, W) of (..., C, H, W)."""
    return embedding.shape[-2], embedding.shape[-1]
