"""BitFit: every bias of the encoder is trained, and the mask decoder; nothing is added.

    y = W0 x + b        trained: b of every linear, layer norm and convolution that has one;  W0 and all scales frozen

    patches (b) --> [ LN (b) -> qkv (b) -> proj (b) -> LN (b) -> fc1 (b) -> fc2 (b) ] x blocks --> the neck's norms (b)

Cost: 7 C + the MLP's hidden units per block, C of the patch embedding, 512 of the neck (ViT-H: 452,352), plus 3,505,536
of the decoder. The trained model is plain SAM with other biases: no extra time when predicting. Every training step
runs the encoder forward and backward. Do not use it if the task needs new combinations of features: a bias only shifts
a channel.
Source: Ben Zaken, Ravfogel, Goldberg, "BitFit", ACL 2022, arXiv 2106.10199; as a baseline in Zhong et al., "Convolution
Meets LoRA", ICLR 2024, and in its code (AutoGluon f34ebb4f, `bit_fit`), which trains whatever is called a bias. The
task head that BitFit trains beside the biases is here the mask decoder. The relative-position tables of the attention
are no biases in this sense and stay frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from samtune.methods.parts.trained_decoder import train_decoder
from samtune.methods.seam.recipes import BASELINE_PAPER, PaperRecipe, Recipe

if TYPE_CHECKING:
    from samtune.bases import Base


@dataclass(frozen=True)
class BitFit:
    """The encoder's biases and the mask decoder trained; it has no hyper-parameters."""

    name: ClassVar[str] = "bitfit"
    source: ClassVar[str] = (
        "Ben Zaken et al., BitFit, ACL 2022, arXiv 2106.10199; "
        "baseline of Zhong et al., ICLR 2024, arXiv 2401.17868; AutoGluon f34ebb4f"
    )
    starts_as_identity: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(learning_rate=5e-4, weight_decay=1e-2, updates=150, batch_size=4)
    paper_recipe: ClassVar[PaperRecipe] = BASELINE_PAPER

    def attach(self, base: Base, *, num_classes: int) -> None:
        """See `Method.attach`; trains tensors of the base, which then belong to the delta."""
        train_decoder(base, num_classes)
        for name, parameter in base.encoder.named_parameters():
            if name.rpartition(".")[2] == "bias":
                parameter.requires_grad_(True)
