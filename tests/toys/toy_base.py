"""A base of two convolutions, in one file: all that a new family has to say.

`register_family(ToyFamily())` makes `load_base(folder)` read folders that `write_toy` wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from samtune.bases import Base, Block, Decoder, Encoder, PromptedMasks, cell_centres
from samtune.types import Features, ImageSpec, Prompt

PATCH, CHANNELS = 8, 16


class Library(nn.Module):
    """The model as its authors ship it: a patch convolution, a 3 x 3 convolution, a decoder of a few vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, CHANNELS, PATCH, PATCH)
        self.mix = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.token = nn.Embedding(1, CHANNELS)
        self.no_mask = nn.Parameter(torch.randn(1, CHANNELS))
        self.points = nn.Embedding(2, CHANNELS)
        self.hyper = nn.Linear(CHANNELS, CHANNELS)


class ToyBlock(Block):
    """The 3 x 3 convolution as the only block; its role is `proj`."""

    role_paths: ClassVar[Mapping[str, str]] = {"proj": "mix"}

    def __init__(self, mix: nn.Conv2d) -> None:
        super().__init__()
        self.mix = mix
        self.window_size, self.in_channels, self.channels = 0, CHANNELS, CHANNELS

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        mixed: Tensor = self.mix(tokens.permute(0, 3, 1, 2)).relu().permute(0, 2, 3, 1)
        return tokens + (mixed if self.after_mlp is None else self.after_mlp(mixed))


class ToyEncoder(Encoder):
    """A patch convolution and one block."""

    role_paths: ClassVar[Mapping[str, str]] = {"patch": "patches"}

    def __init__(self, library: Library) -> None:
        super().__init__()
        self.patch = PATCH
        self.patches = library.patch
        self.block = ToyBlock(library.mix)

    @property
    def blocks(self) -> Sequence[Block]:
        """The only block."""
        return [self.block]

    def forward(self, pixels: Tensor) -> Features:
        """(B, 3, S, S) -> embedding (B, C, S / 8, S / 8)."""
        tokens = self.patches(pixels).permute(0, 2, 3, 1)
        return Features(self.block(tokens).permute(0, 3, 1, 2))


class ToyDecoder(Decoder):
    """Logits as products of each cell with a vector made of a mask token and the mean of the prompts."""

    def __init__(self, library: Library) -> None:
        super().__init__()
        self.channels = CHANNELS
        self.token, self.hyper = library.token, library.hyper

    @property
    def num_mask_tokens(self) -> int:
        """One mask token."""
        return 1

    def mask_token(self, index: int) -> Tensor:
        """Return the mask token (C,)."""
        return self.token.weight[index]

    def hypernetwork(self, index: int) -> nn.Module:
        """Return the map from the token to the mask's weights."""
        return self.hyper

    def shared(self) -> tuple[nn.Module, ...]:
        """Return nothing: cells are read as they are."""
        return ()

    def unused(self) -> tuple[nn.Module, ...]:
        """Return the map of the model's own token."""
        return (self.hyper,)

    def masks(
        self, features: Features, positions: Tensor, sparse: Tensor | None, indices: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """See `Decoder.masks`."""
        embedding = features.embedding + positions
        token = self.mask_token(0).expand(len(embedding), 1, -1)
        if sparse is not None:
            token = token + sparse.mean(2)
        logits = torch.einsum("bpc,bchw->bphw", self.hyper(token), embedding)
        fine = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)[:, :, None]
        return fine, fine.new_zeros(fine.shape[:3])


class ToyBase(Base):
    """Two convolutions behind the protocol of bases."""

    def __init__(self, library: Library, *, name: str, sha256: str, image_size: int | None) -> None:
        spec = ImageSpec(64, PATCH, mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5), fit="squash")
        super().__init__(spec, name=name, sha256=sha256, image_size=image_size)
        self.trunk, self.reader = ToyEncoder(library), ToyDecoder(library)
        self.no_mask, self.points = library.no_mask, library.points

    @property
    def encoder(self) -> ToyEncoder:
        """The convolutions."""
        return self.trunk

    @property
    def decoder(self) -> ToyDecoder:
        """The products."""
        return self.reader

    @property
    def prompt_embeddings(self) -> nn.Module:
        """The embeddings of points."""
        return self.points

    @property
    def no_mask_embedding(self) -> nn.Parameter:
        """See `Base.no_mask_embedding`."""
        return self.no_mask

    def constants(self) -> tuple[nn.Parameter, ...]:
        """Return none."""
        return ()

    def point_embeddings(self) -> tuple[Tensor, Tensor]:
        """See `Base.point_embeddings`."""
        return self.points.weight[1], self.points.weight[0]

    def encode_points(self, points_xy: Tensor) -> Tensor:
        """Return x and y, repeated over the channels."""
        return points_xy.repeat_interleave(CHANNELS // 2, dim=-1)

    def decode_masks(self, features: Features) -> Tensor:
        """See `Base.decode_masks`."""
        if self.decoder.prompts is not None:
            logits: Tensor = self.decoder.prompts(self.decode_prompts(features))
            return logits
        return self.decoder.masks(*self._prepared(features), None, (0,))[0].squeeze(2)

    def decode_prompts(self, features: Features) -> Tensor:
        """See `Base.decode_prompts`."""
        assert self.decoder.prompts is not None
        sparse = self.decoder.prompts.tokens.flatten(0, -3).expand(len(features.embedding), -1, -1, -1)
        return self.decoder.masks(*self._prepared(features), sparse, (0,))[0].squeeze(2)

    def prompt(self, features: Features, prompt: Prompt, *, multimask: bool = False) -> PromptedMasks:
        """Segment by points; see `Base.prompt`."""
        assert prompt.points_xy is not None
        sparse = self.encode_points(prompt.points_xy / self.spec.image_size)
        return PromptedMasks(*self.decoder.masks(*self._prepared(features), sparse, (0,)))

    def _prepared(self, features: Features) -> tuple[Features, Tensor]:
        embedding = features.embedding + self.no_mask_embedding[..., None, None]
        return Features(embedding), self.encode_points(cell_centres(embedding)).permute(2, 0, 1)[None]


class ToyFamily:
    """The row of the table."""

    name: str = "toy"
    model_type: str = "toy"
    sizes: Mapping[str, Mapping[str, Any]] = {}
    licence: str = "apache-2.0"
    aliases: Mapping[str, str] = {}

    def architecture(self, config: dict[str, Any], where: str) -> Any:
        """Return nothing: there is one architecture."""
        return None

    def empty(self, architecture: Any) -> nn.Module:
        """Return the model without weights."""
        with torch.device("meta"):
            return Library()

    def wrap(self, library: Any, *, name: str, sha256: str, image_size: int | None) -> Base:
        """Return the base."""
        return ToyBase(library, name=name, sha256=sha256, image_size=image_size)

    def original(self, state: dict[str, Tensor], where: str) -> tuple[dict[str, Tensor], Any] | None:
        """Return None: the authors have no format of their own."""
        return None


def write_toy(folder: Path) -> Path:
    """Write a checkpoint with random weights, as `load_base` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_file(Library().state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "toy"}))
    return folder
