"""SAM's mask decoder over the library's own modules, with learned prompts and class heads as places.

In: the embedding of B images and P sets of sparse prompt tokens each. Out: one logit map per image and
prompt set (or per class), four times the embedding's grid. Source: segment-anything,
`modeling/mask_decoder.py`; unlike there, a batch of B images is decoded with P prompts each, row by row, and
only the mask token asked for is turned into a mask. The order of the arithmetic is that of `two_way.py` and
`upscaling.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from samtune.sam.sites import DecoderPrompts, MaskHeads
from samtune.sam.two_way import two_way
from samtune.sam.upscaling import masks_of, upscale


class MaskDecoder(nn.Module):
    """The two-way transformer, the upscaling and the hyper-networks.

    Args:
        library: transformers' `SamMaskDecoder`, whose modules are taken over under the same names.
    """

    prompts: DecoderPrompts | None
    classes: MaskHeads | None

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
        self.register_module("prompts", None)
        self.register_module("classes", None)

    def forward(self, embedding: Tensor, positions: Tensor) -> Tensor:
        """Decode without a user: learned prompts, class heads, or SAM's own unprompted mask.

        Args:
            embedding: (B, C, H, W) image embedding, SAM's no-mask embedding already added.
            positions: (1, C, H, W) positional encoding of the grid.

        Returns:
            Logits (B, K, 4 H, 4 W); K = 1 where neither prompts nor class heads stand.
        """
        if self.classes is not None:
            # SAM's multi-mask tokens stay in the stream, so that one class starts as SAM itself.
            own = torch.cat([self.classes.tokens, self.mask_tokens.weight[1:]])
            out, image = self._transform(embedding, positions, own, None)
            tokens = out[:, 0, 1 : 1 + len(self.classes.tokens)]
            return self.classes(tokens, upscale(self, image[:, 0], _grid_of(embedding)))  # type: ignore[no-any-return]
        sparse = None if self.prompts is None else self.prompts.tokens.expand(len(embedding), -1, -1, -1)
        return self.masks(embedding, positions, sparse, (0,))[0].squeeze(2)

    def masks(
        self, embedding: Tensor, positions: Tensor, sparse: Tensor | None, indices: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """Decode given prompt tokens with SAM's own mask tokens.

        Args:
            embedding: (B, C, H, W), dense prompt already added.
            positions: (1, C, H, W).
            sparse: (B, P, N, C) prompt tokens, or None for P = 1 and no tokens.
            indices: which of the mask tokens become masks (0 the single one, 1..3 the multi-mask ones).

        Returns:
            Logits (B, P, len(indices), 4 H, 4 W) and the predicted IoU (B, P, len(indices)).
        """
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
            The tokens (B, P, 1 + M + N, C), the IoU token first, then the mask tokens; the image (B, P, H * W, C).
        """
        prompts = 1 if sparse is None else sparse.shape[1]
        own = torch.cat([self.iou_token.weight, mask_tokens])
        tokens = own.expand(len(embedding), prompts, -1, -1)
        if sparse is not None:
            tokens = torch.cat([tokens, sparse.to(own.dtype)], dim=2)
        image = embedding.flatten(2).transpose(1, 2).contiguous()[:, None]
        return two_way(self.transformer, tokens, image, positions[0].flatten(1).T)


def _grid_of(embedding: Tensor) -> tuple[int, int]:
    """(H, W) of (B, C, H, W)."""
    return embedding.shape[-2], embedding.shape[-1]
