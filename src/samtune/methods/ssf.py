"""SSF: each channel scaled and shifted after every operation of the encoder, and the mask decoder trained; it folds.

    y = gamma * f(x) + beta        f a frozen linear, convolution or layer norm; gamma and beta have f's output channels

    patches SSF --> [ LN SSF -> qkv SSF -> attention -> proj SSF (+) LN SSF -> fc1 SSF -> fc2 SSF (+) ] --> neck SSF

Cost: 2 * (7 C + hidden units) per block (ViT-H: 28,160), 2 C of the patch embedding, 1,536 of the neck (ViT-H together:
905,216), plus 3,505,536 of the decoder. Every training step runs the encoder forward and backward and keeps one more
activation for each operation. After training gamma and beta go into the frozen weights and biases: plain SAM, no extra
time. Do not use it if the task needs new combinations of features: each channel is only scaled and shifted.
Source: Lian, Zhou, Feng, Wang, "Scaling & Shifting Your Features", NeurIPS 2022, arXiv 2210.08823; as a baseline in
Zhong et al., "Convolution Meets LoRA", ICLR 2024, whose code for it is not public. From SSF: the places in a block, the
patch embedding, gamma ~ N(1, 0.02), beta ~ N(0, 0.02), so that the first step starts near SAM, not from it
(`init="identity"` does). Ours: the neck, which SSF's plain classifiers do not have. Its two convolutions have no bias
to fold a shift into, so they get only a scale, its two norms both. The total is 4.411 M on ViT-H; the Conv-LoRA paper's
table has 4.42, and does not say which modules its SSF adapts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from samtune.methods.parts.trained_decoder import train_decoder
from samtune.methods.seam.adapt import init_device
from samtune.methods.seam.recipes import BASELINE_PAPER, PaperRecipe, Recipe

if TYPE_CHECKING:
    from samtune.bases import Base

SPREAD = 0.02
"""Standard deviation of the first values of gamma and beta."""

Init = Literal["normal", "identity"]


class SSFLinear(nn.Linear):
    """A frozen linear whose outputs are scaled and shifted: (..., in) -> (..., out).

    Attributes:
        gamma: (out,) parameter, 1 at the start.
        beta: (out,) parameter, 0 at the start; None if the linear has no bias to fold it into.
    """

    gamma: nn.Parameter
    beta: nn.Parameter | None

    def __init__(self, base: nn.Linear) -> None:
        super().__init__(base.in_features, base.out_features, base.bias is not None, device="meta")
        _take_over(self, base)

    def plain(self) -> nn.Linear:
        """Return a linear of the same sizes, without content."""
        return nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return _scale_and_shift(super().forward(tokens), self.gamma, self.beta)

    def folded(self) -> nn.Module:
        """Return a plain linear with the same output."""
        return _folded(self)


class SSFConv2d(nn.Conv2d):
    """A frozen convolution whose outputs are scaled and shifted: (B, C, H, W) -> (B, C', H', W').

    Attributes:
        gamma: (C',) parameter, 1 at the start.
        beta: (C',) parameter, 0 at the start; None if the convolution has no bias to fold it into.
    """

    gamma: nn.Parameter
    beta: nn.Parameter | None

    def __init__(self, base: nn.Conv2d) -> None:
        super().__init__(**_sizes(base), device="meta")
        _take_over(self, base)

    def plain(self) -> nn.Conv2d:
        """Return a convolution of the same sizes, without content."""
        return nn.Conv2d(**_sizes(self), device="meta")

    def forward(self, planes: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        tokens = super().forward(planes).permute(0, 2, 3, 1)
        return _scale_and_shift(tokens, self.gamma, self.beta).permute(0, 3, 1, 2)

    def folded(self) -> nn.Module:
        """Return a plain convolution with the same output."""
        return _folded(self)


class SSFLayerNorm(nn.LayerNorm):
    """A frozen layer norm whose outputs are scaled and shifted; channels last, or first as in SAM's neck.

    Attributes:
        gamma: (C,) parameter, 1 at the start.
        beta: (C,) parameter, 0 at the start.
    """

    gamma: nn.Parameter
    beta: nn.Parameter | None

    def __init__(self, base: nn.LayerNorm) -> None:
        super().__init__(base.normalized_shape, base.eps, device="meta")
        self.channels_first = getattr(base, "data_format", "channels_last") == "channels_first"
        self.plain_class = type(base)
        _take_over(self, base)

    def plain(self) -> nn.LayerNorm:
        """Return a layer norm of the base's class and sizes, without content."""
        order: Any = {"data_format": "channels_first"} if self.channels_first else {}
        return self.plain_class(self.normalized_shape, eps=self.eps, device="meta", **order)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., C), or (B, C, H, W) with the channels first."""
        if self.channels_first:
            tokens = tokens.permute(0, 2, 3, 1)
        tokens = _scale_and_shift(super().forward(tokens), self.gamma, self.beta)
        return tokens.permute(0, 3, 1, 2) if self.channels_first else tokens

    def folded(self) -> nn.Module:
        """Return a plain layer norm with the same output."""
        return _folded(self)


Scaled = SSFLinear | SSFConv2d | SSFLayerNorm


def scaled(base: nn.Module) -> Scaled:
    """Wrap a linear, a convolution or a layer norm, whose weight and bias are used, not copied."""
    if isinstance(base, nn.Linear):
        return SSFLinear(base)
    if isinstance(base, nn.Conv2d):
        return SSFConv2d(base)
    assert isinstance(base, nn.LayerNorm)
    return SSFLayerNorm(base)


def _sizes(convolution: nn.Conv2d) -> dict[str, Any]:
    """Return the arguments of a convolution of the same sizes."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    return {name: getattr(convolution, name) for name in names} | {"bias": convolution.bias is not None}


def _take_over(module: Any, base: Any) -> None:
    """Give the module the base's own weight and bias, and gamma and beta."""
    module.weight, module.bias = base.weight, base.bias
    like = {"device": base.weight.device}
    module.gamma = nn.Parameter(torch.ones(len(base.weight), **like))
    module.beta = None if base.bias is None else nn.Parameter(torch.zeros(len(base.weight), **like))


def _scale_and_shift(tokens: Tensor, gamma: Tensor, beta: Tensor | None) -> Tensor:
    """Scale and shift the last axis, in the dtype of the tokens."""
    gamma = gamma.to(tokens.dtype)
    return tokens * gamma if beta is None else torch.addcmul(beta.to(tokens.dtype), tokens, gamma)


def _folded(module: Scaled) -> nn.Module:
    """Return a plain module of the base's class, with gamma and beta folded into its weight and bias."""
    plain = module.plain()
    with torch.no_grad():
        gamma = module.gamma.reshape(-1, *[1] * (module.weight.ndim - 1))
        plain.weight = nn.Parameter(module.weight * gamma, requires_grad=False)
        if module.beta is not None and module.bias is not None:
            plain.bias = nn.Parameter(module.bias * module.gamma + module.beta, requires_grad=False)
    return plain


@dataclass(frozen=True)
class SSF:
    """Scales and shifts throughout the encoder and a trained mask decoder.

    Attributes:
        init: first values of scales and shifts: noise around 1 and 0 (normal), or exactly these (identity). "normal":
            gamma ~ N(1, 0.02), beta ~ N(0, 0.02), as in the paper. "identity": 1 and 0.
    """

    init: Init = "normal"

    name: ClassVar[str] = "ssf"
    source: ClassVar[str] = (
        "Lian et al., Scaling & Shifting Your Features, NeurIPS 2022, arXiv 2210.08823; "
        "baseline of Zhong et al., ICLR 2024, arXiv 2401.17868"
    )
    recipe: ClassVar[Recipe] = Recipe(learning_rate=1e-3, weight_decay=1e-2, updates=150, batch_size=4)
    paper_recipe: ClassVar[PaperRecipe] = BASELINE_PAPER

    @property
    def starts_as_identity(self) -> bool:
        """Whether the first step starts from SAM itself."""
        return self.init == "identity"

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`."""
        sites = [(owner, role) for owner in (*base.blocks, base.encoder) for role in owner.roles()]
        frozen = [owner.free_at(role) for owner, role in sites]
        train_decoder(base, num_classes)
        for (owner, role), original in zip(sites, frozen, strict=True):
            module = scaled(original)
            for parameter in (module.gamma, module.beta):
                if self.init == "normal" and parameter is not None:
                    with torch.no_grad():
                        noise = torch.randn(parameter.shape, device=init_device(parameter.device))
                        parameter.add_(SPREAD * noise.to(parameter.device))
            owner.put(role, module)
