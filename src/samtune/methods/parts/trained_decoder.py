"""The mask decoder trained with one mask token and one hyper-network per class, or with other mask heads.

    trained: two-way transformer, upscaling, IoU token, class tokens t_1 .. t_K and their hyper-networks h_1 .. h_K
    frozen:  IoU head, SAM's own mask tokens and hyper-networks, whose outputs have no effect

Cost: 3,505,536 parameters for one class at SAM's sizes. Not to be used with a handful of images where the object shows
in the frozen features (`ptsam`). Source: Zhong et al., "Convolution Meets LoRA", ICLR 2024, released code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from samtune.bases import ClassHeads

if TYPE_CHECKING:
    from samtune.bases import Base, MaskHeads

MaskTokens = Literal["all", "own"]
"""Which mask tokens the stream of a trained mask decoder has. "all": SAM's tokens 1 to 3 too, frozen and without
effect, so that one class starts as SAM itself. "own": the method's alone, as in Conv-LoRA's released code; the first
mask is then another than SAM's."""


def train_decoder(
    base: Base, num_classes: int, heads: MaskHeads | None = None, *, mask_tokens: MaskTokens = "all"
) -> None:
    """Mark the mask decoder for training: one mask token and one hyper-network per class, the rest shared.

    Args:
        base: frozen.
        num_classes: K.
        heads: other mask tokens and what makes logits of them, in place of those per class.
        mask_tokens: which tokens are in the stream.

    Trained: the two-way transformer, the upscaling, the IoU token (which takes part in the attention), the
    class tokens and their hyper-networks. Frozen: the IoU head and SAM's own mask tokens and hyper-networks,
    whose outputs have no effect. For K = 1 that is 3,505,536 parameters at SAM's sizes. Source: Conv-LoRA's
    released code.

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
