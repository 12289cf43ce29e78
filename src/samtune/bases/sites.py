"""The named places of the frozen SAM where a method may stand; all are empty in a base model.

A method attaches by assignment and nothing else; what each place hands in and expects back:

    block.put("qkv" | "proj" | "mlp_in" | "mlp_out", module)
                       an nn.Linear (or a subclass) in the linear's place: tokens -> one tensor
    block.put("norm1" | "norm2", module)
                       tokens -> tokens, in the layer norm's place
    block.prompts      `EncoderPrompts`: extra keys and values of this block's attention, the same in each window
    block.before       tokens -> tokens, ahead of the block
    block.after_attn   attention output -> attention output, before the residual
    block.after_mlp    MLP output -> MLP output, before the residual
    encoder.prompts    `EncoderPrompts` at the input: tokens that travel through every block, queries and MLP included;
                       each window has a copy, what the copies see is averaged; the block's sites hear the grid alone
    encoder.put("patch", module)
                       an nn.Conv2d (or a subclass) in the patch embedding's place: pixels (B, 3, S, S) -> (B, C, H, W)
    encoder.put("neck_conv1" | "neck_norm1" | "neck_conv2" | "neck_norm2", module)
                       in the place of one of the neck's four steps: (B, C, H, W) -> (B, C, H, W), channels first
    encoder.side       `Side`: sees the pixels, the patch embedding, every block's output and the neck's, in this
                       order; may correct each of the last three, and hands its own state from one to the next
    decoder.prompts    `DecoderPrompts`: sets of learned sparse tokens, one per class or more, and what makes class
                       logits of the masks that answer them
    decoder.classes    `MaskHeads`: mask tokens in place of SAM's token 0, and what makes logits of them; `ClassHeads`
                       has one token and one hyper-network per class
    sam.head           `Head`: features and the model -> logits (B, K, h, w), in the mask decoder's place

Tokens at a site of a block are always (B, H, W, C). A place left None costs nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from samtune.bases.kernels.upscaling import FineImage, masks_of
from samtune.errors import MethodError

if TYPE_CHECKING:
    from samtune.bases.sam1.model import Sam
    from samtune.types import Features

ROLES = {
    "qkv": "attn.qkv",
    "proj": "attn.proj",
    "mlp_in": "mlp.lin1",
    "mlp_out": "mlp.lin2",
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
}
"""The replaceable modules of an encoder block, by role."""

ENCODER_ROLES = {
    "patch": "patch_embed.projection",
    "neck_conv1": "neck.conv1",
    "neck_norm1": "neck.layer_norm1",
    "neck_conv2": "neck.conv2",
    "neck_norm2": "neck.layer_norm2",
}
"""The replaceable modules of the encoder outside its blocks, by role."""


class Roles(nn.Module):
    """A module some of whose children may be replaced, each found by the name of its role."""

    roles: ClassVar[dict[str, str]]
    """Role -> name of the child."""
    called: ClassVar[str]
    """What errors call the module."""

    def at(self, role: str) -> nn.Module:
        """The module that stands at a role.

        Raises:
            MethodError: there is no such role; names those there are.
        """
        if role not in self.roles:
            offered = ", ".join(self.roles)
            raise MethodError(f"A role must be one of {offered}, but {role!r} came; {self.called} has no such module.")
        return self.get_submodule(self.roles[role])

    def free_at(self, role: str) -> nn.Module:
        """The library's own module at a role, for methods that look before they put anything anywhere.

        Raises:
            MethodError: there is no such role, or a method stands there already.
        """
        standing = self.at(role)
        if not is_base_module(standing):
            raise MethodError(
                f"The role {role!r} must be free, but {type(standing).__name__} stands there already; "
                "attach one method to a freshly loaded base."
            )
        return standing

    def put(self, role: str, module: nn.Module) -> None:
        """Let `module` stand at a role.

        Raises:
            MethodError: there is no such role, or another method stands there already.
        """
        self.free_at(role)
        parent, _, name = self.roles[role].rpartition(".")
        setattr(self.get_submodule(parent), name, module)


def is_base_module(module: nn.Module) -> bool:
    """Whether a module is a linear, a convolution or a layer norm as the library makes them."""
    library = type(module).__module__.partition(".")[0] in ("torch", "transformers")
    return library and isinstance(module, nn.Linear | nn.Conv2d | nn.LayerNorm)


Call = Callable[..., Any]
"""`call(module, *inputs)` is `module(*inputs)`; where blocks are computed again for their gradients, so is the module,
and only its inputs are kept."""


class Side(Protocol):
    """A network beside the encoder: `begin`, then a call for each index from -1, then `end`.

    What one step keeps for the next travels in `state`, never on the module, so that nothing of an image outlives
    its forward pass.
    """

    def begin(self, pixels: Tensor, patches: Tensor) -> Any:
        """Look at the input once, ahead of the first block.

        Args:
            pixels: (B, 3, S, S) as the encoder got them.
            patches: (B, H, W, C) the patch embedding before the position embedding is added.

        Returns:
            The first state.
        """
        ...

    def __call__(self, index: int, tokens: Tensor, state: Any, call: Call) -> tuple[Tensor, Any]:
        """Look at the stream once: index -1 ahead of the first block, then after each block.

        Args:
            index: -1 (position embedding added), then the block's number from 0.
            tokens: (B, H, W, C) the stream.
            state: what the step before returned.
            call: runs a module of this network.

        Returns:
            The stream, corrected or as it came, and the state.
        """
        ...

    def end(self, embedding: Tensor, state: Any, call: Call) -> tuple[Tensor, Any]:
        """Look at the neck's output.

        Args:
            embedding: (B, C, H, W) of the neck.
            state: what the call after the last block returned.
            call: as before.

        Returns:
            The embedding, corrected or as it came, and what travels in `Features.side`.
        """
        ...


class EncoderPrompts(nn.Module):
    """Learned tokens whose keys and values join a block's attention; shape (n, C).

    Attributes:
        tokens: (n, C) parameter; they pass the block's own first norm and qkv projection.
        gate: scalar parameter added to the logits of these keys, or None.
    """

    def __init__(self, num_tokens: int, channels: int, gate: float | None) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(num_tokens, channels))
        self.gate = None if gate is None else nn.Parameter(torch.tensor(float(gate)))


class DecoderPrompts(nn.Module):
    """Learned sparse prompt tokens of the mask decoder: sets that are decoded each on its own, here one per class.

    Attributes:
        tokens: (.., n, C) parameter; all but its last two axes count the sets. Here (K, n, C).
    """

    def __init__(self, num_classes: int, num_tokens: int, channels: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(num_classes, num_tokens, channels))

    def forward(self, masks: Tensor) -> Tensor:
        """Make class logits of the sets' masks.

        Args:
            masks: (B, P, 4 H, 4 W) of P sets, from SAM's mask token 0.

        Returns:
            (B, K, 4 H, 4 W); the background's logit is the constant 0.
        """
        return masks


class Head(Protocol):
    """What stands in the mask decoder's place."""

    def __call__(self, features: Features, sam: Sam) -> Tensor:
        """Turn features into logits.

        Args:
            features: of B images, from this model's encoder.
            sam: the model, so that a head may use its modules without holding them.

        Returns:
            (B, K, h, w); the background's logit is the constant 0.
        """
        ...


class MaskHeads(nn.Module):
    """Mask tokens in place of SAM's token 0, and what makes class logits of their outputs; the base of such heads.

    Attributes:
        tokens: (M, C) parameter.
        alone: SAM's mask tokens 1 to 3, whose outputs nobody reads, leave the two-way transformer too.
    """

    tokens: nn.Parameter
    alone: bool = False

    def forward(self, tokens: Tensor, fine: FineImage) -> Tensor:
        """Make logits.

        Args:
            tokens: (B, M, C) the mask tokens after the two-way transformer.
            fine: the upscaled image; `masks_of` reads masks from it.

        Returns:
            (B, K, 4 H, 4 W); the background's logit is the constant 0.
        """
        raise NotImplementedError


class ClassHeads(MaskHeads):
    """One mask token and one hyper-network per class, each a copy of SAM's own token 0 and its hyper-network.

    Attributes:
        tokens: (K, C) parameter.
        hypernetworks: K modules (.., C) -> (.., C / 8).
    """

    def __init__(self, num_classes: int, token: Tensor, hypernetwork: nn.Module) -> None:
        super().__init__()
        self.tokens = nn.Parameter(token.detach().clone().expand(num_classes, -1).clone())
        self.hypernetworks = nn.ModuleList(copy.deepcopy(hypernetwork) for _ in range(num_classes))

    def forward(self, tokens: Tensor, fine: FineImage) -> Tensor:
        """See `MaskHeads.forward`."""
        pairs = zip(self.hypernetworks, tokens.unbind(1), strict=True)
        return masks_of(torch.stack([network(token) for network, token in pairs], dim=1), fine)
