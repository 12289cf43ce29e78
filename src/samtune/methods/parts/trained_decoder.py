"""The mask decoder trained with one mask token and one hyper-network per class, or with other mask heads.

    trained: two-way transformer, upscaling, IoU token, class tokens t_1 .. t_K and their hyper-networks h_1 .. h_K
    frozen:  IoU head, SAM's own mask tokens and hyper-networks, whose outputs have no effect

Cost: 3,505,536 parameters for one class at SAM's sizes. Do not use it with a handful of images whose objects are
visible in the frozen features (`ptsam`). Source: Zhong et al., "Convolution Meets LoRA", ICLR 2024, released code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from samtune.bases import ClassHeads

if TYPE_CHECKING:
    from samtune.bases import Base, MaskHeads

MaskTokens = Literal["all", "own"]
"""Mask tokens in the attention of a trained mask decoder. "all": also SAM's tokens 1 to 3, frozen and with unused
outputs, so that one class starts as SAM itself. "own": those of the method alone, as in Conv-LoRA's released code; the
first mask then differs from SAM's."""


def train_decoder(
    base: Base, num_classes: int, heads: MaskHeads | None = None, *, mask_tokens: MaskTokens = "all"
) -> None:
    """Train the mask decoder with one mask token and one hyper-network per class, or with other heads.

    Sets `requires_grad` of the parameters listed at the top of this file.

    Args:
        base: frozen.
        num_classes: K.
        heads: replace the mask token and hyper-network per class; None for these.
        mask_tokens: mask tokens in the attention.

    Raises:
        MethodError: the decoder has class heads or prompts already.
    """
    decoder = base.decoder
    base.sites.check_free("class_heads", "decoder_prompts")
    if heads is None:
        heads = ClassHeads(num_classes, decoder.mask_token(0), decoder.hypernetwork(0))
    heads.alone = mask_tokens == "own"
    base.sites.put("class_heads", heads)
    for module in (*decoder.shared(), heads):
        module.requires_grad_(True)
