"""Sites and roles: where a method may stand in a base. All are empty in a base as loaded.

What each hands in and expects back:

    block.put(role, module)
                       in the place of the module at a role: an nn.Linear (or a subclass) for "qkv" (or "q", "k", "v"),
                       "proj", "mlp_in", "mlp_out"; tokens -> tokens for the layer norms "norm1", "norm2"
    block.prompts      `EncoderPrompts`: extra keys and values of this block's attention, the same in each window
    block.before       tokens -> tokens, ahead of the block
    block.after_attn   attention output -> attention output, before the residual
    block.after_mlp    MLP output -> MLP output, before the residual
    base.encoder.put(role, module)
                       outside the blocks: "patch", an nn.Conv2d (or a subclass), pixels (B, 3, S, S) -> (B, C, H, W);
                       the steps of the neck, (B, C, H, W) -> (B, C, H, W), channels first
    base.sites.put(site, module)
        "side"             `Side`: sees the pixels, the patch embedding, every block's output and the neck's, in this
                           order; may correct each of the last three, and hands its own state from one to the next
        "encoder_prompts"  `EncoderPrompts` at the input: tokens that travel through every block, queries and MLP
                           included; each window has a copy, and the copies' answers are averaged; the block's sites
                           hear the grid alone
        "decoder_prompts"  `DecoderPrompts`: sets of learned sparse tokens, one per class or more, and what makes class
                           logits of the masks that answer them
        "class_heads"      `MaskHeads`: mask tokens in place of the model's token 0, and what makes logits of them;
                           `ClassHeads` has one token and one hyper-network per class
        "head"             `Head`: features and the base -> logits (B, K, h, w), in the mask decoder's place

Which roles a block or an encoder has, `roles()` says. Tokens at a site of a block are (B, H, W, C); H, W and C may
change from block to block, so a method reads them from the module that it adapts. A site left None costs nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from samtune.bases.kernels.upscaling import FineImage, masks_of
from samtune.errors import MethodError

if TYPE_CHECKING:
    from samtune.bases.base import Base
    from samtune.types import Features


class Roles(nn.Module):
    """A module some of whose children may be replaced, each by the name of its role."""

    role_paths: ClassVar[Mapping[str, str]]
    """Role -> path of the child."""
    called: ClassVar[str]
    """The module's name in errors."""

    def roles(self) -> dict[str, nn.Module]:
        """Return the modules that stand at the roles, by role."""
        return {role: self.get_submodule(path) for role, path in self.role_paths.items()}

    def at(self, role: str) -> nn.Module:
        """Return the module that stands at a role.

        Raises:
            MethodError: there is no such role; names those there are.
        """
        if role not in self.role_paths:
            raise MethodError(f"Expected a role of {self.called} ({', '.join(self.role_paths)}), got {role!r}.")
        return self.get_submodule(self.role_paths[role])

    def free_at(self, role: str) -> nn.Module:
        """Return the library's own module at a role, for methods that check before they put anything anywhere.

        Raises:
            MethodError: there is no such role, or a method stands there already.
        """
        standing = self.at(role)
        if not is_base_module(standing):
            raise MethodError(
                f"Expected the role {role!r} to be free, but {type(standing).__name__} stands there already; "
                "attach one method to a freshly loaded base."
            )
        return standing

    def put(self, role: str, module: nn.Module) -> None:
        """Put `module` at a role.

        Raises:
            MethodError: there is no such role, or another method stands there already.
        """
        self.free_at(role)
        parent, _, name = self.role_paths[role].rpartition(".")
        setattr(self.get_submodule(parent), name, module)


class Sites:
    """The sites of a base outside its blocks.

    Args:
        places: site -> the module that has it, and the attribute there.
    """

    def __init__(self, places: Mapping[str, tuple[nn.Module, str]]) -> None:
        self._places = places

    def names(self) -> tuple[str, ...]:
        """Return the names of the sites that this base has."""
        return tuple(self._places)

    def at(self, site: str) -> Any:
        """Return the module that stands at a site, None where it is empty.

        Raises:
            MethodError: this base has no such site; names those there are.
        """
        if site not in self._places:
            raise MethodError(f"Expected a site of the base ({', '.join(self._places)}), got {site!r}.")
        owner, attribute = self._places[site]
        return getattr(owner, attribute)

    def check_free(self, *sites: str) -> None:
        """Refuse to attach where a method stands.

        Raises:
            MethodError: one of the sites is taken, or this base does not have it.
        """
        for site in sites:
            standing = self.at(site)
            if standing is not None:
                raise MethodError(
                    f"Expected nothing at the site {site!r}, but {type(standing).__name__} is there already; "
                    "attach one method to a freshly loaded base."
                )

    def put(self, site: str, module: nn.Module) -> None:
        """Put `module` at a site.

        Raises:
            MethodError: the site is taken, or this base does not have it.
        """
        self.check_free(site)
        owner, attribute = self._places[site]
        # Registered anew, behind the base's own modules: first values are drawn in the order of parameters, and a seed
        # must draw the same wherever a family declares its sites.
        delattr(owner, attribute)
        owner.register_module(attribute, module)


def is_base_module(module: nn.Module) -> bool:
    """Return whether a module is a linear, a convolution or a layer norm as the library makes them."""
    library = type(module).__module__.partition(".")[0] in ("torch", "transformers")
    return library and isinstance(module, nn.Linear | nn.Conv2d | nn.LayerNorm)


Call = Callable[..., Any]
"""`call(module, *inputs)` is `module(*inputs)`; where blocks are computed again for their gradients, so is the module,
and only its inputs are kept."""


class Side(Protocol):
    """A network beside the encoder: `begin`, then a call for each index from -1, then `end`.

    The state from one step to the next is handed on, never kept on the module, so that nothing of an image outlives
    its forward pass.
    """

    def begin(self, pixels: Tensor, patches: Tensor) -> Any:
        """Look at the input once, ahead of the first block.

        Args:
            pixels: (B, 3, S, S), the input of the encoder.
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
            state: as the step before returned it.
            call: runs a module of this network.

        Returns:
            The stream, corrected or unchanged, and the state.
        """
        ...

    def end(self, embedding: Tensor, state: Any, call: Call) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Look at the neck's output.

        Args:
            embedding: (B, C, H, W) of the neck.
            state: as the call after the last block returned it.
            call: as before.

        Returns:
            The embedding, corrected or unchanged, and tensors by name for `Features.extras`.
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
    """A decoder of a method's own, in the mask decoder's place."""

    def __call__(self, features: Features, base: Base) -> Tensor:
        """Turn features into logits.

        Args:
            features: of B images, from this model's encoder.
            base: the model, so that a head can use its modules without holding them.

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
