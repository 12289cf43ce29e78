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

from samtune.bases.kernels.two_way import two_way
from samtune.bases.kernels.upscaling import masks_of, upscale
from samtune.bases.sites import DecoderPrompts, MaskHeads
from samtune.errors import MethodError


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
            own: Tensor = self.classes.tokens
            if not self.classes.alone:  # SAM's other mask tokens stay in the stream: one class starts as SAM itself
                own = torch.cat([own, self.mask_tokens.weight[1:]])
            # Class heads answer for all classes in one run, so the prompts of all classes stand in it together.
            batch = len(embedding)
            sparse = None if self.prompts is None else self.prompts.tokens.flatten(0, -2).expand(batch, 1, -1, -1)
            out, image = self._transform(embedding, positions, own, sparse)
            tokens = out[:, 0, 1 : 1 + len(self.classes.tokens)]
            return self.classes(tokens, upscale(self, image[:, 0], _grid_of(embedding)))  # type: ignore[no-any-return]
        if self.prompts is not None:
            return self.prompts(self.answers(embedding, positions))  # type: ignore[no-any-return]
        return self.masks(embedding, positions, None, (0,))[0].squeeze(2)

    def answers(self, embedding: Tensor, positions: Tensor) -> Tensor:
        """Return the mask of each set of the learned prompts, before class logits are made of them.

        Args:
            embedding: as for `forward`.
            positions: as for `forward`.

        Returns:
            (B, P, 4 H, 4 W) of P sets.

        Raises:
            MethodError: no learned prompts stand here.
        """
        if self.prompts is None:
            raise MethodError("Expected learned prompts in the mask decoder, got none; adapt with ptsam first.")
        sparse = self.prompts.tokens.flatten(0, -3).expand(len(embedding), -1, -1, -1)
        return self.masks(embedding, positions, sparse, (0,))[0].squeeze(2)

    def masks(
        self, embedding: Tensor, positions: Tensor, sparse: Tensor | None, indices: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """Decode given prompt tokens with SAM's own mask tokens.

        Args:
            embedding: (B, C, H, W), SAM's no-mask embedding already added.
            positions: (1, C, H, W).
            sparse: (B, P, N, C) prompt tokens, or None for no tokens and P = 1.
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
        return two_way(self.transformer, tokens, _rows(embedding), positions[0].flatten(1).T)


def _rows(embedding: Tensor) -> Tensor:
    """Return the image's tokens, shared by all prompts: (B, C, H, W) -> (B, 1, H * W, C)."""
    return embedding[:, None].flatten(3).transpose(2, 3).contiguous()


def _grid_of(embedding: Tensor) -> tuple[int, int]:
    """(H, W) of (.., C, H, W)."""
    return embedding.shape[-2], embedding.shape[-1]
