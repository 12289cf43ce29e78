"""Sites and roles: where a method can attach modules to a base. All sites are empty in a base as loaded.

What a module receives and returns at each of them:

    block.put(role, module)
                       replaces the module in a role: an nn.Linear (or a subclass) for "qkv" (or "q", "k", "v"),
                       "proj", "mlp_in", "mlp_out"; tokens -> tokens for the layer norms "norm1", "norm2"
    block.prompts      `EncoderPrompts`: extra keys and values of this block's attention, the same in each window
    block.before       tokens -> tokens, ahead of the block
    block.after_attn   attention output -> attention output, before the residual
    block.after_mlp    MLP output -> MLP output, before the residual
    base.encoder.put(role, module)
                       outside the blocks: "patch", an nn.Conv2d (or a subclass), pixels (B, 3, S, S) -> (B, C, H, W);
                       the steps of the neck, (B, C, H, W) -> (B, C, H, W)
    base.sites.put(site, module)
        "side"             `Side`: receives the pixels, the patch embedding, every block's output and the neck's, in
                           this order; may change the last three, and passes its own state from one to the next
        "encoder_prompts"  `EncoderPrompts` at the input: tokens that pass through every block, queries and MLP
                           included; each window has a copy, and the outputs of the copies are averaged; the sites of
                           the blocks receive the tokens of the grid alone
        "decoder_prompts"  `DecoderPrompts`: sets of learned sparse tokens, one or more per class, and the step from
                           their masks to class logits
        "class_heads"      `MaskHeads`: mask tokens in place of the model's token 0, and the step from their outputs to
                           logits; `ClassHeads` has one token and one hyper-network per class
        "head"             `Head`: replaces the mask decoder; features and the base -> logits (B, K, h, w)

`roles()` lists the roles of a block or an encoder. Tokens at a site of a block are (B, H, W, C); H, W and C may change
from block to block, so a method reads them from the module that it adapts. An empty site costs nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from samtune.bases.kernels.upscaling import FineImage, masks_of
from samtune.errors import MethodError


class Roles(nn.Module):
    """A module some of whose children can be replaced, each by the name of its role."""

    role_paths: ClassVar[Mapping[str, str]]
    """Role -> path of the child."""
    noun: ClassVar[str]
    """What the module is called in errors."""

    def roles(self) -> dict[str, nn.Module]:
        """Return the current module of each role."""
        return {role: self.get_submodule(path) for role, path in self.role_paths.items()}

    def at(self, role: str) -> nn.Module:
        """Return the current module of a role.

        Raises:
            MethodError: there is no such role; the message lists those there are.
        """
        if role not in self.role_paths:
            raise MethodError(f"Expected a role of {self.noun} ({', '.join(self.role_paths)}), got {role!r}.")
        return self.get_submodule(self.role_paths[role])

    def free_at(self, role: str) -> nn.Module:
        """Return the base's own module of a role, for methods that check all roles before they change any.

        Raises:
            MethodError: there is no such role, or a method has replaced its module already.
        """
        module = self.at(role)
        if not is_base_module(module):
            raise MethodError(
                f"Expected the role {role!r} to be free, got {type(module).__name__} of another method; attach one "
                "method to a freshly loaded base."
            )
        return module

    def put(self, role: str, module: nn.Module) -> None:
        """Replace the module of a role.

        Raises:
            MethodError: there is no such role, or a method has replaced its module already.
        """
        self.free_at(role)
        parent, _, name = self.role_paths[role].rpartition(".")
        setattr(self.get_submodule(parent), name, module)


class Sites:
    """Sites by name.

    Args:
        owners: site -> the module that has it, and the attribute there.
    """

    def __init__(self, owners: Mapping[str, tuple[nn.Module, str]]) -> None:
        self._owners = owners

    def names(self) -> tuple[str, ...]:
        """Return the names of the sites."""
        return tuple(self._owners)

    def at(self, site: str) -> Any:
        """Return the module at a site, None if the site is empty.

        Raises:
            MethodError: there is no such site; the message lists those there are.
        """
        if site not in self._owners:
            raise MethodError(f"Expected a site of the base ({', '.join(self._owners)}), got {site!r}.")
        owner, attribute = self._owners[site]
        return getattr(owner, attribute)

    def check_free(self, *sites: str) -> None:
        """Check that sites are empty.

        Raises:
            MethodError: one of the sites has a module, or does not exist.
        """
        for site in sites:
            module = self.at(site)
            if module is not None:
                raise MethodError(
                    f"Expected the site {site!r} to be free, got {type(module).__name__} of another method; attach one "
                    "method to a freshly loaded base."
                )

    def put(self, site: str, module: nn.Module) -> None:
        """Put a module at an empty site.

        Raises:
            MethodError: the site has a module, or does not exist.
        """
        self.check_free(site)
        owner, attribute = self._owners[site]
        # Registered again, after the base's own modules: initial values are drawn in the order of the parameters, and a
        # seed must give the same values wherever a family declares its sites.
        delattr(owner, attribute)
        owner.register_module(attribute, module)


def is_base_module(module: nn.Module) -> bool:
    """Return whether a module is a linear, a convolution or a layer norm of torch or transformers themselves."""
    library = type(module).__module__.partition(".")[0] in ("torch", "transformers")
    return library and isinstance(module, nn.Linear | nn.Conv2d | nn.LayerNorm)


Call = Callable[..., Any]
"""`call(module, *inputs)` returns `module(*inputs)`; while the encoder recomputes its blocks, the module is recomputed
too, so that only its inputs are kept."""


class Side(Protocol):
    """A network beside the encoder: `begin`, then a call for each index from -1, then `end`.

    The state is passed from one step to the next and never kept on the module, so that nothing of an image outlives
    its forward pass.
    """

    def begin(self, pixels: Tensor, patches: Tensor) -> Any:
        """Read the input, ahead of the first block.

        Args:
            pixels: (B, 3, S, S), the input of the encoder.
            patches: (B, H, W, C) the patch embedding before the position embedding is added.

        Returns:
            The first state.
        """
        ...

    def __call__(self, index: int, tokens: Tensor, state: Any, call: Call) -> tuple[Tensor, Any]:
        """Read the encoder's tokens, and possibly change them: ahead of the first block, and after each block.

        Args:
            index: -1 ahead of the first block (position embedding added), then the index of the block.
            tokens: (B, H, W, C).
            state: as the previous step returned it.
            call: runs a module of this network.

        Returns:
            The tokens, changed or not, and the state.
        """
        ...

    def end(self, embedding: Tensor, state: Any, call: Call) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Read the neck's output, and possibly change it.

        Args:
            embedding: (B, C, H, W).
            state: as the call after the last block returned it.
            call: as for `__call__`.

        Returns:
            The embedding, changed or not, and tensors by name for `Features.extras`.
        """
        ...


class EncoderPrompts(nn.Module):
    """Learned tokens whose keys and values join a block's attention, zero at first.

    Attributes:
        tokens: (n, C) parameter; the block's own first norm and qkv projection are applied to it.
        gate: scalar parameter added to the attention logits of these keys, or None.
    """

    def __init__(self, num_tokens: int, channels: int, gate: float | None) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(num_tokens, channels))
        self.gate = None if gate is None else nn.Parameter(torch.tensor(float(gate)))


class DecoderPrompts(nn.Module):
    """Learned sparse prompt tokens of the mask decoder, zero at first: one set per class, each decoded on its own.

    Attributes:
        tokens: (K, n, C) parameter; in a subclass (..., n, C), with a set for each index of the leading axes.
    """

    def __init__(self, num_classes: int, num_tokens: int, channels: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(num_classes, num_tokens, channels))

    def forward(self, masks: Tensor) -> Tensor:
        """Turn the masks of the sets into class logits.

        Args:
            masks: (B, P, 4 H, 4 W) logits of P sets, from SAM's mask token 0.

        Returns:
            (B, K, 4 H, 4 W); the background's logit is the constant 0.
        """
        return masks


class MaskHeads(nn.Module):
    """Base class of heads: mask tokens in place of SAM's token 0, and the step from their outputs to class logits.

    Attributes:
        tokens: (M, C) parameter.
        alone: leave SAM's mask tokens 1 to 3, whose outputs are not used, out of the two-way transformer.
    """

    tokens: nn.Parameter
    alone: bool = False

    def forward(self, tokens: Tensor, fine: FineImage) -> Tensor:
        """Compute class logits.

        Args:
            tokens: (B, M, C) the mask tokens after the two-way transformer.
            fine: the upscaled image; `masks_of` multiplies mask weights with it.

        Returns:
            (B, K, 4 H, 4 W); the background's logit is the constant 0.
        """
        raise NotImplementedError


class ClassHeads(MaskHeads):
    """One mask token and one hyper-network per class, each a copy of SAM's own token 0 and its hyper-network.

    Attributes:
        tokens: (K, C) parameter.
        hypernetworks: K modules (..., C) -> (..., C / 8).
    """

    def __init__(self, num_classes: int, token: Tensor, hypernetwork: nn.Module) -> None:
        super().__init__()
        self.tokens = nn.Parameter(token.detach().clone().expand(num_classes, -1).clone())
        self.hypernetworks = nn.ModuleList(copy.deepcopy(hypernetwork) for _ in range(num_classes))

    def forward(self, tokens: Tensor, fine: FineImage) -> Tensor:
        """See `MaskHeads.forward`."""
        pairs = zip(self.hypernetworks, tokens.unbind(1), strict=True)
        return masks_of(torch.stack([network(token) for network, token in pairs], dim=1), fine)
