"""The `Base` protocol: all that methods, training and prediction may use of a Segment Anything model.

A family (`sam1/`, ...) subclasses `Base`, `Encoder`, `Block` and `Decoder` over the modules of transformers. Nothing
outside `samtune.bases` names a module of transformers, or a member that is not declared here. Where a method may stand
is described in `sites.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from samtune.bases.sites import Roles, Sites
from samtune.errors import ConfigError, MethodError
from samtune.types import Features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.bases.sites import DecoderPrompts, EncoderPrompts, MaskHeads
    from samtune.types import ImageSpec, Prompt

MAX_IMAGE_SIZE = 8192
"""The largest image size in pixels; an input of this size takes 0.8 GB as float32."""


_BLOCK_SITES = ("before", "after_attn", "after_mlp", "prompts")


class PromptedMasks(NamedTuple):
    """Masks that answer a user's prompts.

    Attributes:
        logits: (B, P, M, h, w) of P prompts an image, M = 1 or 3 masks a prompt.
        predicted_iou: (B, P, M) as the model estimates it.
    """

    logits: Tensor
    predicted_iou: Tensor


class Block(Roles):
    """One block of an encoder: modules that may be replaced, by role, and four sites.

    Attributes:
        window_size: rows and columns of a window of its attention; 0 for attention over the whole grid.
        in_channels: C of the tokens that enter.
        channels: C of the tokens that leave, and of those at `after_attn` and `after_mlp`.
        before: site ahead of the block, None where it is empty; `sites` is the way to it, and to the next three.
        after_attn: site between attention and residual.
        after_mlp: site between MLP and residual.
        prompts: site for extra keys and values of its attention.
    """

    called = "an encoder block"
    window_size: int
    in_channels: int
    channels: int
    before: nn.Module | None
    after_attn: nn.Module | None
    after_mlp: nn.Module | None
    prompts: EncoderPrompts | None

    def __init__(self) -> None:
        super().__init__()
        for site in _BLOCK_SITES:
            self.register_module(site, None)

    @property
    def sites(self) -> Sites:
        """The sites of this block."""
        return Sites({site: (self, site) for site in _BLOCK_SITES})


class Encoder(Roles, ABC):
    """An image encoder: pixels (B, 3, S, S) -> `Features`; its own roles are the modules outside its blocks.

    Attributes:
        patch: pixels along a side of one token of the first block.
        recompute: in training keep only the tokens between blocks, and compute a block again when its gradient is due.
        side: site beside the encoder; `Base.sites` is the way to it, and to the next.
        prompts: site at the input.
    """

    called = "the encoder outside its blocks"
    patch: int
    recompute: bool
    side: nn.Module | None
    prompts: EncoderPrompts | None

    def __init__(self) -> None:
        super().__init__()
        self.recompute = False
        self.register_module("side", None)
        self.register_module("prompts", None)

    @property
    @abstractmethod
    def blocks(self) -> Sequence[Block]:
        """The blocks, first to last."""

    @property
    def channels(self) -> int:
        """C of the tokens, where it is the same from the first block to the last.

        Raises:
            MethodError: the blocks have different widths.
        """
        widths = sorted({width for block in self.blocks for width in (block.in_channels, block.channels)})
        if len(widths) != 1:
            raise MethodError(
                f"Expected an encoder whose blocks have one width, got widths of {', '.join(map(str, widths))}; use a "
                "method that adapts each block by itself."
            )
        return widths[0]


class Decoder(nn.Module, ABC):
    """A mask decoder: tokens that attend to the image's features, and a mask from each mask token.

    Attributes:
        channels: C of its tokens and of `Features.embedding`.
        prompts: site of learned prompt tokens; `Base.sites` is the way to it, and to the next.
        classes: site of class heads.
    """

    channels: int
    prompts: DecoderPrompts | None
    classes: MaskHeads | None

    def __init__(self) -> None:
        super().__init__()
        self.register_module("prompts", None)
        self.register_module("classes", None)

    @property
    @abstractmethod
    def num_mask_tokens(self) -> int:
        """Number of the model's own mask tokens: 0 gives the single mask, the others the multi-mask output."""

    @abstractmethod
    def mask_token(self, index: int) -> Tensor:
        """Return one of the model's own mask tokens (C,)."""

    @abstractmethod
    def hypernetwork(self, index: int) -> nn.Module:
        """Return the network that makes mask weights of a mask token's output: (.., C) -> (.., C / 8)."""

    @abstractmethod
    def shared(self) -> tuple[nn.Module, ...]:
        """Return the modules that every mask depends on: the transformer, the upscaling, tokens that all masks see."""

    @abstractmethod
    def unread(self) -> tuple[nn.Module, ...]:
        """Return the modules that class heads leave without a part in the logits: hyper-networks, quality head."""

    @abstractmethod
    def masks(
        self, features: Features, positions: Tensor, sparse: Tensor | None, indices: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """Decode prompt tokens with the model's own mask tokens.

        Args:
            features: of B images, the embedding for "no mask prompt" already added to `embedding`.
            positions: (1, C, H, W) positional encoding of the embedding's grid.
            sparse: (B, P, N, C) prompt tokens, or None for no tokens and P = 1.
            indices: which of the mask tokens become masks.

        Returns:
            Logits (B, P, len(indices), h, w) and the predicted IoU (B, P, len(indices)).
        """


class Base(nn.Module, ABC):
    """A Segment Anything model that methods adapt: pixels -> features -> logits. It knows no method.

    Args:
        spec: how an image becomes the input, at the image size of the checkpoint.
        name: the name it was loaded by; kept in every adapter.
        sha256: hex digest of the weights (`weights.digest`), or "" where there are none.
        image_size: pixels; None for the size of the checkpoint.

    Attributes:
        spec: how an image becomes the input.
        name: as above.
        sha256: as above.
        encoder_dtype: in which the encoder computes; float32 unless set (`precision.py`).
        head: site in the mask decoder's place; `sites` is the way to it.

    Raises:
        ConfigError: the image size is not a positive multiple of the patch, or larger than `MAX_IMAGE_SIZE`.
    """

    spec: ImageSpec
    name: str
    sha256: str
    encoder_dtype: torch.dtype
    head: nn.Module | None

    def __init__(self, spec: ImageSpec, *, name: str, sha256: str, image_size: int | None = None) -> None:
        super().__init__()
        size = spec.image_size if image_size is None else image_size
        if not 0 < size <= MAX_IMAGE_SIZE or size % spec.patch:
            raise ConfigError(
                f"Expected an image size that is a positive multiple of the patch {spec.patch} up to {MAX_IMAGE_SIZE}, "
                f"got {size}; {name} was trained at {spec.image_size}."
            )
        self.spec = replace(spec, image_size=size)
        self.name, self.sha256 = name, sha256
        self.encoder_dtype = torch.float32
        self.register_module("head", None)

    @property
    @abstractmethod
    def encoder(self) -> Encoder:
        """The image encoder."""

    @property
    @abstractmethod
    def decoder(self) -> Decoder:
        """The mask decoder."""

    @property
    @abstractmethod
    def prompt_embeddings(self) -> nn.Module:
        """The embeddings of a user's points, boxes and masks."""

    @property
    @abstractmethod
    def no_mask_embedding(self) -> nn.Parameter:
        """The embedding (1, C) for "no mask prompt", which is added to every cell of the image's."""

    @abstractmethod
    def constants(self) -> tuple[nn.Parameter, ...]:
        """Return the parameters that are no weights: drawn once by the authors, never trained."""

    @abstractmethod
    def point_embeddings(self) -> tuple[Tensor, Tensor]:
        """Return the embeddings (C,) of a foreground and of a background point, without a position."""

    @abstractmethod
    def encode_points(self, points_xy: Tensor) -> Tensor:
        """Return the positional encoding (.., C) of points (.., 2): x then y, as shares of the image's size in 0..1."""

    @abstractmethod
    def decode_masks(self, features: Features) -> Tensor:
        """Decode as `decode` does with the mask decoder, whether or not a head stands in its place."""

    @abstractmethod
    def decode_prompts(self, features: Features) -> Tensor:
        """Return the masks of each set of learned prompts, before class logits are made of them.

        Returns:
            (B, P, h, w) of P sets.

        Raises:
            MethodError: no learned prompts stand at `decoder_prompts`.
        """

    @abstractmethod
    def prompt(self, features: Features, prompt: Prompt, *, multimask: bool = False) -> PromptedMasks:
        """Segment by a user's prompts, as the stock model does.

        Args:
            features: of B images.
            prompt: P prompts an image, in pixels of the input.
            multimask: return the three masks of the multi-mask output instead of the single one.
        """

    @property
    def blocks(self) -> Sequence[Block]:
        """The encoder's blocks, first to last."""
        return self.encoder.blocks

    @property
    def sites(self) -> Sites:
        """The sites outside the blocks."""
        return Sites({
            "side": (self.encoder, "side"),
            "encoder_prompts": (self.encoder, "prompts"),
            "decoder_prompts": (self.decoder, "prompts"),
            "class_heads": (self.decoder, "classes"),
            "head": (self, "head"),
        })  # fmt: skip

    @property
    def width(self) -> int:
        """The largest number of channels of a block."""
        return max(block.channels for block in self.blocks)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    @property
    def encoder_id(self) -> str:
        """Identity of the frozen encoder for caches of features: the weights' digest and the type it computes in."""
        return self.sha256 if self.encoder_dtype == torch.float32 else f"{self.sha256} {self.encoder_dtype}"

    @property
    def feature_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor of one image's features, without the batch, as `encode` gives them of the base alone."""
        grid = self.spec.image_size // self.spec.patch
        return {"embedding": (self.decoder.channels, grid, grid)}

    def encode(self, pixels: Tensor) -> Features:
        """Encode a batch of prepared images.

        Args:
            pixels: (B, 3, S, S) float, normalised and fitted (`samtune.data.to_input`); S any multiple of the patch.

        Returns:
            The features, embedding (B, C, S / patch, S / patch); float32 whatever `encoder_dtype` is.

        Raises:
            ShapeError: `pixels` has another shape, or S is not a multiple of the patch.
        """
        if self.encoder_dtype == torch.float32:
            return self.encoder(pixels)  # type: ignore[no-any-return]
        with torch.autocast(pixels.device.type, dtype=self.encoder_dtype):
            features: Features = self.encoder(pixels)
        return features.map(Tensor.float)

    def decode(self, features: Features) -> Tensor:
        """Turn features into logits without any user prompt.

        Returns:
            (B, K, h, w): the head's, where one stands; else the mask decoder's with the learned prompts or
            class heads that stand there (K classes); else the model's own unprompted mask (K = 1). With the mask
            decoder h and w are four times the embedding's grid.
        """
        return self.decode_masks(features) if self.head is None else self.head(features, self)


def cell_centres(embedding: Tensor) -> Tensor:
    """Return the centres of the cells of (B, C, H, W) as x, y in 0..1: (H, W, 2) float32."""
    height, width = embedding.shape[-2:]
    rows = (torch.arange(height, device=embedding.device, dtype=torch.float32) + 0.5) / height
    columns = (torch.arange(width, device=embedding.device, dtype=torch.float32) + 0.5) / width
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
