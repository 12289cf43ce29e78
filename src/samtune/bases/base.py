"""The `Base` protocol: everything that methods, training and prediction use of a Segment Anything model.

A family (`sam1/`, ...) subclasses `Base`, `Encoder`, `Block` and `Decoder` over the modules of transformers. Nothing
outside `samtune.bases` names a module of transformers, or a member that is not declared here. `sites.py` describes
where a method can attach modules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

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
    """Masks for a user's prompts.

    Attributes:
        logits: (B, P, M, h, w) for P prompts per image and M = 1 or 3 masks per prompt.
        predicted_iou: (B, P, M), the model's own estimate of each mask's IoU.
    """

    logits: Tensor
    predicted_iou: Tensor


class Block(Roles):
    """One block of an encoder: modules that can be replaced, by role, and four sites (None if empty).

    Methods use the sites through `sites`, which checks that they are free.

    Attributes:
        window_size: rows and columns of a window of its attention; 0 for attention over the whole grid.
        in_channels: C of its input tokens.
        channels: C of its output tokens, and of those at `after_attn` and `after_mlp`.
        before: site ahead of the block.
        after_attn: site between attention and residual.
        after_mlp: site between MLP and residual.
        prompts: site of extra keys and values of its attention.
    """

    noun = "an encoder block"
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

    Methods use the two sites through `Base.sites`.

    Attributes:
        patch: rows and columns of a patch in pixels; the first block has one token per patch.
        recompute: gradient checkpointing: in training keep only the tokens between blocks, and run a block again in the
            backward pass.
        side: site of a network beside the encoder.
        prompts: site of prompts at the input.
    """

    noun = "the encoder outside its blocks"
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
        """C of the tokens, if it is the same in all blocks.

        Raises:
            MethodError: the blocks have different widths.
        """
        widths = sorted({width for block in self.blocks for width in (block.in_channels, block.channels)})
        if len(widths) != 1:
            raise MethodError(
                f"Expected the same number of channels in all blocks, got {', '.join(map(str, widths))}; use a method "
                "that adapts each block separately."
            )
        return widths[0]


class Decoder(nn.Module, ABC):
    """A mask decoder: tokens that attend to the image's features, and a mask from each mask token.

    Methods use the two sites through `Base.sites`.

    Attributes:
        channels: C of its tokens and of `Features.embedding`.
        prompts: site of learned prompt tokens.
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
        """Number of the model's own mask tokens: token 0 gives the single mask, the others the multi-mask output."""

    @abstractmethod
    def mask_token(self, index: int) -> Tensor:
        """Return one of the model's own mask tokens (C,)."""

    @abstractmethod
    def hypernetwork(self, index: int) -> nn.Module:
        """Return the network from a mask token's output to its mask weights: (..., C) -> (..., C / 8)."""

    @abstractmethod
    def shared(self) -> tuple[nn.Module, ...]:
        """Return the modules that every mask depends on: the transformer, the upscaling, tokens that all masks see."""

    @abstractmethod
    def unused(self) -> tuple[nn.Module, ...]:
        """Return the modules that have no effect on the logits of class heads: hyper-networks, IoU head."""

    @abstractmethod
    def masks(
        self, features: Features, positions: Tensor, sparse: Tensor | None, indices: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """Decode prompt tokens with the model's own mask tokens.

        Args:
            features: of B images, with the embedding for "no mask prompt" already added to `embedding`.
            positions: (1, C, H, W) positional encoding of the embedding's grid.
            sparse: (B, P, N, C) prompt tokens, or None for no tokens and P = 1.
            indices: mask tokens to compute masks of.

        Returns:
            Logits (B, P, len(indices), h, w) and the predicted IoU (B, P, len(indices)).
        """


class Head(Protocol):
    """A decoder that replaces the mask decoder."""

    def __call__(self, features: Features, base: Base) -> Tensor:
        """Turn features into logits.

        Args:
            features: of B images, from this model's encoder.
            base: the model, so that a head can use its modules without holding them.

        Returns:
            (B, K, h, w); the background's logit is the constant 0.
        """
        ...


class Base(nn.Module, ABC):
    """A Segment Anything model that methods adapt: pixels -> features -> logits.

    Args:
        spec: how images are prepared, at the image size of the checkpoint.
        name: the name it was loaded by; stored in every adapter.
        sha256: hex digest of the weights (`weights.digest`), "" for a base without weights.
        image_size: in pixels; None for the size of the checkpoint.

    Attributes:
        spec: how images are prepared, at the image size in use.
        name: as above.
        sha256: as above.
        encoder_dtype: dtype that the encoder computes in; float32 unless set (`precision.py`).
        head: site of a decoder that replaces the mask decoder; methods use it through `sites`.

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
        """The embedding (1, C) for "no mask prompt", which is added to every cell of the image's embedding."""

    @abstractmethod
    def constants(self) -> tuple[nn.Parameter, ...]:
        """Return the parameters that were never trained: random numbers that the authors drew once."""

    @abstractmethod
    def point_embeddings(self) -> tuple[Tensor, Tensor]:
        """Return the embeddings (C,) of a foreground and of a background point, without a position."""

    @abstractmethod
    def encode_points(self, points_xy: Tensor) -> Tensor:
        """Return the positional encoding (..., C) of points (..., 2): x then y, relative to the image size, in 0..1."""

    @abstractmethod
    def decode_masks(self, features: Features) -> Tensor:
        """Decode as `decode` does without a head: always with the mask decoder."""

    @abstractmethod
    def decode_prompts(self, features: Features) -> Tensor:
        """Return the mask logits of each set of learned prompts, before they become class logits.

        Returns:
            (B, P, h, w) of P sets.

        Raises:
            MethodError: the site `decoder_prompts` is empty.
        """

    @abstractmethod
    def prompt(self, features: Features, prompt: Prompt, *, multimask: bool = False) -> PromptedMasks:
        """Segment with a user's prompts, as the stock model does.

        Args:
            features: of B images.
            prompt: P prompts per image, in pixels of the input.
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
        """The largest number of output channels of a block."""
        return max(block.channels for block in self.blocks)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    @property
    def encoder_id(self) -> str:
        """Identity of the frozen encoder for caches of features: the digest of the weights, and `encoder_dtype`."""
        return self.sha256 if self.encoder_dtype == torch.float32 else f"{self.sha256} {self.encoder_dtype}"

    @property
    def feature_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor of one image's features, without the batch axis, for the base without a method."""
        grid = self.spec.image_size // self.spec.patch
        return {"embedding": (self.decoder.channels, grid, grid)}

    def encode(self, pixels: Tensor) -> Features:
        """Encode a batch of prepared images.

        Args:
            pixels: (B, 3, S, S) float32 as `samtune.data.to_input` prepares them; S any multiple of the patch.

        Returns:
            The features in float32, with an embedding (B, C, S / patch, S / patch).

        Raises:
            ShapeError: `pixels` has another shape, or S is not a multiple of the patch.
        """
        if self.encoder_dtype == torch.float32:
            return self.encoder(pixels)  # type: ignore[no-any-return]
        with torch.autocast(pixels.device.type, dtype=self.encoder_dtype):
            features: Features = self.encoder(pixels)
        return features.map(Tensor.float)

    def decode(self, features: Features) -> Tensor:
        """Compute logits without a user's prompts.

        Returns:
            (B, K, h, w): of the head if there is one; else of the mask decoder with its learned prompts or class heads
            (K classes), or without any (K = 1, the model's own unprompted mask). With the mask decoder, h and w are
            four times the embedding's grid.
        """
        return self.decode_masks(features) if self.head is None else self.head(features, self)


def cell_centres(embedding: Tensor) -> Tensor:
    """Return the centres of the cells of a map (B, C, H, W): (H, W, 2) float32, x then y, in 0..1."""
    height, width = embedding.shape[-2:]
    rows = (torch.arange(height, device=embedding.device, dtype=torch.float32) + 0.5) / height
    columns = (torch.arange(width, device=embedding.device, dtype=torch.float32) + 0.5) / width
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
