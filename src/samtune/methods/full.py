"""Full fine-tuning, and the same from random weights: the upper and the lower bound for comparisons with other methods.

    theta  <-  theta - step,    theta = every number of SAM

    image --> encoder (trained) --> neck (trained) --> mask decoder (trained) --> one mask per class

Cost: all of SAM: the encoder's 89,670,912 (ViT-B), 308,278,272 (ViT-L) or 637,026,048 (ViT-H), the mask decoder's
4,058,340 and the prompt encoder's 6,220; together 93,735,472, 312,342,832 and 641,090,608, the 641.09 million of the
published tables. Of these 558,000 have no effect without a user's prompts (the IoU head, three hyper-networks, the
embeddings of points, boxes and mask prompts): they are counted and saved, but stay as they are but for weight decay.
Only the matrix of the positional encoding is left out: it is a random draw that SAM itself never trained. For K > 1
classes there are K tokens and hyper-networks more (139,808 + 256 each at SAM's sizes), and SAM's own four
hyper-networks stay frozen. What is saved is the whole model (2.6 GB on ViT-H), a checkpoint four times that, for it
holds the moments and the best values so far: raise `checkpoint_every_s`.
Do not use `full` with few images, with which it forgets more than it learns, or if a copy of the model per task is too
large. Use `scratch` only to measure the benefit of the pre-training.

Source: the `scratch` row of Zhong et al., "Convolution Meets LoRA", ICLR 2024 (641.09 million; its code is not
public, and which tensors stayed frozen is not known). Full fine-tuning of a pre-trained SAM is not in that table.
First values of `scratch`, ours, for transformers' own (encoder weights of 1e-10, position embeddings of zero) cannot
be trained: linears and convolutions N(0, 1 / fan-in), biases 0, norms 1 and 0, relative positions 0, position
embedding N(0, 0.02^2), tokens and the no-mask embedding N(0, 1), as PyTorch's and the original SAM's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from samtune.bases import ClassHeads
from samtune.methods.parts.trained_decoder import train_decoder
from samtune.methods.parts.whole_decoder import WholeDecoder
from samtune.methods.seam.adapt import init_device
from samtune.methods.seam.recipes import BASELINE_PAPER, PaperRecipe, Recipe

if TYPE_CHECKING:
    from samtune.bases import Base


@dataclass(frozen=True)
class Full:
    """Everything trained; it has no hyper-parameters."""

    name: ClassVar[str] = "full"
    source: ClassVar[str] = "full fine-tuning; sizes as in Zhong et al., ICLR 2024, arXiv 2401.17868"
    starts_as_identity: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(learning_rate=2e-5, weight_decay=1e-2, updates=300, batch_size=4)

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`."""
        train_everything(base, num_classes)


@dataclass(frozen=True)
class Scratch:
    """Everything trained from random weights; it has no hyper-parameters.

    The base's own tensors stay in memory beside the new ones.
    """

    name: ClassVar[str] = "scratch"
    source: ClassVar[str] = "baseline of Zhong et al., Convolution Meets LoRA, ICLR 2024, arXiv 2401.17868"
    starts_as_identity: ClassVar[bool] = False
    recipe: ClassVar[Recipe] = Recipe(learning_rate=3e-4, weight_decay=5e-2, updates=1000, batch_size=4)
    paper_recipe: ClassVar[PaperRecipe] = BASELINE_PAPER

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`."""
        train_everything(base, num_classes)
        for module in base.modules():
            for key, parameter in module.named_parameters(recurse=False):
                if parameter.requires_grad:
                    setattr(module, key, nn.Parameter(first_values(module, key, parameter)))


def train_everything(base: Base, num_classes: int) -> None:
    """Train every tensor of the base except its constants; several classes get class heads.

    Raises:
        MethodError: the base has class heads, decoder prompts or a head already.
    """
    decoder = base.decoder
    base.sites.check_free("class_heads", "decoder_prompts", "head")
    base.requires_grad_(True)
    for constant in base.constants():
        constant.requires_grad_(False)
    if num_classes > 1:
        train_decoder(base, num_classes)
        for index in range(decoder.num_mask_tokens):
            decoder.hypernetwork(index).requires_grad_(False)  # the class heads hold copies
    base.sites.put("head", WholeDecoder())


def first_values(module: nn.Module, key: str, parameter: Tensor) -> Tensor:
    """Draw initial values of a parameter, of its shape and on its device, by the rules at the top of this file.

    Args:
        module: that has the parameter.
        key: its name in the module.
        parameter: gives shape and device; the numbers are drawn on the CPU, so that a seed means the same anywhere.
    """
    values = torch.zeros(parameter.shape, device=init_device(parameter.device))
    if isinstance(module, nn.Embedding | ClassHeads):
        values.normal_()
    elif key == "pos_embed":
        values.normal_(std=0.02)
    elif key == "weight" and parameter.ndim == 1:
        values.fill_(1.0)
    elif key == "weight":
        # Of a transposed convolution whose stride is its kernel, each output cell sees one cell of each input channel.
        fan_in = len(parameter) if isinstance(module, nn.ConvTranspose2d) else parameter[0].numel()
        values.normal_(std=fan_in**-0.5)
    return values.to(parameter.device)
